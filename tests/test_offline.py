"""Through an outage: a controller's list decides as the server would, and each of its events counts once."""

import hmac
import importlib.util
import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.access import commands, facts, offline_list
from accesscontrol.access.decision import decide
from accesscontrol.access.models import Alarm, Event, OfflineEvent, OfflineList
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting, holidays
from accesscontrol.doors.hours import Holiday, OnHoliday, Stretch, holiday_on, is_open
from accesscontrol.doors.models import Shift
from accesscontrol.people import records
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import belonging, duress, host_notice, issuing, leaving, reserving
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from tests import world
from tests.world import BY

PIN = "73519264"
_spec = importlib.util.spec_from_file_location(
    "reference_controller", Path(__file__).parents[1] / "deploy" / "controller.py"
)
controller = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(controller)


@pytest.fixture
def now(time_machine):
    moment = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
    time_machine.move_to(moment, tick=False)
    return moment


@pytest.fixture
def door(acme, now):
    return world.a_door("Front Door", is_visitor_door=True, keeps_offline_list=True)


@pytest.fixture
def key(door):
    return world.a_reader_key(door)


class Kept:
    """A list as a controller has it."""

    def __init__(self, door, key):
        self.door, self.key, self.entries, self.cursor = door, key, {}, None
        self.client = world.api(key.value)

    def ask(self, since=None, **query):
        query |= {"since": since} if since else {}
        return self.client.get(f"/api/3/channels/{self.door.pk}/access_list", query)

    def follow(self, n=500):
        """Read on to the end; returns how many entries and removals came."""
        came = 0
        while True:
            answer = self.ask(self.cursor, n=n).json()
            self.entries = {} if answer["reset"] else self.entries
            self.entries |= {entry["credential_id"]: entry for entry in answer["entries"]}
            for gone in answer["removed"]:
                self.entries.pop(gone, None)
            self.cursor, self.channel = answer["cursor"], answer["channel"]
            came += len(answer["entries"]) + len(answer["removed"])
            if not answer["more"]:
                return came

    def fingerprint(self, value, type="pin"):
        own = hmac.digest(self.key.value.encode(), f"gatehouse access list {self.door.pk}".encode(), "sha256")
        return hmac.digest(own, f"{type}|{value}".encode(), "sha256").hex()

    def entry(self, value):
        found = self.fingerprint(value)
        return next((entry for entry in self.entries.values() if entry["fingerprint"] == found), None)

    def decide(self, value, at, age=0):
        return controller.decide(self.channel, self.entry(value), at, age)


@pytest.fixture
def kept(door, key):
    return Kept(door, key)


def may(person, *doors, now, shift=None):
    role = world.a_role(f"Role {person.pk}", *doors, shift=shift, now=now)
    belonging.set_roles(person, [role], by=BY, now=now)


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
            listed.wait(20)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    written.wait(20)
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


# The rule


_ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
_AT = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))
_TIMES = st.times().map(lambda moment: moment.replace(microsecond=0))
_STRETCHES = st.lists(st.builds(Stretch, st.integers(0, 6), _TIMES, _TIMES), max_size=4)
# The nights when clocks change, by the minute.
_NIGHTS = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from(
        [
            datetime(2026, 3, 28, 22, tzinfo=UTC),
            datetime(2026, 10, 24, 22, tzinfo=UTC),
            datetime(2026, 11, 1, 4, tzinfo=UTC),
            datetime(2026, 4, 4, 13, tzinfo=UTC),
            datetime(2026, 10, 3, 13, tzinfo=UTC),
        ]
    ),
    st.integers(0, 360),
)
_NIGHT_TIMES = st.builds(time, st.integers(0, 4), st.sampled_from([0, 15, 30, 59]))
_NIGHT_STRETCHES = st.lists(st.builds(Stretch, st.sampled_from([5, 6]), _NIGHT_TIMES, _NIGHT_TIMES), max_size=3)
_FREE = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 2), st.booleans(), st.lists(st.tuples(_TIMES, _TIMES), max_size=2)),
    max_size=3,
)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(_ZONES),
    st.one_of(st.tuples(_STRETCHES, _AT), st.tuples(_NIGHT_STRETCHES, _NIGHTS)),
    _FREE,
    st.sampled_from(OnHoliday),
)
def test_the_controllers_hours_are_the_servers(zone, found, free, on_holiday):
    stretches, at = found
    stretches = [replace(stretch, on_holiday=on_holiday) for stretch in stretches]
    hours = [[row.weekday, row.start_time.isoformat(), row.end_time.isoformat(), row.on_holiday] for row in stretches]
    today = at.astimezone(ZoneInfo(zone)).date()
    known = [
        Holiday(today + timedelta(days=first), today + timedelta(days=first + length), is_yearly, tuple(times))
        for first, length, is_yearly, times in free
    ]
    listed = [
        {"day": day.isoformat(), "hours": [[start.isoformat(), end.isoformat()] for start, end in holiday.hours]}
        for day in (today + timedelta(days=number) for number in range(-3, 4))
        if (holiday := holiday_on(day, known))
    ]
    told = controller.is_open(hours, at, ZoneInfo(zone), 0, listed)
    assert told == is_open(stretches, at, ZoneInfo(zone), known)


