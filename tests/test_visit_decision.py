"""What a visit asks at the door: its grace, check-in and check-out, its uses; and who is told that it was used."""

from datetime import datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.access import attempts
from accesscontrol.access.decision import Attendance, Facts, Grant, why_not
from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.hours import UTC, Stretch, is_open
from accesscontrol.doors.models import Channel
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import arriving, changing, host_notice, recurring, visiting
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from tests import world
from tests.test_races import at_once
from tests.world import BY, NOW

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def door(acme):
    return world.a_door(is_visitor_door=True)


def issue(**values):
    given = {"first_name": "Vera", "start_time": NOW, "end_time": NOW + 2 * HOUR, "by": BY, "now": NOW - 24 * HOUR}
    return visiting.issue(**(given | values))


def reason(door, pin, at):
    answer = attempts.attempt(door.pk, pin, type=CredentialType.PIN, now=at)
    event = Event.objects.get(pk=answer.event_id)
    assert event.admitted == answer.admitted
    return (event.reason or "admitted"), event.code


def test_the_grace_opens_so_long_before_the_start_and_not_a_second_more(door):
    visit = issue(grace_seconds=900)
    assert reason(door, visit.value, NOW - 15 * MINUTE - SECOND) == ("not_permitted_at_this_time", 21)
    assert reason(door, visit.value, NOW - 15 * MINUTE) == ("admitted", 11)


def test_without_grace_nothing_opens_early(door):
    visit = issue(grace_seconds=0)
    assert reason(door, visit.value, NOW - SECOND)[0] == "not_permitted_at_this_time"
    assert reason(door, visit.value, NOW)[0] == "admitted"


def test_a_pin_waits_for_check_in_and_ends_with_check_out(door):
    visit = issue(needs_check_in=True)
    assert reason(door, visit.value, NOW) == ("not_checked_in", 21)
    held = arriving.check_in(visit.reservation, by=BY, now=NOW)
    assert reason(door, visit.value, NOW)[0] == "admitted"
    arriving.check_out(held, by=BY, now=NOW + HOUR)
    assert reason(door, visit.value, NOW + HOUR) == ("credential_expired", 21)


def test_the_tenant_asks_for_check_in_where_nothing_is_said(acme, door):
    acme.needs_check_in, acme.grace_seconds = True, 60
    acme.save()
    visit = issue().reservation
    assert (visit.needs_check_in, visit.grace_seconds) == (True, 60)
    assert not issue(first_name="Other", needs_check_in=False).reservation.needs_check_in


def test_ended_now_is_dead_at_that_second(door):
    visit = issue()
    at = NOW + HOUR
    assert reason(door, visit.value, at - SECOND)[0] == "admitted"
    changing.end(visit.reservation, by=BY, now=at)
    assert reason(door, visit.value, at)[0] == "credential_expired"


def test_a_weekly_visit_has_its_grace_each_week_and_a_check_out_is_for_the_day(door):
    # NOW is a Wednesday, 11:00 in Berlin.
    weekly = recurring.Weekly(frozenset({2}), time(11), time(13))
    visit = issue(weekly=weekly, end_time=NOW + timedelta(days=30), grace_seconds=600)
    week = timedelta(days=7)
    assert reason(door, visit.value, NOW + week - 10 * MINUTE - SECOND)[0] == "not_permitted_at_this_time"
    assert reason(door, visit.value, NOW + week - 10 * MINUTE)[0] == "admitted"
    arriving.check_out(visit.reservation, by=BY, now=NOW + week + HOUR)
    assert reason(door, visit.value, NOW + week + HOUR)[0] == "not_permitted_at_this_time"
    assert reason(door, visit.value, NOW + 2 * week)[0] == "admitted"


def test_reuse_within_five_minutes_counts_once(door):
    visit = issue(max_uses=2)
    for minutes in (0, 2, 4):
        assert reason(door, visit.value, NOW + minutes * MINUTE)[0] == "admitted"
    assert reason(door, visit.value, NOW + 10 * MINUTE)[0] == "admitted"
    assert reason(door, visit.value, NOW + 14 * MINUTE)[0] == "admitted"
    assert reason(door, visit.value, NOW + 15 * MINUTE) == ("credential_expired", 21)
    assert Reservation.objects.get().uses == 2


