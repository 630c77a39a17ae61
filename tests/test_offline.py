"""Through an outage: what a controller's list holds, and how it follows what changes."""

import json
from datetime import time, timedelta

from accesscontrol.access import commands, offline_list
from accesscontrol.access.models import OfflineList
from accesscontrol.credentials.models import Credential
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Shift
from accesscontrol.people import records
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import belonging, duress, issuing, leaving, reserving
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from tests import world
from tests.controllers import (
    PIN,
    Kept,
    door_fixture,  # noqa: F401
    kept_fixture,  # noqa: F401
    key_fixture,  # noqa: F401
    may,
    now_fixture,  # noqa: F401
)
from tests.world import BY


def test_the_list_is_off_until_it_is_asked_for(acme, now):
    lab = world.a_door("Lab")
    answer = Kept(lab, world.a_reader_key(lab)).ask()
    assert (answer.status_code, answer.json()["code"]) == (409, "offline_list_off")


def test_the_list_follows_what_changes(door, kept, now):
    assert kept.follow() == 0
    ann = world.a_person("Ann", now=now)
    issued = world.a_pin(ann, PIN, now=now)
    assert kept.follow() == 0, "a PIN without a right here is nobody's business here"
    may(ann, door, now=now)
    assert kept.follow() == 1
    assert kept.decide(PIN, now) == ("", False)
    assert kept.entry("84620735") is None
    issuing.set_enabled(issued.credential, False, by=BY, now=now)
    assert kept.follow() == 1
    assert kept.decide(PIN, now)[0] == "credential_not_enabled"
    records.change(ann, {"enabled": False}, by=BY, now=now)
    issuing.set_enabled(issued.credential, True, by=BY, now=now)
    assert kept.follow() == 1
    assert kept.decide(PIN, now)[0] == "person_not_enabled"
    leaving.delete_person(ann, by=BY, now=now)
    assert kept.follow() == 1
    assert kept.entries == {}
    assert kept.follow() == 0


def test_every_way_to_lose_a_right_reaches_the_list(door, kept, now):
    ann = world.a_person("Ann", now=now)
    world.a_pin(ann, PIN, now=now)
    role = world.a_role("Staff", door, now=now)
    group = world.a_group("All", role, now=now)
    booked = world.a_reservation(ann, door, start=now, now=now)

    def known():
        kept.follow()
        return len(kept.entry(PIN)["grants"]) if kept.entry(PIN) else 0

    assert known() == 1
    belonging.set_groups(ann, [group], by=BY, now=now)
    assert known() == 2
    reserving.cancel(booked, by=BY, now=now)
    assert known() == 1
    belonging.set_group_roles(group, [], by=BY, now=now)
    assert known() == 0
    belonging.set_roles(ann, [role], by=BY, now=now)
    assert known() == 1
    granting.set_channels(role, [], by=BY, now=now)
    assert known() == 0


def test_a_list_in_small_pages_is_whole(door, kept, now):
    role = world.a_role("Staff", door, now=now)
    people = [world.a_person(f"P{number}", now=now) for number in range(7)]
    pins = []
    for person in people:
        belonging.set_roles(person, [role], by=BY, now=now)
        pins.append(world.a_pin(person, now=now).value)
    assert kept.follow(n=3) == 7
    assert all(kept.decide(pin, now) == ("", False) for pin in pins)
    records.change(people[2], {"enabled": False}, by=BY, now=now)
    leaving.delete_person(people[4], by=BY, now=now)
    assert kept.follow(n=1) == 2
    assert len(kept.entries) == 6


def test_a_cursor_is_of_one_key(door, kept, key, now):
    ann = world.a_person("Ann", now=now)
    world.a_pin(ann, PIN, now=now)
    may(ann, door, now=now)
    kept.follow()
    other = Kept(door, world.a_reader_key(door))
    answer = other.ask(kept.cursor).json()
    assert answer["reset"]
    assert answer["entries"][0]["fingerprint"] not in json.dumps(kept.entries)
    assert answer["entries"][0]["fingerprint"] == other.fingerprint(PIN)
    for cursor in ("x", "WyIxIl0", kept.cursor[:-2]):
        assert other.ask(cursor).status_code == 422


def test_no_pin_and_no_fingerprint_of_the_server_is_in_the_list(door, kept, now):
    from pins.vault.models import Fingerprint

    ann = world.a_person("Ann", last_name="Kanarienvogel", now=now)
    world.a_pin(ann, PIN, now=now)
    may(ann, door, now=now)
    text = kept.ask().content.decode()
    assert PIN not in text
    assert "Kanarienvogel" not in text
    assert not [row for row in Fingerprint.objects.all() if bytes(row.digest).hex() in text]


