"""The limit of a plan is exact over threads and processes, and survives a Redis that is away."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from accounts import rates

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
PROJECT = Path(__file__).resolve().parents[1]

ASK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
import django
django.setup()
from django.conf import settings
from accounts import rates
settings.REDIS_URL = sys.argv[2]
rates.take("warm", most=1, now=datetime.now(UTC))
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    asked = pool.map(lambda _: rates.take(sys.argv[1], most=100, now=datetime.now(UTC)).is_allowed, range(200))
    print(sum(asked))
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """No circuit that another test has opened, and no count of this process."""
    monkeypatch.setattr(rates, "_circuit", rates._Circuit())
    monkeypatch.setattr(rates, "_own", rates._Own())


def a_subject() -> str:
    return f"test:{uuid4()}"


def test_counts_down_and_says_when_it_starts_anew():
    subject = a_subject()
    first, second, third = (rates.take(subject, most=2, now=NOW) for _ in range(3))
    assert (first.is_allowed, second.is_allowed, third.is_allowed) == (True, True, False)
    assert [rate.remaining for rate in (first, second, third)] == [1, 0, 0]
    assert third.retry_after in (59, 60)
    assert NOW.timestamp() + 59 <= third.reset_at <= NOW.timestamp() + 60
    assert first.headers["X-RateLimit-Limit"] == "2"


def test_a_minute_later_everything_is_allowed_again():
    subject = a_subject()
    within = timedelta(seconds=2)
    assert rates.take(subject, most=1, now=NOW, within=within).is_allowed
    assert not rates.take(subject, most=1, now=NOW, within=within).is_allowed
    time.sleep(2.1)
    assert rates.take(subject, most=1, now=NOW, within=within).is_allowed


def test_a_limit_of_nothing_allows_nothing():
    assert not rates.take(a_subject(), most=0, now=NOW).is_allowed


def test_subjects_do_not_share():
    assert rates.take(a_subject(), most=1, now=NOW).is_allowed
    assert rates.take(a_subject(), most=1, now=NOW).is_allowed


def test_exact_over_two_processes_with_threads():
    subject = a_subject()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, subject, settings.REDIS_URL],
            cwd=PROJECT,
            env=os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    allowed = [int(process.communicate(timeout=300)[0]) for process in processes]
    assert sum(allowed) == 100


@pytest.fixture
def mute_redis(settings):
    """Takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.setblocking(False)
        settings.REDIS_URL = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        yield listener


def tries(listener) -> int:
    """How often Redis was called since this was asked last."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_without_redis_the_process_counts_and_waits_once(mute_redis):
    subject = a_subject()
    started = time.monotonic()
    first = rates.take(subject, most=3, now=NOW)
    later = [rates.take(subject, most=3, now=NOW) for _ in range(100)]
    assert first.is_allowed
    assert sum(rate.is_allowed for rate in later) == 2
    assert tries(mute_redis) == 1
    assert time.monotonic() - started < 10


def test_redis_is_asked_again_after_a_while(mute_redis, settings, monkeypatch):
    away, back = settings.REDIS_URL, os.environ["REDIS_URL"]
    subject = a_subject()
    assert rates.take(subject, most=1, now=NOW).is_allowed
    settings.REDIS_URL = back
    assert not rates.take(subject, most=1, now=NOW).is_allowed, "still this process's own count"
    moment = time.monotonic() + rates.PAUSE_SECONDS + 1
    monkeypatch.setattr(rates, "monotonic", lambda: moment)
    assert rates.take(subject, most=1, now=NOW).is_allowed, "the first that Redis counts"
    assert not rates.take(subject, most=1, now=NOW).is_allowed
    assert away != back


def test_while_redis_is_probed_again_nobody_else_waits(mute_redis, settings):
    settings.BROKER_TIMEOUT_SECONDS = 3
    rates._circuit._paused_until = time.monotonic() - 1
    with ThreadPoolExecutor(16) as pool:

        def timed(_):
            started = time.monotonic()
            rates.take(a_subject(), most=1, now=NOW)
            return time.monotonic() - started

        waits = list(pool.map(timed, range(16)))
    assert tries(mute_redis) == 1
    assert sum(wait > 2.5 for wait in waits) == 1


def test_an_own_count_is_exact_and_bounded():
    own = rates._Own()
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: own.count("one", rates.MINUTE)[0], range(400)))
    assert sorted(counts) == list(range(1, 401))
    for number in range(rates._MOST_SUBJECTS + 10):
        own.count(f"many:{number}", timedelta(0))
    assert len(own._counts) <= rates._MOST_SUBJECTS + 1
