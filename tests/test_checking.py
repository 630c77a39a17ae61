"""The access check says what the door then does, and why, in words that help."""

from datetime import time, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.access import attempts, commands
from accesscontrol.access.checking import check
from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Shift
from accesscontrol.people import records
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import belonging, issuing, recurring, visiting
from accesscontrol.visits import reserving as visits
from accounts.rights import StaffRole
from tests import world
from tests.world import BY, NOW

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
PIN = "73519264"
# NOW is Wednesday 2026-07-01 11:00 in Berlin.
WEEKS = {
    "always": None,
    "open": [Stretch(2, time(8), time(18))],
    "shut": [Stretch(2, time(18), time(20)), Stretch(4, time(7), time(9))],
    "night": [Stretch(1, time(22), time(11, 30))],
    "never": [],
}


def hours(name):
    if WEEKS[name] is None:
        return None
    shift = Shift.objects.create(name=name)
    granting.set_times(shift, WEEKS[name], by=BY, now=NOW - 9 * 24 * HOUR)
    return shift


@pytest.fixture
def door(acme):
    return world.a_door("Lab", is_visitor_door=True)


@pytest.fixture
def ann(acme):
    return world.a_person("Ann")


def said(person, door, at=NOW):
    found = check(person, door, at=at, now=NOW)
    return found.admitted, found.explanation, found.advice


def test_who_holds_nothing(ann, door):
    assert said(ann, door) == (False, "Ann has no PIN and no card.", "Issue a PIN.")


def test_why_somebody_may(ann, door):
    world.a_pin(ann)
    world.a_reservation(ann, door, start=NOW - HOUR, hours=7)
    assert said(ann, door) == (True, "By the visit until 17:00.", "")
    belonging.set_roles(ann, [world.a_role("Staff", door)], by=BY, now=NOW)
    assert said(ann, door) == (True, "By the access level “Staff”.", "")
    commands.hold_open([door], by=BY, now=NOW)
    assert said(ann, door) == (True, "“Lab” is held open.", "")


def test_why_somebody_may_not(ann, door):
    pin = world.a_pin(ann, PIN).credential
    no_right = (False, "Ann has no right to open “Lab”.", "Add this door to a visit, or give an access level.")
    assert said(ann, door) == no_right
    visit = world.a_reservation(ann, door, start=NOW + HOUR, hours=24)
    at_other_times = "Ann may open “Lab” at other times only."
    assert said(ann, door) == (False, at_other_times, "Next from 12:00.")
    assert said(ann, door, NOW + 24 * HOUR) == (
        True,
        "By the visit until 12:00.",
        "",
    )
    visits.cancel(visit, by=BY, now=NOW)
    belonging.set_roles(ann, [world.a_role("Cleaners", door, shift=hours("shut"))], by=BY, now=NOW)
    assert said(ann, door) == (False, at_other_times, "Next from 18:00.")
    assert said(ann, door, NOW + 30 * HOUR) == (False, at_other_times, "Next from 3 Jul 2026, 07:00.")
    records.change(ann, {"valid_from": NOW + HOUR}, by=BY, now=NOW)
    assert said(ann, door) == (False, "Ann is valid from 12:00 only.", "")
    records.change(ann, {"valid_from": None, "valid_to": NOW - 24 * HOUR}, by=BY, now=NOW)
    assert said(ann, door) == (False, "The validity of Ann ended 30 Jun 2026, 11:00.", "Extend the validity.")
    records.change(ann, {"valid_to": None, "enabled": False}, by=BY, now=NOW)
    assert said(ann, door) == (False, "Ann is disabled.", "Enable the person.")
    issuing.set_enabled(pin, False, by=BY, now=NOW)
    assert said(ann, door) == (False, "The PIN or card of Ann is disabled.", "Enable it.")
    commands.lock_down([door], by=BY, now=NOW)
    assert said(ann, door) == (False, "“Lab” is locked down.", "End the lockdown.")


