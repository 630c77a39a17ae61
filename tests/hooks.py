"""Webhooks in tests: a clock that goes ahead, receivers on loopback, and runs that see all that was written."""

import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accesscontrol.access import following
from accesscontrol.people import records
from accesscontrol.webhooks import gateways, running, subscribing
from accesscontrol.webhooks.models import Dispatch, Kind
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from tests import world
from tests.receivers import Receiver
from tests.world import BY


class Clock:
    """The time as it is, moved on."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return timezone.now() + self.ahead

    def go(self, **values):
        self.ahead += timedelta(**values)


@pytest.fixture(name="clock")
def clock_fixture():
    return Clock()


@pytest.fixture(name="loopback", autouse=True)
def loopback_fixture(settings, monkeypatch):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr(gateways, "WHOLE_SECONDS", 15.0)


@pytest.fixture(name="impatient")
def impatient_fixture(monkeypatch):
    """For receivers that never answer; the others get the time that a busy machine needs."""
    monkeypatch.setattr(gateways, "WHOLE_SECONDS", 2.0)


@pytest.fixture(name="receive")
def receive_fixture():
    opened = []

    def make(manner=None):
        opened.append(Receiver(manner))
        return opened[-1]

    yield make
    for receiver in opened:
        receiver.stop()


def subscribed(tenant, url, *kinds, form="standard", name="Test"):
    with tenant_transaction(tenant.pk):
        made = subscribing.subscribe(name, url, kinds=kinds or Kind.values, form=form, by=BY, now=timezone.now())
    made.subscription.url = url
    return made


def all_visible():
    """Wait for transactions of tests beside this one: what is written now is followed once they have ended."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        [written] = cursor.fetchone()
    until = time.monotonic() + 40
    while following.horizon() <= written and time.monotonic() < until:
        time.sleep(0.05)


def run(clock=timezone.now, seconds=300.0):
    all_visible()
    running.run(clock=clock, seconds=seconds)


def happenings_of(tenant, persons=1, changes=3):
    """Named changes of several people, each in a transaction of its own; returns what each was given, by person."""
    written = {}
    with tenant_transaction(tenant.pk):
        people = [world.a_person(f"P{number}") for number in range(persons)]
    for change in range(changes):
        for person in people:
            with tenant_transaction(tenant.pk):
                records.change(person, {"notes": f"{change}"}, by=BY, now=timezone.now())
    with tenant_transaction(tenant.pk):
        rows = AuditEvent.objects.filter(subject_type="person").order_by("xact_id", "id")
        for row in rows:
            written.setdefault(int(row.subject_id), []).append(f"msg_{tenant.pk}u{row.pk}")
    return written


def by_person(messages):
    """Ids in the order in which they were taken, each once: a receiver knows what it has seen."""
    got = {}
    for message in messages:
        ids = got.setdefault(message.person, [])
        if message.id not in ids:
            ids.append(message.id)
    return got


def unsettled(tenant):
    with tenant_transaction(tenant.pk):
        return Dispatch.objects.filter(state__in=Dispatch.UNSETTLED).count()
