"""Through an outage: the reference controller decides by its list as the server would."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.access import commands, facts
from accesscontrol.access.decision import decide
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors import granting, holidays
from accesscontrol.doors.hours import Holiday, OnHoliday, Stretch, holiday_on, is_open
from accesscontrol.doors.models import Shift
from accesscontrol.people import records
from accesscontrol.visits import belonging, issuing, reserving
from tests import world
from tests.controllers import (
    PIN,
    Kept,
    controller,
    door_fixture,  # noqa: F401
    kept_fixture,  # noqa: F401
    key_fixture,  # noqa: F401
    now_fixture,  # noqa: F401
)
from tests.world import BY

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