def test_uses_at_many_doors_at_once_are_one_use_and_none_is_lost(live):
    with tenant_transaction(live.acme.pk):
        doors = [world.a_door(f"Door {number}", is_visitor_door=True).pk for number in range(4)]
        once = issue(max_uses=1, last_name="One")
        often = issue(first_name="Two", max_uses=4)
        assert attempts.attempt(doors[0], once.value, type=CredentialType.PIN, now=NOW).admitted

    def use(number):
        with tenant_transaction(live.acme.pk):
            return [
                attempts.attempt(doors[number], visit.value, type=CredentialType.PIN, now=NOW + 10 * MINUTE).admitted
                for visit in (once, often)
            ]

    assert at_once(4, use) == [[False, True]] * 4
    with tenant_transaction(live.acme.pk):
        assert Reservation.objects.get(pk=once.reservation.pk).uses == 1
        assert Reservation.objects.get(pk=often.reservation.pk).uses == 1


def test_the_first_admission_is_the_arrival_and_the_host_is_told_once(door):
    host = world.a_member(StaffRole.HOST)
    visit = issue(host=host)
    reason(door, visit.value, NOW)
    reason(door, visit.value, NOW + 30 * MINUTE)
    assert Reservation.objects.get().arrived_at == NOW
    assert host_notice.tell_hosts(NOW + 31 * MINUTE) == 1
    assert host_notice.tell_hosts(NOW + 31 * MINUTE) == 0
    [told] = Delivery.objects.filter(template="host_arrival")
    assert told.address == host.user.email


def test_check_in_tells_the_host_and_the_door_after_it_does_not_again(door):
    visit = issue(host=world.a_member(StaffRole.HOST))
    arriving.check_in(visit.reservation, by=BY, now=NOW)
    assert host_notice.tell_hosts(NOW) == 1
    reason(door, visit.value, NOW + MINUTE)
    assert host_notice.tell_hosts(NOW + MINUTE) == 0


def test_who_came_late_to_a_visit_that_was_cleared_has_come(door):
    visit = issue()
    assert arriving.clear_no_shows(NOW + 3 * HOUR) == 1
    changing.extend(visit.reservation, end_time=NOW + 9 * HOUR, by=BY, now=NOW + 3 * HOUR)
    assert reason(door, visit.value, NOW + 4 * HOUR)[0] == "admitted"
    assert Reservation.objects.get().no_show_at is None


moments = st.one_of(st.none(), st.integers(-48 * 60, 48 * 60).map(lambda minutes: NOW + minutes * MINUTE))
attendances = st.builds(
    Attendance,
    comes_back=st.booleans(),
    early=st.sampled_from([timedelta(0), 15 * MINUTE, 3 * HOUR]),
    needs_check_in=st.booleans(),
    checked_in_at=moments,
    checked_out_at=moments,
    max_uses=st.one_of(st.none(), st.integers(1, 3)),
    uses=st.integers(0, 3),
    last_use_at=moments,
)
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30]))
stretches = st.builds(Stretch, st.integers(0, 6), times, times)
FACTS = Facts(CredentialType.PIN, UTC, Channel.State.NORMAL, None)


# A busy machine draws slowly; that is no fault of the rule.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(attendances, st.one_of(st.none(), st.lists(stretches, max_size=3).map(tuple)), st.integers(0, 48 * 60))
def test_a_visit_opens_only_as_its_words_say(asked, hours, minutes):
    now: datetime = NOW + minutes * MINUTE
    if why_not(Grant(hours, reservation_id=1, attendance=asked), now, FACTS) is not Reason.NONE:
        return
    if asked.needs_check_in:
        assert asked.checked_in_at is not None
        assert asked.checked_out_at is None or asked.checked_out_at < asked.checked_in_at
    if asked.max_uses is not None and asked.uses >= asked.max_uses:
        assert now - asked.last_use_at < 5 * MINUTE
    if hours is not None:
        # Inside the hours, or so shortly before that they open within the grace.
        steps = range(int(asked.early / MINUTE) + 1)
        assert any(is_open(hours, now + step * MINUTE, UTC) for step in steps)
