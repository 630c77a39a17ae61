"""Who could open a door then: the report says what the rule said at the time, after random histories of rights."""

import csv
import io
from datetime import time, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.access import attempts, commands, facts
from accesscontrol.access.decision import decide
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting, holidays
from accesscontrol.doors.hours import OnHoliday, Stretch
from accesscontrol.doors.models import Channel, Holiday, Shift
from accesscontrol.overview import erasing
from accesscontrol.overview.who_could.files import INSTANT, lines
from accesscontrol.overview.who_could.report import Report
from accesscontrol.people import records
from accesscontrol.reservations import reserving as reservations
from accesscontrol.reservations.models import Reservation, ReservationUse
from accesscontrol.visits import arriving, belonging, group_reserving, issuing, leaving, recurring, reserving, rotation
from accounts import sites
from accounts.models import AuditEvent
from accounts.refusals import Refusal
from accounts.rights import StaffRole
from tests import world
from tests.world import BY, NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# The clocks go back in Berlin on 25 October 2026, and in New York on 1 November.
START = NOW + 114 * DAY
PINS = ("73519264", "84620735", "95731846")


class World:
    """A few people, groups, roles, hours and doors; `step` changes something at random through the product's verbs."""

    def __init__(self):
        self.now = START
        self.site = world.a_site("Head Office")
        self.doors = [world.a_door(name, site=self.site, is_visitor_door=True) for name in ("Front", "Lab")]
        before = START - 9 * DAY
        self.people = [world.a_person(name, now=before) for name in ("Ann", "Bob", "Cid")]
        self.pins = {
            person.pk: world.a_pin(person, pin, now=before) for person, pin in zip(self.people, PINS, strict=True)
        }
        self.shifts = [Shift.objects.create(name=f"Hours {number}") for number in range(2)]
        for shift in self.shifts:
            times = [Stretch(day, time(6), time(20)) for day in range(7)]
            granting.set_times(shift, times, by=BY, now=before)
        self.roles = [
            world.a_role("Always", self.doors[0], now=before),
            world.a_role("In hours", *self.doors, shift=self.shifts[0], now=before),
        ]
        self.groups = [world.a_group("Staff", self.roles[1], now=before), world.a_group("Empty", now=before)]

    def step(self, kind, a, b, c):
        person, door = self.people[a % 3], self.doors[b % 2]
        shift, role, group = self.shifts[b % 2], self.roles[b % 2], self.groups[c % 2]
        by = {"by": BY, "now": self.now}
        visits = list(Reservation.objects.filter(cancelled_at=None).order_by("pk"))
        visit = visits[a % len(visits)] if visits else None
        subset = [self.roles, [role], []][c % 3]
        if kind == "roles":
            belonging.set_roles(person, subset, **by)
        elif kind == "groups":
            belonging.set_groups(person, [[group], self.groups, []][b % 3], **by)
        elif kind == "group roles":
            belonging.set_group_roles(group, subset, **by)
        elif kind == "channels":
            granting.set_channels(role, [self.doors, [door], []][c % 3], **by)
        elif kind == "shift of role":
            granting.set_shift(role, [None, *self.shifts][c % 3], **by)
        elif kind == "times":
            start, end = time((a * 5) % 24), time((c * 7) % 24)
            granting.set_times(shift, [Stretch(day, start, end) for day in range(7) if (day + a) % 4], **by)
        elif kind == "on holiday":
            granting.set_on_holiday(shift, list(OnHoliday)[c % 3], **by)
        elif kind == "holiday":
            known = list(Holiday.objects.filter(ended_at=None))
            first = self.now.date() + (a - 2) * DAY
            hours = [(), ((time(8), time(12)),), ((time(22), time(3)),)][b % 3]
            days = holidays.Days("Free", first, first + (c % 2) * DAY, bool(b % 2), hours)
            if known and c > 3:
                holidays.remove(known[a % len(known)], **by)
            elif known and c > 2:
                holidays.change(known[a % len(known)], days, **by)
            else:
                holidays.add([self.site], days, **by)
        elif kind == "zone":
            zones = ["Europe/Berlin", "America/New_York", "Pacific/Apia", "UTC"]
            sites.change(self.site, {"time_zone": zones[a % 4]}, **by)
        elif kind == "person":
            changes = [{"enabled": bool(b % 2)}, {"valid_from": None, "valid_to": self.now + (b - 2) * 5 * HOUR}]
            changes += [{"valid_to": None, "valid_from": self.now + (b - 2) * 5 * HOUR}]
            records.change(person, changes[c % 3], **by)
        elif kind == "delete" and c > 3:
            leaving.delete_person(person, **by)
        elif kind == "credential":
            held = list(Credential.objects.filter(person=person, revoked_at=None, erased_at=None).order_by("pk"))
            if held and c % 4 == 0:
                issuing.revoke(held[-1], **by)
            elif held and c % 4 == 1:
                rotation.rotate(held[-1], **by)
            elif held:
                issuing.set_enabled(held[-1], bool(b % 2), **by)
            else:
                issuing.issue(person, CredentialType.PIN, "******", **by)
        elif kind == "command":
            made = [
                lambda: commands.lock_down([door], **by),
                lambda: commands.end_lock_down([door], **by),
                lambda: commands.hold_open([door], until=self.now + 5 * HOUR if c % 2 else None, **by),
                lambda: commands.normal([door], **by),
                lambda: commands.auto_unlock(door, [None, *self.shifts][c % 3], **by),
            ]
            made[a % 5]()
        elif kind == "reserve":
            weekly = recurring.Weekly(frozenset(range(7)), time(a * 4), time(c * 4))
            details = {"grace_seconds": [0, 900, 7200][a % 3], "needs_check_in": b % 3 == 0}
            details["max_uses"] = [None, 1, 2][c % 3]
            start, end = self.now + (a - 2) * 3 * HOUR, self.now + (a + b) * 9 * HOUR + HOUR
            own = [None, shift, "own"][(a + c) % 3]
            if own == "own":
                own = recurring.make_shift(weekly, start_time=start, end_time=end, zone=self.site.zone, **by)
            reserving.reserve(person, channels=[door], start_time=start, end_time=end, shift=own, details=details, **by)
        elif kind == "group visit":
            length = {"start_time": self.now + (a - 2) * 5 * HOUR, "end_time": self.now + b * 9 * HOUR}
            group_reserving.reserve(person, [group], **length, **by)
        elif visit is not None and kind == "move":
            doors = [None, [door], self.doors][c % 3]
            end = self.now + b * 7 * HOUR + HOUR
            reserving.reschedule(visit, start_time=end - (a + 1) * 6 * HOUR, end_time=end, channels=doors, **by)
        elif visit is not None and kind == "change visit":
            values = {"grace_seconds": a * 1800, "needs_check_in": bool(b % 2), "max_uses": [None, 1, 3][c % 3]}
            reservations.change(visit, values, **by)
        elif visit is not None and kind == "attend":
            [arriving.check_in, arriving.check_out][b % 2](visit, **by)
        elif visit is not None and kind == "cancel":
            reserving.cancel(visit, **by)
        elif kind == "type":
            issued = self.pins[person.pk]
            attempts.attempt(door.pk, issued.value, type=CredentialType.PIN, **by_now(self.now))

    def said(self):
        """What the rule says now, of everybody at every door, and whether the door is open to all."""
        return {(door.pk, person.pk): self.decided(door, person) for door in self.doors for person in self.people}

    def decided(self, door, person):
        return decide(facts.of_person(door.pk, person.pk, now=self.now), self.now)


