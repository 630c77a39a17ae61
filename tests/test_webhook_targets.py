"""Where webhooks may go: tried with every way known to reach what is inside, and with receivers that mean harm."""

import socket
import ssl
import subprocess
import threading
import time
from ipaddress import ip_address

import pytest

from accesscontrol.webhooks import addresses, gateways
from tests.receivers import Receiver

INSIDE = [
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://x.localhost/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[2001::1]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
]
NO_ADDRESSES = [
    "",
    "https://",
    "//example.com/",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:x/",
    "https://exa mple.com/",
    "https://example.com/\r\nX-Evil: 1",
    "https://example.com\\@127.0.0.1/",
    "https://[fe80::1%25eth0]/",
    "https://[::1/",
    "https://example.com/" + "a" * 500,
    "https://example.com/ü",
]


@pytest.mark.parametrize("url", INSIDE)
def test_what_is_inside_is_refused_when_it_is_written_down(url):
    with pytest.raises((addresses.InternalAddress, addresses.NotEncrypted)):
        addresses.read(url)


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(addresses.UnusableAddress):
        addresses.read(url)


def test_public_addresses_are_taken_with_encryption_only():
    assert addresses.read("https://example.com:8443/hooks?a=b").authority == "example.com:8443"
    assert addresses.read("https://93.184.215.14/").authority == "93.184.215.14"
    assert addresses.read("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"
    assert addresses.read("https://bücher.example/").host == "xn--bcher-kva.example"
    for url in ("http://example.com/", "http://93.184.215.14/"):
        with pytest.raises(addresses.NotEncrypted):
            addresses.read(url)


def test_networks_that_the_operator_allows_pass_and_no_others(settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["10.1.0.0/16", "::1/128"]
    assert addresses.read("http://10.1.2.3/")
    assert addresses.read("http://[::1]/")
    assert addresses.read("http://[::ffff:10.1.2.3]/")
    for url in ("http://10.2.0.1/", "https://127.0.0.1/", "https://[::ffff:10.2.0.1]/"):
        with pytest.raises(addresses.InternalAddress):
            addresses.read(url)


def resolving(monkeypatch, *answers):
    """The name server's answers, one a question; the last one stays. Numbers are what they are."""
    real, asked = socket.getaddrinfo, []

    def answer(host, port, *args, flags=0, **values):
        if flags & socket.AI_NUMERICHOST or host.replace(".", "").isdigit() or ":" in host:
            return real(host, port, *args, flags=flags, **values)
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["169.254.169.254"], ["10.0.0.5", "93.184.215.14"]]
)
def test_a_name_that_leads_inside_is_refused_when_it_is_sent_to(monkeypatch, answers):
    resolving(monkeypatch, answers)
    outcome = gateways.post("https://innocent.example/", b"{}", {}, whole_seconds=2)
    assert (outcome.status, outcome.error) == (None, "internal_address")


def test_a_name_server_that_changes_its_mind_changes_nothing(monkeypatch, settings):
    """DNS rebinding: judged as one address, connected to as another."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.2/32"]
    inside, meant = Receiver(), None
    try:
        # The judged address is where the connection goes; a second question would lead to the other server.
        asked = resolving(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
        outcome = gateways.post(f"http://rebound.example:{inside.port}/", b"{}", {}, whole_seconds=2)
        assert outcome.error == "connection_refused"
        assert (asked, inside.seen, meant) == (["rebound.example"], [], None)
    finally:
        inside.stop()


def test_the_name_stays_in_the_host_header_and_no_header_of_ours_can_be_forged(monkeypatch, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    resolving(monkeypatch, ["127.0.0.1"])
    receiver = Receiver()
    try:
        outcome = gateways.post(f"http://named.example:{receiver.port}/a?b", b'{"a":1}', {"X": "1"}, whole_seconds=2)
        assert outcome.is_accepted
        [message] = receiver.seen
        assert message.headers["host"] == f"named.example:{receiver.port}"
        assert message.text == '{"a":1}'
    finally:
        receiver.stop()


@pytest.fixture
def loopback(settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def receiver(loopback):
    made = Receiver()
    yield made
    made.stop()


def test_a_redirect_is_an_answer_and_not_followed(receiver):
    other = Receiver()
    try:
        for status in (301, 302, 303, 307, 308):
            receiver.manner = lambda message, times, status=status: (status, other.url)
            outcome = gateways.post(receiver.url, b"{}", {}, whole_seconds=2)
            assert (outcome.status, outcome.error, outcome.is_accepted) == (status, "redirected", False)
        assert other.seen == []
    finally:
        other.stop()


def test_ten_gigabytes_are_not_read(receiver):
    receiver.manner = lambda message, times: "endless"
    began = time.monotonic()
    outcome = gateways.post(receiver.url, b"{}", {}, whole_seconds=60)
    took = time.monotonic() - began
    time.sleep(0.3)
    assert outcome.answer == "x" * 300
    assert took < 30
    print(f"\nhung up after {receiver.sent:,} bytes and {took * 1000:.0f} ms")
    assert receiver.sent < 20_000_000


@pytest.mark.parametrize("manner", ["drip", "silent"])
def test_however_slowly_it_answers_the_whole_has_an_end(receiver, manner):
    receiver.manner = lambda message, times: manner
    began = time.monotonic()
    outcome = gateways.post(receiver.url, b"{}", {}, whole_seconds=1)
    assert (outcome.status, outcome.error) == (None, "timed_out")
    assert time.monotonic() - began < 15


def test_a_handshake_without_end_has_one(loopback):
    """A server that takes the connection and says nothing, or one letter at a time, where TLS is expected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def dribble():
            taken, _ = server.accept()
            with taken:
                while not stop.wait(0.2):
                    try:
                        taken.send(b"\x16")
                    except OSError:
                        return

        thread = threading.Thread(target=dribble, daemon=True)
        thread.start()
        began = time.monotonic()
        outcome = gateways.post(f"https://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, whole_seconds=1)
        assert time.monotonic() - began < 15
        assert outcome.error in ("timed_out", "no_encryption")
        stop.set()
        thread.join()


def test_certificates_are_checked_against_the_name(loopback, monkeypatch, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-days", "2", "-subj", "/CN=right.example", "-addext", "subjectAltName=DNS:right.example"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    receiver = Receiver()
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    resolving(monkeypatch, ["127.0.0.1"])
    try:
        untrusted = gateways.post(f"https://right.example:{receiver.port}/", b"{}", {}, whole_seconds=3)
        assert untrusted.error == "certificate_refused"
        monkeypatch.setattr(gateways, "_tls", lambda: trusting)
        right = gateways.post(f"https://right.example:{receiver.port}/", b"{}", {}, whole_seconds=3)
        assert right.is_accepted, right
        wrong = gateways.post(f"https://wrong.example:{receiver.port}/", b"{}", {}, whole_seconds=3)
        assert wrong.error == "certificate_refused"
    finally:
        receiver.stop()


def test_what_an_answer_says_is_kept_as_plain_text():
    assert gateways._readable(b"<b>\x00\x1b[31m\xff\n") == "<b>  [31m\ufffd "
    assert ip_address("127.0.0.1")
