"""What today's board says of a visit: states by rows and the clock, and the day of a visit that comes back."""

from datetime import UTC, datetime, time, timedelta

import pytest

from accesscontrol.access import attempts, board, checking, offline_events
from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import arriving, changing, recurring, visiting
from tests import world
from tests.world import BY, NOW

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
# Both are Wednesdays; Berlin is two hours ahead.
MIDNIGHT = datetime(2026, 6, 30, 22, 0, tzinfo=UTC)
DAY = (MIDNIGHT, MIDNIGHT + timedelta(days=1))


@pytest.fixture
def door(acme):
    return world.a_door(is_visitor_door=True)


def issue(name="Ann", **values):
    values = {"start_time": NOW, "end_time": NOW + 2 * HOUR, "first_name": name} | values
    return visiting.issue(by=BY, now=values.pop("now", NOW - HOUR), **values)


def on_the_board(site, now, day=DAY, **values):
    return {visit.name: visit for visit in board.visits_of_day(site, day, now=now, **values)}


def state(site, now, name="Ann", day=DAY):
    found = on_the_board(site, now, day).get(name)
    return None if found is None else found.state


def enter(door, pin, now):
    return attempts.attempt(door.pk, pin, type=CredentialType.PIN, now=now)


def test_who_comes_is_here_and_has_left_by_check_out(door):
    visit = issue()
    assert state(door.site, NOW) == "expected"
    enter(door, visit.value, NOW + SECOND)
    assert state(door.site, NOW + 2 * SECOND) == "here"
    arriving.check_out(visit.reservation, by=BY, now=NOW + HOUR)
    assert state(door.site, NOW + HOUR) == "left"
    assert state(door.site, NOW + 3 * HOUR) == "left"


def test_who_goes_out_by_a_door_that_says_so_has_left_until_they_come_in_again(door):
    visit = issue()
    out = world.a_door("Exit", site=door.site, direction=Channel.Direction.OUT)
    changing.add_door(visit.reservation, channel=out, by=BY, now=NOW)
    for at, where, said in ((1, door, "here"), (2, out, "left"), (3, door, "here")):
        assert enter(where, visit.value, NOW + at * SECOND).admitted
        assert state(door.site, NOW + at * SECOND) == said
        row = Reservation.objects.get()
        assert board.states_of([row], door.site, now=NOW + at * SECOND) == {row.pk: said}


def test_who_came_and_was_not_seen_to_leave_is_told_apart_from_who_never_came(door):
    visit = issue()
    issue("Nora")
    enter(door, visit.value, NOW + SECOND)
    over = NOW + 2 * HOUR
    assert (state(door.site, over), state(door.site, over, "Nora")) == ("expired", "no_show")
    arriving.clear_no_shows(over)
    assert (state(door.site, over), state(door.site, over, "Nora")) == ("expired", "no_show")
    # Who leaves late is checked out late.
    arriving.check_out(visit.reservation, by=BY, now=over + HOUR)
    assert state(door.site, over + HOUR) == "left"


def test_a_visit_that_was_ended_before_it_began_is_on_no_board_and_a_running_one_is(door):
    early, running = issue("Early", start_time=NOW + HOUR), issue()
    changing.end(early.reservation, by=BY, now=NOW)
    enter(door, running.value, NOW)
    changing.end(running.reservation, by=BY, now=NOW + HOUR)
    assert {name: visit.state for name, visit in on_the_board(door.site, NOW + HOUR).items()} == {"Ann": "expired"}


def weekly(start, end, *days):
    return recurring.Weekly(frozenset(days or {2}), start, end)


