"""Commands to doors: what they are to the controller, to the decision, and to the record of who did what."""

from datetime import time, timedelta
from time import monotonic

import pytest

from accesscontrol.access import acknowledging, attempts, commands, contact, roll_call
from accesscontrol.access.models import Alarm, ChannelCommand, ChannelContact, Event
from accesscontrol.access.tasks import watch_contact
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors import granting, states
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Channel, ChannelState, Shift
from accesscontrol.people import records
from accesscontrol.visits import belonging, issuing
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from tests import world
from tests.test_races import at_once
from tests.world import BY, NOW

PIN = "73519264"
Outcome = ChannelCommand.Outcome
State = Channel.State


def at(seconds):
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def door(acme):
    return world.a_door("Front Door", is_visitor_door=True)


@pytest.fixture
def ann(acme):
    ann = world.a_person("Ann")
    world.a_pin(ann, PIN)
    return ann


def may(person, *doors):
    belonging.set_roles(person, [world.a_role("Staff", *doors)], by=BY, now=NOW - timedelta(hours=1))


def typed(door, value=PIN, now=NOW):
    answer = attempts.attempt(door.pk, value, type=CredentialType.PIN, now=now)
    event = Event.objects.get(pk=answer.event_id)
    return event.reason or "admitted", event.code


def kinds(door, now=NOW, after=0):
    return [command.kind for command in acknowledging.waiting(door.pk, now, after=after)]


# State and reason


def lock(door):
    commands.lock_down([door], by=BY, now=NOW)


def hold(door):
    commands.hold_open([door], by=BY, now=NOW)


def hold_for_an_hour(door):
    commands.hold_open([door], until=NOW + timedelta(hours=1), by=BY, now=NOW)


def hours(door, first, last):
    shift = Shift.objects.create(name="Doors open")
    granting.set_times(shift, [Stretch(2, time(first), time(last))], by=BY, now=NOW - timedelta(days=1))
    commands.auto_unlock(door, shift, by=BY, now=NOW)


# NOW is Wednesday 11:00 in Berlin.
def in_hours(door):
    hours(door, 8, 18)


def out_of_hours(door):
    hours(door, 18, 20)


def locked_in_hours(door):
    hours(door, 8, 18)
    lock(door)


def locked_after_held_open(door):
    hold(door)
    lock(door)


def as_it_was(door):
    """Nothing was commanded."""


CLOSED = {
    "right": ("admitted", 11),
    "no right": ("unauthorized", 24),
    "disabled": ("credential_not_enabled", 24),
    "person disabled": ("person_not_enabled", 21),
    "unknown": ("invalid_pin", 24),
}
HELD_OPEN = dict.fromkeys(CLOSED, ("admitted", 16)) | {"unknown": ("invalid_pin", 24)}
LOCKED = dict.fromkeys(CLOSED, ("lockdown", 22)) | {"unknown": ("invalid_pin", 24)}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (as_it_was, CLOSED),
        (lock, LOCKED),
        (hold, HELD_OPEN),
        (hold_for_an_hour, HELD_OPEN),
        (in_hours, HELD_OPEN),
        (out_of_hours, CLOSED),
        (locked_in_hours, LOCKED),
        (locked_after_held_open, LOCKED),
    ],
)
@pytest.mark.parametrize("who", CLOSED)
def test_the_state_of_a_door_rules_the_decision(door, ann, state, expected, who):
    if who != "no right":
        may(ann, door)
    if who == "disabled":
        from accesscontrol.credentials.models import Credential

        issuing.set_enabled(Credential.objects.get(), False, by=BY, now=NOW)
    if who == "person disabled":
        records.change(ann, {"enabled": False}, by=BY, now=NOW)
    state(door)
    assert typed(door, "84620735" if who == "unknown" else PIN) == expected[who]


def test_a_door_that_was_held_open_until_an_instant_is_closed_at_it(door, ann):
    hold_for_an_hour(door)
    assert typed(door, now=at(3599)) == ("admitted", 16)
    assert typed(door, now=at(3600)) == ("unauthorized", 24)
    assert states.stood(door, at(3599)) == State.UNLOCKED
    assert states.stood(door, at(3600)) == State.NORMAL