def by_now(now):
    return {"now": now}


KINDS = (
    *("roles", "groups", "group roles", "channels", "shift of role", "times", "on holiday", "holiday"),
    *(
        "zone",
        "person",
        "delete",
        "credential",
        "command",
        "reserve",
        "reserve",
        "group visit",
        "move",
        "change visit",
        "attend",
    ),
    *("cancel", "type", "type"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        *(st.integers(0, 4) for _ in range(3)),
        st.sampled_from([1, 4, 7, 60, 240, 700, 1300]),
        st.sampled_from([0, 2, 90, 500]),
    ),
    min_size=4,
    max_size=18,
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_the_report_says_what_the_rule_said(acme, steps):
    with transaction.atomic():
        scene, said = World(), []
        for kind, a, b, c, wait, look in steps:
            scene.now += timedelta(minutes=wait)
            try:
                with transaction.atomic():
                    scene.step(kind, a, b, c)
            except Refusal:
                pass
            # Later than the change itself: what is said at its very instant may be said before it or after it.
            scene.now += timedelta(minutes=look, seconds=1)
            said.append((scene.now, scene.said()))
        end = scene.now + DAY
        for door in Channel.objects.select_related("site"):
            whole = Report(door, START, end)
            rows = whole.could_page(1, 100)[0]
            for number, (at, decisions) in enumerate(said):
                listed = {row.person.pk for row in rows if any(start <= at < stop for start, stop in row.spans)}
                is_open = any(start <= at < stop for start, stop in whole.door.held_open)
                for person in scene.people:
                    decision = decisions[door.pk, person.pk]
                    if decision.was_open:
                        assert is_open, (at, decision)
                    elif is_open:
                        # Whoever holds nothing is not known at an open door either.
                        assert decision.reason == "invalid_pin", (at, decision)
                    else:
                        expected = (door.name, person.first_name, at, decision)
                        assert (person.pk in listed) is decision.admitted, expected
                if number > len(said) - 3:
                    then = Report(door, at, at + INSTANT)
                    assert {row.person.pk for row in then.could_page(1, 100)[0]} == listed
                    assert bool(then.door.held_open) is is_open
        transaction.set_rollback(True)


@pytest.fixture
def door(acme):
    return world.a_door("Lab")


@pytest.fixture
def auditor(acme, time_machine):
    time_machine.move_to(NOW, tick=False)
    member = world.a_member(StaffRole.AUDITOR)
    client = world.signed_in(member.user)
    world.a_staff_pin(member)
    world.confirm(client, member)
    return client


def may(person, door, *, name="Staff", now, **values):
    belonging.set_roles(person, [world.a_role(name, door, now=now, **values)], by=BY, now=now)


ADDRESS = "/admin/who-could/"


def asked(client, door, since, until="", **values):
    local = {
        name: moment and f"{moment.astimezone(door.site.zone):%Y-%m-%dT%H:%M}"
        for name, moment in (("since", since), ("until", until))
    }
    return client.get(ADDRESS, {"where": f"door-{door.pk}", **local, **values})


def rows_of(answer):
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_page_names_who_could_through_what_and_who_did(door, auditor):
    before = NOW - 3 * DAY
    ann, bob = world.a_person("Ann", now=before), world.a_person("Bob", now=before)
    world.a_pin(ann, PINS[0], now=before)
    world.a_pin(bob, PINS[1], now=before)
    group = world.a_group("Night watch", world.a_role("Watch", door, now=before), now=before)
    belonging.set_groups(ann, [group], by=BY, now=before)
    belonging.set_groups(ann, [], by=BY, now=NOW - DAY)
    attempts.attempt(door.pk, PINS[0], type=CredentialType.PIN, now=NOW - 2 * DAY)
    commands.hold_open([door], until=NOW - HOUR, by=BY, now=NOW - 2 * HOUR)
    attempts.attempt(door.pk, PINS[1], type=CredentialType.PIN, now=NOW - 90 * timedelta(minutes=1))
    page = asked(auditor, door, NOW - 4 * DAY, NOW).content.decode()
    for words in (
        "Who could: 1 person",
        "Access level Watch, as member of Night watch",
        "28 Jun 2026, 11:00",
        "30 Jun 2026, 11:00",
        "Who did: 2 people",
        "1 while held open",
        "Held open 1 Jul 2026, 09:00 to 1 Jul 2026, 10:00: anybody could go in",
    ):
        assert words in page, words
    assert "Who could: 0 people" in asked(auditor, door, NOW - HOUR).content.decode()
    assert "Who could: 1 person" in asked(auditor, door, NOW - 30 * HOUR).content.decode()
    printed = asked(auditor, door, NOW - 4 * DAY, NOW, **{"as": "print"}).content.decode()
    assert "as member of Night watch" in printed
    assert "sidebar" not in printed
    world.a_door("Second")
    site = auditor.get(ADDRESS, {"where": f"site-{door.site_id}", "since": "2026-06-28T00:00"}).content.decode()
    assert "Had a right" in site


def test_files_hold_every_row_and_no_formula(door, auditor):
    before = NOW - 3 * DAY
    evil = world.a_person("=cmd|' /C calc'!A0", now=before)
    world.a_pin(evil, PINS[0], now=before)
    may(evil, door, now=before)
    attempts.attempt(door.pk, PINS[0], type=CredentialType.PIN, now=NOW - DAY)
    could = asked(auditor, door, NOW - 2 * DAY, NOW, **{"as": "csv"})
    assert "attachment" in could["Content-Disposition"]
    assert "no-store" in could["Cache-Control"]
    [head, row] = rows_of(could)
    assert head[3] == "person"
    assert row[3].startswith("'=cmd")
    assert list(lines([["Ann;=cmd()"]]))[1] == "Ann;'=cmd()\r\n"
    assert row[4] == "Access level Staff"
    assert row[6:10] == ["2026-06-29T11:00:00+02:00", "2026-07-01T11:00:00+02:00", "1", "1"]
    [_, event] = rows_of(asked(auditor, door, NOW - 2 * DAY, NOW, **{"as": "events"}))
    assert event[2] == "2026-06-30T11:00:00+02:00"
    assert event[5] == "PIN"
    assert AuditEvent.objects.filter(verb="export", subject_type="channel", subject_id=str(door.pk)).count() == 2
    assert PINS[0] not in str(row) + str(event)


def test_files_are_for_whoever_has_proven_it(door, acme, time_machine):
    time_machine.move_to(NOW, tick=False)
    member = world.a_member(StaffRole.MANAGER)
    world.a_staff_pin(member)
    client = world.signed_in(member.user)
    answer = asked(client, door, NOW - DAY, **{"as": "csv"})
    assert not answer.streaming
    assert not AuditEvent.objects.filter(verb="export").exists()
    # The PIN leads back to the report, which a file would not have shown.
    confirmed = client.post(answer.wsgi_request.get_full_path(), {"step_up_pin": "805294", "step_up_by_link": "1"})
    assert confirmed.status_code == 302
    assert "as=" not in confirmed.url
    assert confirmed.url.startswith(f"{ADDRESS}?where=door-{door.pk}")
    assert "can be downloaded" in client.get(confirmed.url).text
    assert asked(client, door, NOW - DAY, **{"as": "csv"}).streaming


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"since": "2026-07-02T00:00"}, "since"),
        ({"since": "2026-06-02T00:00", "until": "2026-06-01T00:00"}, "until"),
        ({"since": "2020-06-02T00:00", "until": "2026-06-01T00:00"}, "until"),
        ({"since": "yesterday"}, "since"),
        ({}, "since"),
        ({"since": "2026-06-02T00:00", "where": "door-0"}, "where"),
        ({"since": "2026-06-02T00:00", "where": "nothing"}, "where"),
    ],
)
def test_what_cannot_be_answered_is_said_beside_its_field(door, auditor, values, field):
    answer = auditor.get(ADDRESS, {"where": f"door-{door.pk}", **values})
    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert not answer.context["reports"]


