"""Counts of a month: each event once, whenever it commits, and never another number than the list's."""

from datetime import UTC, timedelta
from itertools import pairwise
from threading import Thread
from uuid import uuid4

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.access import attempts, counting
from accesscontrol.access.counting import Count
from accesscontrol.access.models import Event, EventCount, EventCountPosition
from accesscontrol.access.tasks import count_events
from accesscontrol.credentials.models import CredentialType
from accounts.tenancy import tenant_context, tenant_transaction
from tests import world
from tests.hooks import all_visible
from tests.world import NOW

DAYS = [NOW.replace(hour=0) - timedelta(days=7 - number) for number in range(9)]


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


def an_event(door, at, admitted=True):
    return Event.objects.create(
        channel=door, code=11, admitted=admitted, reason="" if admitted else "invalid_pin", occurred_at=at
    )


def of_list(door, begins, ends):
    rows = Event.objects.filter(channel=door, occurred_at__gte=begins, occurred_at__lt=ends)
    return Count(rows.filter(admitted=True).count(), rows.filter(admitted=False).count())


def count_all():
    while counting.count_new(NOW):
        pass


def test_what_is_not_counted_yet_is_read_with_what_is(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        an_event(door, NOW)
        an_event(door, NOW, admitted=False)
    all_visible()
    count_events()
    with tenant_transaction(live.acme.pk):
        assert list(EventCount.objects.values_list("let_in", "not_let_in")) == [(1, 1)]
        an_event(door, NOW + timedelta(minutes=1))
        assert counting.read(DAYS)[7] == {door.pk: Count(2, 1)}
    all_visible()
    count_events()
    count_events()
    with tenant_transaction(live.acme.pk):
        assert list(EventCount.objects.values_list("let_in", "not_let_in")) == [(2, 1)]
        assert counting.read(DAYS)[7] == {door.pk: Count(2, 1)}
    with tenant_transaction(live.globex.pk):
        assert not EventCount.objects.exists()


def test_what_commits_late_is_counted_later_and_once(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()

    def later():
        with tenant_transaction(live.acme.pk):
            an_event(door, NOW)
            thread = Thread(target=meanwhile)
            thread.start()
            thread.join()
        connections.close_all()

    def meanwhile():
        with tenant_transaction(live.acme.pk):
            an_event(door, NOW, admitted=False)
        count_events()
        with tenant_transaction(live.acme.pk):
            # Neither is below the oldest open transaction, and the one that is visible is in the number.
            assert not EventCount.objects.exists()
            assert counting.read(DAYS)[7] == {door.pk: Count(0, 1)}
        connections.close_all()

    thread = Thread(target=later)
    thread.start()
    thread.join()
    for _ in range(2):
        with tenant_transaction(live.acme.pk):
            assert counting.read(DAYS)[7] == {door.pk: Count(1, 1)}
        count_events()


def test_two_ticks_at_once_count_once(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        for number in range(50):
            an_event(door, NOW - timedelta(minutes=number))
    all_visible()

    def tick():
        count_events()
        connections.close_all()

    threads = [Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count_events()
    with tenant_transaction(live.acme.pk):
        assert sum(EventCount.objects.values_list("let_in", flat=True)) == 50
        assert EventCountPosition.objects.count() == 1


def test_a_batch_ends_between_transactions(live, monkeypatch):
    monkeypatch.setattr(counting, "BATCH", 3)
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        for _ in range(8):
            an_event(door, NOW)
    for _ in range(5):
        with tenant_transaction(live.acme.pk):
            an_event(door, NOW)
    all_visible()
    count_events()
    with tenant_transaction(live.acme.pk):
        assert EventCount.objects.get().let_in == 13


def test_old_counts_are_forgotten_and_old_events_not_counted(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        an_event(door, NOW - counting.KEPT - timedelta(minutes=1))
        an_event(door, NOW - counting.KEPT + timedelta(hours=1))
        count_all()
    all_visible()
    with tenant_transaction(live.acme.pk):
        count_all()
        assert EventCount.objects.count() == 1
        an_event(door, NOW)
    all_visible()
    with tenant_transaction(live.acme.pk):
        counting.count_new(NOW + timedelta(days=1))
        assert [row.begins_at for row in EventCount.objects.all()] == [NOW]


def test_chosen_doors_alone(acme):
    front, lab = world.a_door(), world.a_door("Lab")
    attempts.attempt(front.pk, "0000", type=CredentialType.PIN, now=NOW)
    attempts.attempt(lab.pk, "0000", type=CredentialType.PIN, now=NOW)
    assert counting.read(DAYS, channel_ids=[lab.pk])[7] == {lab.pk: Count(0, 1)}
    assert counting.read(DAYS, channel_ids=[])[7] == {}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.tuples(st.integers(0, 7 * 24 * 3600), st.booleans(), st.booleans()), max_size=30),
    st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_a_number_is_that_of_its_list_in_any_zone_whenever_the_tick_came(live, happened, zone):
    """Committed events, counted or not by turns, against the list of the same period."""
    with tenant_transaction(live.acme.pk):
        site = world.a_site(f"Site {uuid4()}", time_zone=zone)
        door = world.a_door(site=site)
    begin = NOW.astimezone(site.zone).replace(hour=0, tzinfo=None) - timedelta(days=7)
    bounds = [(begin + timedelta(days=number)).replace(tzinfo=site.zone).astimezone(UTC) for number in range(8)]
    for seconds, admitted, counted in happened:
        with tenant_transaction(live.acme.pk):
            an_event(door, bounds[0] + timedelta(seconds=seconds), admitted)
        if counted:
            count_events()
    with tenant_transaction(live.acme.pk):
        found = counting.read(bounds, channel_ids=[door.pk])
        for number, (first, last) in enumerate(pairwise(bounds)):
            assert found[number].get(door.pk, Count()) == of_list(door, first, last)


def test_the_finder_names_no_tenant_that_is_done(live):
    with tenant_transaction(live.acme.pk):
        an_event(world.a_door(), NOW)
    all_visible()
    assert counting.tenants_with_uncounted() == [live.acme.pk]
    count_events()
    assert counting.tenants_with_uncounted() == []
    with tenant_transaction(live.acme.pk), tenant_context(live.acme.pk), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM access_eventcountposition")
        assert cursor.fetchone() == (1,)