def test_wrong_pins_cost_time_at_a_held_open_door_too(door):
    """Otherwise an open door would be the place to find out the PINs of the closed ones."""
    hold(door)
    for number in range(4):
        typed(door, f"9000000{number}")
    assert typed(door, "90000007") == ("throttled", 24)


# What is written


def test_a_command_leaves_a_row_a_period_and_an_audit_event(door):
    commands.lock_down([door], reason="Fire drill", by=BY, now=NOW)
    commands.end_lock_down([door], reason="Over", by=BY, now=at(60))
    first, second = ChannelState.objects.order_by("started_at")
    assert (first.state, first.reason, first.ended_at) == ("locked_down", "Fire drill", at(60))
    assert (second.state, second.reason, second.ended_at) == ("normal", "Over", None)
    assert [row.verb for row in AuditEvent.objects.filter(subject_type="channel").order_by("id")] == [
        "lockdown",
        "unlockdown",
    ]
    assert states.at(door, NOW - timedelta(seconds=1)) is None
    assert states.stood(door, at(59)) == State.LOCKED_DOWN
    assert states.stood(door, at(60)) == State.NORMAL


def test_a_second_click_changes_nothing(door):
    for _ in range(2):
        commands.lock_down([door], by=BY, now=NOW)
    for _ in range(2):
        commands.end_lock_down([door], by=BY, now=at(1))
    for _ in range(2):
        commands.hold_open([door], until=at(90), by=BY, now=at(2))
    for _ in range(2):
        commands.normal([door], by=BY, now=at(3))
    assert ChannelCommand.objects.count() == ChannelState.objects.count() == 4
    assert commands.normal([door], by=BY, now=at(4)) == []


def test_a_site_is_locked_down_as_one(acme):
    site, other = world.a_site("Berlin"), world.a_site("New York")
    doors = [world.a_door(f"Door {number}", site=site) for number in range(3)]
    elsewhere = world.a_door("Lobby", site=other)
    commands.hold_open(doors[:1], by=BY, now=NOW)
    changed = commands.lock_down(commands.doors_of(site), reason="Intruder", by=BY, now=at(1))
    assert {channel.pk for channel in changed} == {channel.pk for channel in doors}
    assert set(Channel.objects.filter(site=site).values_list("state", flat=True)) == {"locked_down"}
    elsewhere.refresh_from_db()
    assert elsewhere.state == "normal"
    commands.end_lock_down(commands.doors_of(site), by=BY, now=at(2))
    assert set(Channel.objects.filter(site=site).values_list("state", flat=True)) == {"normal"}


def test_what_a_lockdown_forbids(door, ann):
    may(ann, door)
    lock(door)
    for refused in (
        lambda: commands.admit(door, by=BY, now=NOW),
        lambda: commands.hold_open([door], by=BY, now=NOW),
        lambda: commands.normal([door], by=BY, now=NOW),
    ):
        with pytest.raises(commands.DoorIsLockedDown):
            refused()
    with pytest.raises(commands.NotLetIn) as refusal:
        commands.admit_person(door, ann, by=BY, now=NOW)
    assert refusal.value.facts["reason"] == "lockdown"
    door.refresh_from_db()
    assert door.is_locked_down


def test_one_locked_door_keeps_all_from_being_held_open(acme):
    doors = [world.a_door(f"Door {number}") for number in range(3)]
    lock(doors[2])
    with pytest.raises(commands.DoorIsLockedDown, match="Door 2"):
        commands.hold_open(doors, by=BY, now=NOW)
    assert not Channel.objects.filter(state="unlocked").exists()


def test_a_door_is_not_held_open_until_yesterday(door):
    with pytest.raises(commands.RelocksInThePast):
        commands.hold_open([door], until=NOW, by=BY, now=NOW)


# Admitting


def test_an_admission_is_void_after_half_a_minute(door):
    commands.admit(door, by=BY, now=NOW)
    assert kinds(door, at(29)) == ["admit"]
    assert kinds(door, at(30)) == []


def test_a_held_open_door_is_not_opened(door):
    hold(door)
    with pytest.raises(commands.DoorIsOpen):
        commands.admit(door, by=BY, now=NOW)


