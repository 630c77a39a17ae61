"""The reference controller as a process against a real server that goes away and comes back."""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.utils import timezone

from accesscontrol.access import commands
from accesscontrol.access.models import Event, OfflineEvent
from accesscontrol.doors.models import Channel
from accesscontrol.visits import belonging, issuing
from accounts import keys
from accounts.tenancy import tenant_transaction
from tests import world
from tests.signin_world import server
from tests.world import BY

PROGRAM = Path(__file__).parents[1] / "deploy" / "controller.py"
PIN = "73519264"


class Keypad:
    """A controller's process: type, and wait for what it says."""

    def __init__(self, url, key, channel, store, *options):
        command = [sys.executable, str(PROGRAM), "--url", url, "--channel", str(channel), "--store", str(store)]
        self.process = subprocess.Popen(
            [*command, *(options or ("--every", "0.2", "--list-every", "0.4"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "GATEHOUSE_READER_KEY": key},
        )
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def wait_for(self, pattern, seconds=120):
        """The next line that fits; what is said in between is remembered."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                break
            self.said.append(line)
            if re.fullmatch(pattern, line):
                return line
        raise AssertionError(f"no {pattern} in {self.said}")

    def type(self, pin):
        self.process.stdin.write(f"{pin}\n")
        self.process.stdin.flush()
        return self.wait_for(r"OPEN.*|CLOSED.*")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=120)
        self.process.stdout.close()


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


class Scene:
    def __init__(self, tenant):
        self.tenant, now = tenant, timezone.now()
        with tenant_transaction(tenant.pk):
            self.door = world.a_door("Front Door", keeps_offline_list=True)
            self.key = world.a_reader_key(self.door, now=now)
            ann = world.a_person("Ann", now=now)
            self.credential = world.a_pin(ann, PIN, now=now).credential
            belonging.set_roles(ann, [world.a_role("Staff", self.door, now=now)], by=BY, now=now)

    def do(self, work):
        with tenant_transaction(self.tenant.pk):
            return work()

    def events(self):
        return self.do(lambda: [(row.admitted, row.reason) for row in Event.objects.order_by("occurred_at", "id")])

    def wait_for_the_list(self, store):
        def whole():
            with tenant_transaction(self.tenant.pk):
                kept = store / "list.json"
                return kept.exists() and PIN not in kept.read_text() and '"whole": true' in kept.read_text()

        wait_until(whole)


@pytest.fixture
def scene(live):
    return Scene(live.acme)


@pytest.fixture
def keypads():
    made = []
    yield made
    for keypad in made:
        if keypad.process.poll() is None:
            keypad.process.kill()
            keypad.process.wait()
            keypad.process.stdout.close()
            keypad.process.stdin.close()


def test_it_opens_and_records_through_an_outage_and_a_restart_of_its_own(scene, keypads, tmp_path):
    store = tmp_path / "store"
    with server(tmp_path / "log") as url:
        keypad = Keypad(url, scene.key.value, scene.door.pk, store)
        keypads.append(keypad)
        assert keypad.type(PIN) == "OPEN 5"
        assert keypad.type("84620735") == "CLOSED"
        scene.wait_for_the_list(store)
    assert len(scene.events()) == 2
    assert keypad.type(PIN) == "OPEN 5"
    assert keypad.type("84620735") == "CLOSED"
    keypad.stop()
    again = Keypad(url, scene.key.value, scene.door.pk, store)
    keypads.append(again)
    assert again.type(PIN) == "OPEN 5"
    answers = [again.type(f"9000000{number}") for number in range(3)]
    assert answers == ["CLOSED", "CLOSED", "CLOSED 30"], "the first wrong PIN was typed before the restart"
    assert again.type(PIN).startswith("CLOSED")
    assert len(scene.events()) == 2
    assert {oct(file.stat().st_mode & 0o777) for file in store.iterdir()} == {"0o600"}
    assert PIN not in "".join(file.read_text() for file in store.iterdir())
    with server(tmp_path / "log", port=int(url.rpartition(":")[2])):
        again.wait_for("ONLINE")
        wait_until(lambda: len(scene.events()) >= 9)
        time.sleep(1)
    again.stop()
    wrong = (False, "invalid_pin")
    assert scene.events() == [
        (True, ""),
        wrong,
        (True, ""),
        wrong,
        (True, ""),
        wrong,
        wrong,
        wrong,
        (False, "throttled"),
    ]
    assert scene.do(OfflineEvent.objects.count) == 7
    assert (store / "events.json").read_text() == "[]"


def test_it_carries_out_commands_and_keeps_a_lockdown_through_an_outage(scene, keypads, tmp_path):
    store = tmp_path / "store"
    with server(tmp_path / "log") as url:
        keypad = Keypad(url, scene.key.value, scene.door.pk, store)
        keypads.append(keypad)
        keypad.wait_for("ONLINE")
        scene.wait_for_the_list(store)
        command = scene.do(lambda: commands.admit(scene.door, by=BY, now=timezone.now()))
        keypad.wait_for("COMMAND admit")
        wait_until(lambda: scene.do(lambda: type(command).objects.get(pk=command.pk).outcome) == "done")
        scene.do(lambda: commands.lock_down([scene.door], by=BY, now=timezone.now()))
        keypad.wait_for("COMMAND lockdown")
        wait_until(lambda: '"locked_down"' in (store / "list.json").read_text())
    assert keypad.type(PIN) == "CLOSED"
    keypad.stop()
    assert "lockdown" in (store / "events.json").read_text()


def test_it_waits_for_commands_where_a_stream_process_answers(scene, keypads, tmp_path):
    with server(tmp_path / "log") as url, server(tmp_path / "stream", interface="asgi") as stream:
        options = ("--stream-url", stream, "--every", "600")
        keypad = Keypad(url, scene.key.value, scene.door.pk, tmp_path / "store", *options)
        keypads.append(keypad)
        keypad.wait_for("ONLINE")
        for _ in range(2):
            scene.do(lambda: commands.admit(scene.door, by=BY, now=timezone.now()))
            # Whoever asks by the clock, asks every ten minutes here.
            keypad.wait_for("COMMAND admit", 60)
        wait_until(lambda: [row[0] for row in scene.events()] == [True, True])
        keypad.stop()


def test_without_a_list_it_lets_nobody_in(scene, keypads, tmp_path):
    keypad = Keypad("http://127.0.0.1:9", scene.key.value, scene.door.pk, tmp_path / "store")
    keypads.append(keypad)
    assert keypad.type(PIN) == "CLOSED"
    keypad.stop()


@pytest.mark.parametrize("what", ["key", "door"])
def test_a_revoked_key_or_a_door_without_a_list_leaves_nothing_behind(scene, keypads, tmp_path, what):
    store = tmp_path / "store"
    with server(tmp_path / "log") as url:
        keypad = Keypad(url, scene.key.value, scene.door.pk, store)
        keypads.append(keypad)
        scene.wait_for_the_list(store)
        if what == "key":
            scene.do(lambda: keys.revoke(scene.key.api_key, by=BY, now=timezone.now()))
        else:
            scene.do(lambda: Channel.objects.update(keeps_offline_list=False))
        wait_until(lambda: '"whole": false' in (store / "list.json").read_text())
    assert keypad.type(PIN) == "CLOSED"
    keypad.stop()


class Elsewhere(BaseHTTPRequestHandler):
    """What answers at the server's address and is not the server, such as the page of a guest network."""

    status, page, followed = 302, b"<h1>Accept our terms</h1>", []

    def do_GET(self):
        self.followed.append(self.path if self.path.startswith("/guests") else "")
        self.send_response(self.status)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/guests")
        self.end_headers()
        self.wfile.write(self.page)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *args):
        """Quiet."""


def test_it_shows_its_key_to_nobody_else_and_takes_no_page_for_an_answer(scene, keypads, tmp_path, monkeypatch):
    store = tmp_path / "store"
    with server(tmp_path / "log") as url:
        keypad = Keypad(url, scene.key.value, scene.door.pk, store)
        keypads.append(keypad)
        scene.wait_for_the_list(store)
    with ThreadingHTTPServer(("127.0.0.1", int(url.rpartition(":")[2])), Elsewhere) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        # What looks like an answer and says nothing opens nothing; everything else is an outage.
        for status, page, said in (
            (302, b"", "OPEN 5"),
            (307, b"{}", "OPEN 5"),
            (403, b"<h1>Accept our terms</h1>", "OPEN 5"),
            (200, b"<h1>Accept our terms</h1>", "OPEN 5"),
            (200, b"{}", "CLOSED"),
        ):
            monkeypatch.setattr(Elsewhere, "status", status)
            monkeypatch.setattr(Elsewhere, "page", page)
            Elsewhere.followed.clear()
            assert keypad.type(PIN) == said
            wait_until(lambda: len(Elsewhere.followed) >= 3)
            assert not any(Elsewhere.followed), "it followed"
        other.shutdown()
    assert '"whole": true' in (store / "list.json").read_text()
    keypad.stop()
    assert len(json.loads((store / "events.json").read_text())) == 4


def test_what_was_revoked_before_the_outage_opens_nothing_in_it(scene, keypads, tmp_path):
    store = tmp_path / "store"
    with server(tmp_path / "log") as url:
        keypad = Keypad(url, scene.key.value, scene.door.pk, store)
        keypads.append(keypad)
        scene.wait_for_the_list(store)
        scene.do(lambda: issuing.revoke(scene.credential, by=BY, now=timezone.now()))
        wait_until(lambda: '"entries": {}' in (store / "list.json").read_text())
    assert keypad.type(PIN) == "CLOSED"
    keypad.stop()