def test_a_wait_after_wrong_pins_is_said_and_not_for_cards(ann, door):
    world.a_pin(ann)
    world.a_reservation(ann, door, start=NOW - HOUR, hours=9)
    for number in range(4):
        attempts.attempt(door.pk, f"99{number}1", type=CredentialType.PIN, now=NOW)
    waits = "“Lab” waits after wrong PINs until 11:00 and looks at none before."
    assert said(ann, door) == (False, waits, "Lift the wait at the door.")
    assert said(ann, door, NOW + HOUR)[0]
    bob = world.a_person("Bob")
    world.a_card(bob, "CARD-7F")
    world.a_reservation(bob, door, start=NOW - HOUR)
    assert said(bob, door)[0]


def test_the_next_time_is_when_the_grace_begins(ann, door):
    world.a_pin(ann)
    world.a_reservation(ann, door, start=NOW + HOUR, details={"grace_seconds": 900})
    assert said(ann, door)[2] == "Next from 11:45."
    assert said(ann, door, NOW + 45 * MINUTE)[0]
    weekly = recurring.Weekly(frozenset({3}), time(18), time(20))
    bob = visiting.issue(
        first_name="Bob",
        start_time=NOW + HOUR,
        end_time=NOW + 9 * 24 * HOUR,
        weekly=weekly,
        site=door.site,
        grace_seconds=600,
        by=BY,
        now=NOW,
    ).person
    for at in (NOW, NOW + 2 * HOUR):
        assert said(bob, door, at)[2] == "Next from 2 Jul 2026, 17:50.", at


def test_a_visit_that_was_used_up_is_said_to_be(ann, door):
    world.a_pin(ann, PIN)
    world.a_reservation(ann, door, start=NOW - HOUR, hours=9, details={"max_uses": 1})
    assert attempts.attempt(door.pk, PIN, type=CredentialType.PIN, now=NOW).admitted
    assert said(ann, door, NOW + 10 * MINUTE) == (
        False,
        "The visit of Ann was used as often as it may be.",
        "Allow more uses, or issue another visit.",
    )


INSTANTS = st.sampled_from([-48, -2, -1, 0, 1, 2, 48]).map(lambda number: NOW + number * HOUR)
MAYBE = st.none() | INSTANTS
JUST_BEFORE = st.none() | st.sampled_from([-30, -21 * 60, -60, -4, -1]).map(lambda number: NOW + number * MINUTE)
ATTENDANCE = st.fixed_dictionaries(
    {
        "grace_seconds": st.sampled_from([0, 900, 3600, 7200]),
        "needs_check_in": st.booleans(),
        "checked_in_at": JUST_BEFORE,
        "checked_out_at": JUST_BEFORE,
        "arrived_at": JUST_BEFORE,
        "max_uses": st.sampled_from([None, 1, 2]),
        "uses": st.integers(0, 2),
        "last_use_at": JUST_BEFORE,
    }
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    role=st.none() | st.sampled_from(sorted(WEEKS)),
    in_group=st.booleans(),
    visit=st.none() | st.tuples(INSTANTS, INSTANTS, st.sampled_from(sorted(WEEKS))).filter(lambda v: v[0] < v[1]),
    attendance=ATTENDANCE,
    is_private=st.booleans(),
    validity=st.tuples(MAYBE, MAYBE).filter(lambda v: None in v or v[0] < v[1]),
    is_enabled=st.booleans(),
    pin=st.sampled_from(["enabled", "disabled", "revoked", "ending"]),
    state=st.sampled_from(["normal", "open", "locked"]),
    wrong=st.integers(0, 5),
    at=INSTANTS.filter(lambda moment: moment >= NOW),
)
def test_it_says_what_the_door_does_a_second_later(
    acme, role, in_group, visit, attendance, is_private, validity, is_enabled, pin, state, wrong, at
):
    with transaction.atomic():
        door, ann = world.a_door("Lab"), world.a_person("Ann")
        issued = world.a_pin(ann, PIN, now=NOW - 9 * 24 * HOUR)
        if role is not None:
            given_role = world.a_role(role, door, shift=hours(role))
            if in_group:
                belonging.set_groups(ann, [world.a_group("Staff", given_role)], by=BY, now=NOW)
            else:
                belonging.set_roles(ann, [given_role], by=BY, now=NOW)
        if visit is not None:
            start, end, week = visit
            shift = Shift.objects.filter(name=week).first() or hours(week)
            if shift is not None:
                Shift.objects.filter(pk=shift.pk).update(is_private=is_private)
            world.a_reservation(ann, door, start=start, hours=(end - start) / HOUR, shift=shift, now=NOW - 72 * HOUR)
            Reservation.objects.update(**attendance)
        records.change(ann, {"valid_from": validity[0], "valid_to": validity[1], "enabled": is_enabled}, by=BY, now=NOW)
        if pin == "disabled":
            issuing.set_enabled(issued.credential, False, by=BY, now=NOW)
        elif pin == "revoked":
            issuing.revoke(issued.credential, by=BY, now=NOW)
        elif pin == "ending":
            Credential.objects.filter(pk=issued.credential.pk).update(ends_at=NOW + HOUR)
        if state != "normal":
            {"open": commands.hold_open, "locked": commands.lock_down}[state]([door], by=BY, now=NOW)
        for number in range(wrong):
            attempts.attempt(door.pk, f"99{number}1", type=CredentialType.PIN, now=NOW)
        found = check(ann, door, at=at + SECOND, now=NOW + SECOND)
        answer = attempts.attempt(door.pk, PIN, type=CredentialType.PIN, now=at + SECOND)
        event = Event.objects.get(pk=answer.event_id)
        assert found.admitted is answer.admitted, found
        # Of a revoked PIN the door knows only that nobody holds it; the check knows that the person has none.
        assert pin == "revoked" or found.reason is Reason(event.reason), found
        assert found.explanation
        transaction.set_rollback(True)