def test_a_list_tells_the_holidays_of_the_site(door, kept, now):
    ann = world.a_person("Ann", now=now)
    world.a_pin(ann, PIN, now=now)
    every_day = Shift.objects.create(name="Every day", on_holiday="holiday_hours")
    granting.set_times(every_day, [Stretch(day, time(0), time(0)) for day in range(7)], by=BY, now=now)
    belonging.set_roles(ann, [world.a_role("Staff", door, shift=every_day, now=now)], by=BY, now=now)
    kept.follow()
    assert kept.decide(PIN, now, 1) == ("", False)
    today = now.astimezone(door.site.zone).date()
    [free] = holidays.add([door.site], holidays.Days("Free", today, today + timedelta(days=1)), by=BY, now=now)
    kept.follow()
    assert [row["day"] for row in kept.channel["holidays"]] == [
        (today + timedelta(days=number)).isoformat() for number in (0, 1)
    ]
    assert kept.decide(PIN, now, 1) == ("not_permitted_at_this_time", False)
    holidays.remove(free, by=BY, now=now)
    granting.set_on_holiday(every_day, "as_usual", by=BY, now=now)
    kept.follow()
    assert kept.channel["holidays"] == []
    assert kept.decide(PIN, now, 1) == ("", False)


_MINUTES = st.integers(-3000, 3000)
_SHIFT = st.one_of(st.none(), _STRETCHES)
_RIGHTS = st.fixed_dictionaries(
    {
        "role": st.one_of(st.none(), st.tuples(_SHIFT)),
        "group": st.one_of(st.none(), st.tuples(_SHIFT)),
        "visits": st.lists(st.tuples(_MINUTES, st.integers(1, 3000), _SHIFT, st.booleans()), max_size=3),
        "enabled": st.booleans() | st.just(True),
        "person_enabled": st.booleans() | st.just(True),
        "valid": st.one_of(st.none(), st.tuples(_MINUTES, st.integers(1, 3000))),
        "state": st.sampled_from(["normal", "normal", "normal", "unlocked", "until", "locked_down"]),
        "auto_unlock": st.one_of(st.none(), st.none(), _STRETCHES),
        "later": st.lists(st.integers(0, 4000), min_size=1, max_size=4),
    }
)
# Without a right here, now or to come, a PIN is not in the list: it is unknown, whatever it is elsewhere.
_NOT_IN_THE_LIST = {"unauthorized", "credential_expired", "not_permitted_at_this_time"}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rights=_RIGHTS)
def test_the_list_decides_as_the_server_does(acme, now, rights):
    """Random rights, looked at now and at later instants by both: admitted by both, or by neither."""
    from django.db import transaction

    with transaction.atomic():
        door = _a_door_with(rights, now)
        kept = Kept(door, world.a_reader_key(door))
        kept.follow()
        for minutes in rights["later"]:
            at = now + timedelta(minutes=minutes)
            known = facts.find(door.pk, PIN, type=CredentialType.PIN, now=at).facts
            ours, (theirs, was_open) = decide(known, at), kept.decide(PIN, at)
            if kept.entry(PIN) is None and not ours.admitted:
                assert ours.reason in _NOT_IN_THE_LIST | {
                    "lockdown",
                    "credential_not_enabled",
                    "person_not_enabled",
                    "person_not_active",
                }
                continue
            if ours.was_open and kept.entry(PIN) is None:
                # A held-open door writes down whom it knows; this controller knows those with a right here.
                continue
            assert (theirs == "", was_open) == (ours.admitted, ours.was_open), (at, ours, theirs)
            if ours.reason not in ("unauthorized", "credential_expired"):
                assert theirs == ours.reason.value
        transaction.set_rollback(True)