def test_a_person_is_admitted_by_the_rule_of_the_keypad(door, ann):
    with pytest.raises(commands.NotLetIn) as refusal:
        commands.admit_person(door, ann, by=BY, now=NOW)
    assert refusal.value.facts["reason"] == "unauthorized"
    with pytest.raises(commands.NotLetIn, match="no PIN or card"):
        commands.admit_person(door, world.a_person("Bob"), by=BY, now=NOW)
    may(ann, door)
    command = commands.admit_person(door, ann, by=BY, now=NOW)
    assert acknowledging.status(command, NOW, is_silent=False) == "pending"
    done = acknowledging.acknowledge(command, Outcome.DONE, by=BY, now=at(1))
    assert acknowledging.status(done, at(1), is_silent=False) == "admitted"
    event = Event.objects.get()
    assert (event.code, event.admitted, event.person_id, event.credential_type) == (50, True, ann.pk, None)


def test_how_an_admission_stands(door):
    command = commands.admit(door, by=BY, now=NOW)
    assert acknowledging.status(command, at(119), is_silent=False) == "pending"
    assert acknowledging.status(command, at(120), is_silent=False) == "timeout"
    assert acknowledging.status(command, at(1), is_silent=True) == "offline"
    denied = acknowledging.acknowledge(command, Outcome.DENIED, by=BY, now=at(2))
    assert acknowledging.status(denied, at(500), is_silent=True) == "denied"
    assert not Event.objects.exists()


def test_a_lockdown_voids_what_was_to_open(door):
    command = commands.admit(door, by=BY, now=NOW)
    lock(door)
    assert kinds(door) == ["lockdown"]
    command.refresh_from_db()
    assert acknowledging.status(command, at(1), is_silent=False) == "denied"


def test_a_controller_that_comes_back_gets_what_holds_now(door):
    for number in range(5):
        commands.lock_down([door], by=BY, now=at(2 * number))
        commands.end_lock_down([door], by=BY, now=at(2 * number + 1))
    assert kinds(door, at(20)) == ["unlockdown"]
    [command] = acknowledging.waiting(door.pk, at(20))
    assert kinds(door, at(20), after=command.pk) == []
    acknowledging.acknowledge(command, Outcome.DONE, by=BY, now=at(20))
    assert kinds(door, at(20)) == []


# Races