def test_who_may_read_it_and_where(acme, door, time_machine):
    time_machine.move_to(NOW, tick=False)
    far = world.a_door("Gate", site=world.a_site("Warehouse"))
    for role, status in ((StaffRole.OWNER, 200), (StaffRole.MANAGER, 200), (StaffRole.FRONT_DESK, 403)):
        client = world.signed_in(world.a_member(role, f"{role}@acme.example").user)
        assert client.get(ADDRESS).status_code == status
        assert (b"Who could, who did" in client.get("/admin/").content) is (status == 200)
    local = world.signed_in(world.a_member(StaffRole.MANAGER, "local@acme.example", sites=[door.site]).user)
    assert b"Warehouse" not in local.get(ADDRESS).content
    assert "where" in asked(local, far, NOW - DAY).context["form"].errors


def test_what_is_asked_does_not_grow_with_people(door, auditor):
    before = NOW - 3 * DAY
    role = world.a_role("Staff", door, now=before)

    def add(count):
        for number in range(count):
            person = world.a_person(f"P{number}", now=before)
            world.a_pin(person, now=before)
            belonging.set_roles(person, [role], by=BY, now=before)
            world.a_reservation(person, door, start=NOW - DAY, now=before, details={"max_uses": 3})

    def asks():
        with CaptureQueriesContext(connection) as captured:
            assert asked(auditor, door, NOW - 2 * DAY, NOW).status_code == 200
        return len(captured)

    add(2)
    few = asks()
    add(9)
    assert asks() == few
    assert few <= 42