ADDRESS = "/admin/doors/channel/access-check/"


def test_staff_ask_on_a_page(acme, ann, door):
    desk = world.signed_in(world.a_member(StaffRole.FRONT_DESK, "desk@acme.example").user)
    world.a_pin(ann)
    other = world.a_person("Anna")

    def asked(**query):
        return desk.get(ADDRESS, query).content.decode()

    assert "No, " not in asked()
    assert f'value="{ann.pk}"' in asked(person=ann.pk)
    assert "Nobody is called this" in asked(who="Nobody", door=door.pk)
    several = asked(who="Ann", door=door.pk)
    assert "Who is meant?" in several
    assert "not let in" not in several
    page = asked(who="Ann", door=door.pk, chosen=ann.pk)
    assert "No, Ann is not let in." in page
    assert "no right to open “Lab”" in page
    assert "Anna has no PIN" in asked(who="Anna", person=other.pk, door=door.pk)
    assert "This is in the past" in asked(who="Anna", door=door.pk, at="2020-01-01T10:00")
    assert "is not one of the available choices" in asked(who="Anna", door=99999)
    assert desk.get(ADDRESS, {"who": "A", "door": "x", "person": "x", "at": "x", "chosen": "9" * 30}).status_code == 200


def test_members_of_a_site_ask_about_their_own(acme):
    here, there = world.a_site("Here"), world.a_site("There")
    door, far = world.a_door("Near", site=here), world.a_door("Far", site=there)
    mia, max_ = world.a_person("Mia", site=here), world.a_person("Max", site=there)
    desk = world.signed_in(world.a_member(StaffRole.FRONT_DESK, "desk@acme.example", sites=[here]).user)
    assert "not let in" in desk.get(ADDRESS, {"who": "Mia", "door": door.pk}).content.decode()
    for who, at_door in ((max_.name, door), (mia.name, far)):
        assert "not let in" not in desk.get(ADDRESS, {"who": who, "door": at_door.pk}).content.decode()
    host = world.signed_in(world.a_member(StaffRole.HOST, "host@acme.example").user)
    assert host.get(ADDRESS).status_code in (302, 403)