def test_what_has_not_changed_is_304_and_costs_no_computation(door, kept, now, monkeypatch):
    ann = world.a_person("Ann", now=now)
    world.a_pin(ann, PIN, now=now)
    may(ann, door, now=now)
    kept.follow()
    first = kept.ask(kept.cursor)
    monkeypatch.setattr(offline_list, "_something_changed", lambda kept: False)
    monkeypatch.setattr(offline_list, "_entries", None)
    second = kept.client.get(
        f"/api/3/channels/{door.pk}/access_list",
        {"since": kept.cursor},
        headers={"If-None-Match": first.headers["ETag"]},
    )
    assert second.status_code == 304


def test_a_change_that_commits_late_is_in_the_next_list(live):
    """The row of a slow transaction is older than the list that was computed meanwhile."""
    import threading

    from django.db import connection
    from django.utils import timezone

    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        door = world.a_door(keeps_offline_list=True)
        key = world.a_reader_key(door)
        ann = world.a_person("Ann", now=now)
        world.a_pin(ann, PIN, now=now)
        role = world.a_role("Staff", door, now=now)
    written, listed = threading.Event(), threading.Event()

    def slow():
        with tenant_transaction(live.acme.pk):
            belonging.set_roles(ann, [role], by=BY, now=now)
            written.set()
            listed.wait(300)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    written.wait(60)
    kept = Kept(door, key)
    assert kept.follow() == 0
    with tenant_transaction(live.acme.pk):
        world.a_person("Bob", now=now)
    assert kept.follow() == 0
    listed.set()
    thread.join()
    assert kept.follow() == 1


def test_an_old_list_admits_no_visitors(door, kept, now):
    ann, vera = world.a_person("Ann", now=now), world.a_person("Vera", kind="visitor", now=now)
    world.a_pin(ann, PIN, now=now)
    pin = world.a_pin(vera, now=now).value
    may(ann, door, now=now)
    world.a_reservation(vera, door, start=now, hours=100, now=now)
    kept.follow()
    assert kept.channel["visitor_seconds"] == 12 * 3600
    assert [kept.decide(pin, now, age) for age in (12 * 3600, 12 * 3600 + 1)] == [
        ("", False),
        ("not_permitted_at_this_time", False),
    ]
    assert kept.decide(PIN, now, 10**6) == ("", False)


def test_duress_is_known_where_it_is_on(door, kept, now):
    ann = world.a_person("Ann", now=now)
    world.a_pin(ann, PIN, now=now)
    may(ann, door, now=now)
    kept.follow()
    assert kept.entry(PIN)["duress_fingerprint"] is None
    duress.set_duress(True, by=BY, now=now)
    kept.cursor = None
    kept.follow()
    assert kept.entry(PIN)["duress_fingerprint"] == kept.fingerprint("73519265")


def test_what_is_not_yet_at_the_door_is_said(door, kept, now):
    from accesscontrol.access import contact

    def waiting():
        return contact.standing([door.pk], now)[door.pk].waiting_changes

    ann = world.a_person("Ann", now=now)
    world.a_pin(ann, PIN, now=now)
    may(ann, door, now=now)
    kept.ask()
    assert waiting() == 1
    kept.follow()
    kept.follow()
    assert waiting() == 0
    assert OfflineList.objects.get().taken_version == 1


def test_every_change_of_rights_is_told_by_an_audit_event(door, kept, now):
    """The list is computed anew when an AuditEvent says so: none of the ways above may be silent."""
    ann = world.a_person("Ann", now=now)
    issued = world.a_pin(ann, PIN, now=now)
    shift = Shift.objects.create(name="Day")
    role = world.a_role("Staff", door, shift=shift, now=now)
    booked = world.a_reservation(ann, door, start=now, now=now)
    for change in (
        lambda: belonging.set_roles(ann, [role], by=BY, now=now),
        lambda: granting.set_times(shift, [Stretch(2, time(8), time(18))], by=BY, now=now),
        lambda: granting.set_shift(role, None, by=BY, now=now),
        lambda: reserving.reschedule(booked, end_time=now + timedelta(hours=9), by=BY, now=now),
        lambda: issuing.set_enabled(issued.credential, False, by=BY, now=now),
        lambda: commands.lock_down([door], by=BY, now=now),
        lambda: issuing.revoke(Credential.objects.get(), by=BY, now=now),
    ):
        last = AuditEvent.objects.latest("id").pk
        change()
        assert AuditEvent.objects.filter(offline_list._TELLING, pk__gt=last).exists()
    assert Reservation.objects.count() == 1