def test_of_many_acknowledgements_one_counts(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        command = commands.admit(door, by=BY, now=NOW)

    def acknowledge(number):
        with tenant_transaction(live.acme.pk):
            acknowledging.acknowledge(command, Outcome.DONE, by=BY, now=at(number))

    at_once(8, acknowledge)
    with tenant_transaction(live.acme.pk):
        assert Event.objects.count() == 1
        assert AuditEvent.objects.filter(verb="acknowledge").count() == 1


def test_two_who_lock_down_a_site_at_once_do_it_once(live):
    with tenant_transaction(live.acme.pk):
        site = world.a_site()
        for number in range(6):
            world.a_door(f"Door {number}", site=site)

    def lock_down(number):
        with tenant_transaction(live.acme.pk):
            doors = commands.doors_of(site).order_by("name" if number % 2 else "-name")
            return len(commands.lock_down(doors, by=BY, now=NOW))

    assert sorted(at_once(8, lock_down)) == [0] * 7 + [6]
    with tenant_transaction(live.acme.pk):
        assert ChannelCommand.objects.count() == ChannelState.objects.count() == 6


def test_commands_of_a_channel_have_ids_in_the_order_of_their_commits(live):
    """A reader asks for what came after an id: a later commit with a smaller id would be missed for good."""
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
    seen = []

    def work(number):
        if number:
            with tenant_transaction(live.acme.pk):
                commands.admit(door, by=BY, now=NOW)
            return
        last = 0
        for _ in range(60):
            with tenant_transaction(live.acme.pk):
                for command in acknowledging.waiting(door.pk, NOW, after=last):
                    seen.append(command.pk)
                    last = command.pk

    at_once(16, work)
    with tenant_transaction(live.acme.pk):
        rest = [command.pk for command in acknowledging.waiting(door.pk, NOW, after=seen[-1] if seen else 0)]
        assert seen + rest == sorted(ChannelCommand.objects.values_list("pk", flat=True))


# Contact


def test_two_minutes_of_silence_are_one_alarm_that_ends_itself(door):
    contact.watch(at(10_000))
    assert not Alarm.objects.exists()
    contact.seen(door.pk, now=NOW)
    contact.watch(at(119))
    assert not Alarm.objects.exists()
    for late in (120, 500, 5000):
        contact.watch(at(late))
    [alarm] = Alarm.objects.all()
    assert (alarm.kind, alarm.channel_id, alarm.ended_at) == ("silence", door.pk, None)
    contact.seen(door.pk, now=at(6000))
    alarm.refresh_from_db()
    assert alarm.ended_at == at(6000)
    contact.watch(at(6119))
    assert Alarm.objects.count() == 1
    contact.watch(at(6120))
    assert Alarm.objects.count() == 2


def test_a_controller_that_asks_often_is_written_down_less_often(door):
    for second in range(25):
        contact.seen(door.pk, now=at(second))
    assert ChannelContact.objects.get().last_contact_at == at(20)


def test_the_tick_finds_silence_and_gives_time_after_an_outage_of_its_own(live, time_machine, monkeypatch):
    time_machine.move_to(NOW, tick=False)
    with tenant_transaction(live.acme.pk):
        contact.seen(world.a_door().pk, now=NOW - timedelta(minutes=3))
    monkeypatch.setattr("accesscontrol.access.tasks._began", monotonic() - 119)
    watch_contact()
    with tenant_transaction(live.acme.pk):
        assert not Alarm.objects.exists()
    monkeypatch.setattr("accesscontrol.access.tasks._began", monotonic() - 120)
    watch_contact()
    with tenant_transaction(live.acme.pk):
        assert Alarm.objects.get().kind == "silence"
    with tenant_transaction(live.globex.pk):
        assert not Alarm.objects.exists()


# Who is possibly inside


def test_who_is_possibly_inside(acme):
    site = world.a_site("Berlin")
    front = world.a_door("Front", site=site)
    lab = world.a_door("Lab", site=site, direction="none")
    back = world.a_door("Exit", site=site, direction="out")
    lobby = world.a_door("Lobby", site=world.a_site("New York"))
    names, roles = (
        ("Ann", "Bob", "Cem", "Dee", "Eve"),
        world.a_role("All", front, lab, back, lobby, now=NOW - timedelta(days=3)),
    )
    pins = {}
    for name in names:
        person = world.a_person(name)
        pins[name] = world.a_pin(person).value
        belonging.set_roles(person, [roles], by=BY, now=NOW - timedelta(days=3))

    def goes(name, door, minutes):
        assert typed(door, pins[name], now=NOW + timedelta(minutes=minutes))[0] == "admitted"

    goes("Ann", front, 1)
    goes("Bob", front, 1)
    goes("Bob", back, 2)
    goes("Cem", front, 1)
    goes("Cem", lab, 3)
    goes("Dee", lobby, 1)
    goes("Eve", front, -25 * 60)
    commands.admit(front, by=BY, now=NOW)
    acknowledging.acknowledge(ChannelCommand.objects.get(), Outcome.DONE, by=BY, now=NOW)

    def inside(minutes):
        call = roll_call.possibly_inside(site, as_of=NOW + timedelta(minutes=minutes))
        return call, {(row.person.first_name, row.channel.name, row.direction_known) for row in call.rows}

    call, found = inside(10)
    assert found == {("Ann", "Front", True), ("Cem", "Lab", False)}
    assert call.has_exit_readers
    assert call.doors_of_unknown_direction == [lab]
    assert call.let_in_by_hand == 1
    assert call.doors_held_open == []
    assert inside(1)[1] == {("Ann", "Front", True), ("Bob", "Front", True), ("Cem", "Front", True)}
    commands.hold_open([back], until=at(300), by=BY, now=NOW)
    assert inside(10)[0].doors_held_open == [back]


def test_a_visitor_whose_visit_is_over_is_still_on_the_list(door):
    vera = world.a_person("Vera", kind="visitor")
    pin = world.a_pin(vera).value
    world.a_reservation(vera, door, start=NOW, hours=1)
    typed(door, pin)
    during, after = (roll_call.possibly_inside(door.site, as_of=at(seconds)).rows for seconds in (60, 3600))
    assert [row.visit_over for row in during] == [False]
    assert [row.visit_over for row in after] == [True]
    assert not roll_call.possibly_inside(door.site, as_of=at(60)).has_exit_readers