def _a_door_with(rights, now):
    before = now - timedelta(days=4)

    def shift(stretches):
        if stretches is None:
            return None
        made = Shift.objects.create(name=f"Shift {Shift.objects.count()}")
        unique = {(row.weekday, row.start_time): row for row in stretches}
        granting.set_times(made, unique.values(), by=BY, now=before)
        return made

    door = world.a_door("Door", site=world.a_site(f"Site {len(Shift.objects.all())}"), keeps_offline_list=True)
    ann = world.a_person("Ann", now=before)
    issued = world.a_pin(ann, PIN, now=before)
    if rights["role"]:
        belonging.set_roles(
            ann, [world.a_role("Own", door, shift=shift(rights["role"][0]), now=before)], by=BY, now=before
        )
    if rights["group"]:
        role = world.a_role("Of group", door, shift=shift(rights["group"][0]), now=before)
        belonging.set_groups(ann, [world.a_group("All", role, now=before)], by=BY, now=before)
    for start, length, hours, is_cancelled in rights["visits"]:
        begins = now + timedelta(minutes=start)
        made = world.a_reservation(ann, door, start=begins, hours=length / 60, now=before, shift=shift(hours))
        if is_cancelled:
            reserving.cancel(made, by=BY, now=now)
    issuing.set_enabled(issued.credential, rights["enabled"], by=BY, now=before)
    changes = {"enabled": rights["person_enabled"]}
    if rights["valid"]:
        first = now + timedelta(minutes=rights["valid"][0])
        changes |= {"valid_from": first, "valid_to": first + timedelta(minutes=rights["valid"][1])}
    records.change(ann, changes, by=BY, now=before)
    if rights["auto_unlock"] is not None:
        commands.auto_unlock(door, shift(rights["auto_unlock"]), by=BY, now=before)
    if rights["state"] == "locked_down":
        commands.lock_down([door], by=BY, now=now)
    elif rights["state"] != "normal":
        until = now + timedelta(hours=20) if rights["state"] == "until" else None
        commands.hold_open([door], until=until, by=BY, now=now)
    door.refresh_from_db()
    return door


# What was decided alone


def told(number, now, **values):
    return {"id": f"e{number}", "occurred_at": now.isoformat(), "admitted": False, "reason": "invalid_pin"} | values


@pytest.fixture
def send(door, key):
    client = world.api(key.value)

    def send(*events):
        return client.post(
            f"/api/3/channels/{door.pk}/events", {"events": list(events)}, content_type="application/json"
        )

    return send


def test_events_are_recorded_once_in_the_order_in_which_they_happened(door, send, now):
    ann = world.a_person("Ann", now=now)
    public_id = world.a_pin(ann, PIN, now=now).credential.public_id
    early, late = now - timedelta(hours=3), now - timedelta(hours=1)
    batch = [
        told(1, late, admitted=True, reason="", credential_id=public_id),
        told(2, early, reason="not_permitted_at_this_time", credential_id=public_id),
    ]
    first, again = send(*batch).json(), send(*batch, told(3, now)).json()
    assert (first["recorded"], again["recorded"]) == (2, 1)
    assert {row["id"]: row["event_id"] for row in first["events"]}.items() <= {
        row["id"]: row["event_id"] for row in again["events"]
    }.items()
    events = list(Event.objects.order_by("id"))
    assert [(event.occurred_at, event.code, event.person_id) for event in events] == [
        (early, 21, ann.pk),
        (late, 11, ann.pk),
        (now, 24, None),
    ]
    assert all(event.recorded_at > event.occurred_at for event in events[:2])