def test_erased_people_are_there_without_a_name(door, auditor):
    before = NOW - 3 * DAY
    ann = world.a_person("Ann", last_name="Arbor", now=before)
    world.a_pin(ann, PINS[0], now=before)
    may(ann, door, now=before)
    attempts.attempt(door.pk, PINS[0], type=CredentialType.PIN, now=NOW - DAY)
    erasing.erase(ann, by=BY, now=NOW - HOUR)
    page = asked(auditor, door, NOW - 2 * DAY, NOW).content.decode()
    assert "Arbor" not in page
    assert page.count("Erased person") == 2


def test_a_use_is_kept_once(door, acme):
    ann = world.a_person("Ann")
    world.a_pin(ann, PINS[0])
    world.a_reservation(ann, door, start=NOW, hours=9, details={"max_uses": 2})
    for minutes in (0, 1, 10, 12, 30):
        attempts.attempt(door.pk, PINS[0], type=CredentialType.PIN, now=NOW + timedelta(minutes=minutes))
    uses = ReservationUse.objects.order_by("number").values_list("number", "used_at", "recorded_at")
    second = NOW + timedelta(minutes=10)
    assert list(uses) == [(1, NOW, NOW), (2, second, second)]
    assert Event.objects.filter(admitted=True).count() == 4