def test_a_visit_that_comes_back_has_the_hours_of_the_day(door):
    visit = issue("Cleo", weekly=weekly(time(18), time(20, 30)), end_time=NOW + timedelta(days=90), site=door.site)
    found = on_the_board(door.site, NOW)["Cleo"]
    assert (found.begins, found.ends) == (
        datetime(2026, 7, 1, 16, 0, tzinfo=UTC),
        datetime(2026, 7, 1, 18, 30, tzinfo=UTC),
    )
    assert found.state == "expected"
    after = found.ends
    assert state(door.site, after, "Cleo") == "no_show"
    next_day = (DAY[0] + timedelta(days=1), DAY[1] + timedelta(days=1))
    assert state(door.site, NOW + timedelta(days=1), "Cleo", next_day) is None
    # A week on she is expected again, whatever became of the last time.
    in_a_week = tuple(moment + timedelta(days=7) for moment in DAY)
    assert enter(door, visit.value, found.begins).admitted
    assert state(door.site, found.begins, "Cleo") == "here"
    assert state(door.site, after, "Cleo") == "expired"
    assert state(door.site, NOW + timedelta(days=7), "Cleo", in_a_week) == "expected"


def test_a_night_is_on_the_boards_of_both_its_days(door):
    issue("Nick", weekly=weekly(time(22), time(6)), end_time=NOW + timedelta(days=30), site=door.site)
    tomorrow = tuple(moment + timedelta(days=1) for moment in DAY)
    assert on_the_board(door.site, NOW)["Nick"].ends == datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
    night = datetime(2026, 7, 2, 1, 0, tzinfo=UTC)
    assert on_the_board(door.site, night, tomorrow)["Nick"].state == "expected"
    assert "Nick" not in on_the_board(door.site, NOW, tuple(moment - timedelta(days=1) for moment in DAY))


@pytest.mark.parametrize("hours", [0, 15, 17, 19.9, 20, 21])
def test_board_desk_and_door_agree_for_how_long_somebody_stays(door, hours):
    """One rule: of a visit that comes back, whoever came 20 hours ago has come another time."""
    everywhen = recurring.Weekly(frozenset(range(7)), time(0), time(0))
    visit = issue("Cleo", weekly=everywhen, end_time=NOW + timedelta(days=30), needs_check_in=True, site=door.site)
    arriving.check_in(visit.reservation, by=BY, now=NOW)
    at = NOW + timedelta(hours=hours)
    row = Reservation.objects.select_related("person").get()
    stays = hours < 20
    assert row.is_here(at) is stays
    assert board.state_of(row, now=at) == ("here" if stays else "expected")
    answer = checking.check(row.person, door, at=at, now=at)
    assert (answer.admitted, answer.reason == Reason.NOT_CHECKED_IN) == (stays, not stays)


def test_what_a_controller_tells_later_is_an_arrival_all_the_same(door):
    visit = issue(grace_seconds=900)
    arriving.clear_no_shows(NOW + 2 * HOUR)
    told = offline_events.Told(
        id="1",
        occurred_at=NOW - timedelta(minutes=10),
        type=CredentialType.PIN,
        admitted=True,
        reason=Reason.NONE,
        credential_id=visit.credential.public_id,
    )
    offline_events.record(door, [told], now=NOW + 3 * HOUR)
    row = Reservation.objects.get()
    assert (row.arrived_at, row.no_show_at) == (told.occurred_at, None)
    assert state(door.site, NOW + 3 * HOUR) == "expired"
    offline_events.record(door, [told], now=NOW + 4 * HOUR)
    assert Event.objects.count() == 1


def test_search_looks_at_name_company_host_and_address(door):
    issue("Ann", last_name="Arbor", email="ann@globex.example", company="Globex", host_name="Bo Berg")
    issue("Bea")
    for words in ("arb", "GLOBEX", "bo berg", "ann@globex", "berg ann"):
        assert set(on_the_board(door.site, NOW, search=words)) == {"Ann Arbor"}, words
    assert not on_the_board(door.site, NOW, search="nobody")


def test_known_people_who_are_no_visitors_are_not_the_desks_to_help(door):
    staff = world.a_person("Stan", kind=Person.Kind.PERSON)
    pin = world.a_pin(staff).value
    visit = issue("Vera", start_time=NOW + 2 * HOUR, end_time=NOW + 3 * HOUR, grace_seconds=0)
    for value in (pin, visit.value, visit.value):
        assert not enter(door, value, NOW).admitted
    (refused,) = board.not_let_in(door.site, since=NOW - HOUR, now=NOW)
    assert (refused.person.name, refused.channel, refused.visit) == ("Vera", door, visit.reservation)