def test_an_admission_that_is_told_late_is_the_visitors_coming(door, send, now):
    """As when the server decides: the visit has begun, nobody was missed, a use counts. Hosts hear within the hour."""
    host = world.a_member(StaffRole.HOST, now=now)
    ago = timedelta(minutes=1)
    visits = {}
    for name, start, values in (
        ("Fresh", 120 * ago, {}),
        ("Late", 200 * ago, {}),
        ("Missed", 200 * ago, {"no_show_at": now - ago}),
        ("Gone", 120 * ago, {"checked_out_at": now - ago}),
        ("Counted", 120 * ago, {"max_uses": 3, "uses": 1, "last_use_at": now - 60 * ago, "arrived_at": now - 60 * ago}),
        ("Elsewhere", 120 * ago, {}),
    ):
        person = world.a_person(name, now=now - 600 * ago)
        doors = [world.a_door("Lab")] if name == "Elsewhere" else [door]
        booked = world.a_reservation(person, *doors, start=now - start, hours=8, now=now - start)
        Reservation.objects.filter(pk=booked.pk).update(host=host, **values)
        visits[name] = booked, world.a_pin(person, now=now - 300 * ago).credential.public_id
    came = {"Late": 150 * ago, "Missed": 150 * ago}

    def admissions(*more):
        rows = [(name, came.get(name, 30 * ago)) for name in visits] + list(more)
        return [
            told(place, now - before, admitted=True, reason="", credential_id=visits[name][1])
            for place, (name, before) in enumerate(rows)
        ]

    batch = admissions(("Counted", 29 * ago), ("Counted", 20 * ago), ("Fresh", 10 * ago))
    for _ in range(2):
        assert send(*batch).status_code == 200
    found = {name: Reservation.objects.get(pk=booked.pk) for name, (booked, _pin) in visits.items()}
    assert found["Fresh"].arrived_at == now - 30 * ago
    assert found["Fresh"].host_told_at is None
    assert (found["Late"].arrived_at, found["Late"].host_told_at) == (now - 150 * ago, now)
    assert (found["Missed"].arrived_at, found["Missed"].no_show_at) == (now - 150 * ago, None)
    assert (found["Gone"].arrived_at, found["Gone"].host_told_at) == (now - 30 * ago, now)
    assert (found["Counted"].uses, found["Counted"].last_use_at) == (3, now - 20 * ago)
    assert found["Counted"].arrived_at == now - 60 * ago
    assert found["Elsewhere"].arrived_at is None
    assert host_notice.tell_hosts(now) == 2, "Fresh, and Counted, whom a door let in before"


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"occurred_at": "2026-07-01T09:05:01Z"}, "occurred_at", "in_the_future"),
        ({"occurred_at": "2026-03-01T00:00:00Z"}, "occurred_at", "too_old"),
        ({"occurred_at": "noon"}, "occurred_at", "invalid"),
        ({"credential_id": "cred_unknown"}, "credential_id", "unknown"),
        ({"admitted": True, "reason": ""}, "credential_id", "required"),
        ({"reason": ""}, "reason", "invalid"),
        ({"reason": "bad mood"}, "reason", "invalid_choice"),
        ({"id": "e0"}, "id", "repeated"),
        ({"id": ""}, "id", "blank"),
        ({"id": "x" * 101}, "id", "max_length"),
        ({"credential_type": "face"}, "credential_type", "invalid_choice"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(send, now, values, field, code):
    answer = send(told(0, now), told(1, now) | values, told(2, now))
    assert answer.status_code == 422
    assert answer.json()["codes"] == {f"events[1].{field}": [code]}
    assert not Event.objects.exists()
    assert not OfflineEvent.objects.exists()


def test_a_batch_has_an_end_and_a_form(send, now):
    assert send(*(told(number, now) for number in range(501))).status_code == 422
    assert send(*(told(number, now) for number in range(500))).json()["recorded"] == 500
    assert send("x").status_code == 422
    assert send().status_code == 200


def test_an_id_is_of_one_event(send, now):
    send(told(1, now))
    answer = send(told(1, now, reason="lockdown"))
    assert answer.json()["codes"] == {"events[0].id": ["id_reused"]}


def test_an_event_that_the_server_had_decided_is_not_recorded_again(door, key, send, now):
    """Its answer was lost, so the controller decided too: with the same id."""
    asked = world.api(key.value).post(
        f"/api/3/channels/{door.pk}/access_attempts",
        {"value": PIN, "attempt_id": "e1"},
        content_type="application/json",
    )
    answer = send(told(1, now, reason="unauthorized")).json()
    assert answer == {"recorded": 0, "events": [{"id": "e1", "event_id": asked.json()["event_id"]}]}
    assert Event.objects.count() == 1


def test_the_same_alarms_are_raised(door, send, now):
    ann = world.a_person("Ann", now=now)
    public_id = world.a_pin(ann, PIN, now=now).credential.public_id
    forced = told(0, now, admitted=True, reason="", credential_id=public_id, duress=True)
    for _ in range(2):
        send(forced)
    [alarm] = Alarm.objects.all()
    assert (alarm.kind, alarm.person_id, alarm.channel_id) == ("duress", ann.pk, door.pk)
    send(*(told(number, now - timedelta(minutes=7 * number)) for number in range(1, 11)))
    assert Alarm.objects.filter(kind="guessing").count() == 0
    send(*(told(number, now - timedelta(minutes=6 * number)) for number in range(11, 21)))
    assert Alarm.objects.filter(kind="guessing").count() == 1


def test_one_batch_sent_many_times_at_once_is_recorded_once(live):
    from django.utils import timezone

    from tests.test_races import at_once

    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        key = world.a_reader_key(door).value
    batch = {"events": [told(number, now) for number in range(20)]}

    def send(number):
        answer = world.api(key).post(f"/api/3/channels/{door.pk}/events", batch, content_type="application/json")
        return answer.json()["recorded"]

    assert sorted(at_once(8, send)) == [0] * 7 + [20]
    with tenant_transaction(live.acme.pk):
        assert Event.objects.count() == 20


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
