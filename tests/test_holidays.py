"""Holidays close weekly hours, leave them or replace them: at the door, in the check, at the desk, in each zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accesscontrol.access import attempts, board, commands
from accesscontrol.access.checking import check
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import CredentialType
from accesscontrol.desk.periods import period_of
from accesscontrol.doors import granting, holidays, opening, spans
from accesscontrol.doors.holidays import Days
from accesscontrol.doors.hours import Holiday, OnHoliday, Stretch, holiday_on, is_open, of_day, opened_at
from accesscontrol.doors.hours import spans as week_spans
from accesscontrol.doors.models import Holiday as Row
from accesscontrol.doors.models import Shift, ShiftTime, SiteHours
from accesscontrol.doors.outlook import outlook
from accesscontrol.visits import belonging
from accounts.rights import StaffRole
from tests import world
from tests.world import BY, NOW

BERLIN = ZoneInfo("Europe/Berlin")
PIN = "73519264"
DAY = timedelta(days=1)
# NOW is Wednesday 2026-07-01 11:00 in Berlin.
TODAY = date(2026, 7, 1)
MORNING = (time(9), time(10, 30))
NOON = (time(10), time(14))


def test_days_of_a_holiday():
    once = Holiday(date(2026, 12, 24), date(2026, 12, 26))
    assert [once.covers(date(2026, 12, day)) for day in (23, 24, 26, 27)] == [False, True, True, False]
    assert not once.covers(date(2027, 12, 24))
    yearly = Holiday(date(2026, 12, 24), date(2027, 1, 6), is_yearly=True)
    for day in (date(2026, 12, 24), date(2027, 1, 6), date(2030, 1, 1), date(2029, 12, 31)):
        assert yearly.covers(day)
    # Not before its first year, and not between.
    for day in (date(2026, 1, 1), date(2027, 1, 7), date(2027, 12, 23)):
        assert not yearly.covers(day)
    leap = Holiday(date(2028, 2, 29), date(2028, 2, 29), is_yearly=True)
    assert [leap.covers(date(year, 2, 28)) for year in (2028, 2029)] == [False, False]
    assert leap.covers(date(2032, 2, 29))


def test_the_more_particular_holiday_goes_first():
    yearly = Holiday(TODAY, TODAY, is_yearly=True, name="yearly")
    long = Holiday(TODAY - 9 * DAY, TODAY + 9 * DAY, name="long")
    short = Holiday(TODAY, TODAY + DAY, name="short")
    assert holiday_on(TODAY, [yearly]) is yearly
    assert holiday_on(TODAY, [yearly, long]) is long
    assert holiday_on(TODAY, [yearly, long, short]) is short
    assert holiday_on(TODAY + 2 * DAY, [short, long, yearly]) is long
    assert holiday_on(TODAY + 20 * DAY, [short, long, yearly]) is None


def test_what_weekly_hours_do_on_a_holiday():
    free = [Holiday(TODAY, TODAY, hours=(MORNING,))]
    for on_holiday, expected in (
        (OnHoliday.CLOSED, []),
        (OnHoliday.AS_USUAL, [(time(8), time(18))]),
        (OnHoliday.HOLIDAY_HOURS, [MORNING]),
    ):
        week = [Stretch(2, time(8), time(18), on_holiday)]
        assert [(one.start_time, one.end_time) for one in of_day(TODAY, week, free)] == expected
        assert [one.weekday for one in of_day(TODAY + 7 * DAY, week, free)] == [2]
    # Another day of the week has the holiday's hours too: the site says when it is open.
    assert list(of_day(TODAY, [Stretch(6, time(8), time(9), OnHoliday.HOLIDAY_HOURS)], free))
    assert not list(of_day(TODAY, [], free))


def test_a_night_belongs_to_the_day_on_which_it_begins():
    night = [Stretch(day, time(22), time(6)) for day in range(7)]
    free = [Holiday(TODAY, TODAY)]

    def at(day, hour):
        return is_open(night, datetime.combine(day, time(hour), BERLIN), BERLIN, free)

    assert at(TODAY, 5)
    assert not at(TODAY, 23)
    assert not at(TODAY + DAY, 5)
    assert at(TODAY + DAY, 23)
    over = [Holiday(TODAY, TODAY, hours=((time(20), time(2)),))]
    hours = [Stretch(0, time(8), time(9), OnHoliday.HOLIDAY_HOURS)]
    assert is_open(hours, datetime.combine(TODAY + DAY, time(1), BERLIN), BERLIN, over)


@pytest.mark.parametrize(("day", "length"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 5), 24)])
def test_a_closed_day_is_as_long_as_the_clocks_make_it(day, length):
    week = [Stretch(weekday, time(0), time(0)) for weekday in range(7)]
    start = datetime.combine(day, time(0), BERLIN).astimezone(UTC)
    free = [Holiday(day, day)]
    closed = [hour for hour in range(-30, 60) if not is_open(week, start + timedelta(hours=hour), BERLIN, free)]
    assert closed == list(range(length))
    # Hours on the day of the change are read on its clocks.
    early = [Holiday(day, day, hours=((time(4), time(5)),))]
    own = [Stretch(0, time(0), time(0), OnHoliday.HOLIDAY_HOURS)]
    at = datetime.combine(day, time(4, 30), BERLIN).astimezone(UTC)
    assert is_open(own, at, BERLIN, early)
    assert not is_open(own, at - timedelta(hours=1), BERLIN, early)


# At the door


@pytest.fixture
def door(acme):
    return world.a_door("Lab")


@pytest.fixture
def week(acme):
    shift = Shift.objects.create(name="Every day")
    granting.set_times(shift, [Stretch(day, time(8), time(18)) for day in range(7)], by=BY, now=NOW - 9 * DAY)
    return shift


@pytest.fixture
def ann(door, week):
    person = world.a_person("Ann", now=NOW - DAY)
    world.a_pin(person, PIN, now=NOW - DAY)
    belonging.set_roles(person, [world.a_role("Staff", door, shift=week, now=NOW - DAY)], by=BY, now=NOW - DAY)
    return person


def add(door, first=TODAY, last=None, *, hours=(), now=NOW - DAY, **values):
    days = Days("Company day", first, last or first, hours=hours, **values)
    return holidays.add([door.site], days, by=BY, now=now)[0]


def reason(door, now=NOW):
    answer = attempts.attempt(door.pk, PIN, type=CredentialType.PIN, now=now)
    return Event.objects.get(pk=answer.event_id).reason or "admitted"


def test_the_door_keeps_the_holiday(door, ann, week):
    add(door)
    assert reason(door) == "not_permitted_at_this_time"
    assert reason(door, NOW + DAY) == "admitted"
    granting.set_on_holiday(week, "as_usual", by=BY, now=NOW)
    assert reason(door) == "admitted"
    granting.set_on_holiday(week, "holiday_hours", by=BY, now=NOW)
    assert reason(door) == "not_permitted_at_this_time"


@pytest.mark.parametrize(("hours", "expected"), [((MORNING,), False), ((MORNING, NOON), True), ((), False)])
def test_a_holiday_has_hours_of_its_own(door, ann, week, hours, expected):
    granting.set_on_holiday(week, "holiday_hours", by=BY, now=NOW - DAY)
    add(door, hours=hours)
    assert (reason(door) == "admitted") is expected


def test_it_is_the_holiday_of_the_doors_site(door, ann, week):
    other = world.a_door("Far", site=world.a_site("There", time_zone="Pacific/Apia"))
    belonging.set_roles(ann, [world.a_role("Both", door, other, shift=week, now=NOW - DAY)], by=BY, now=NOW - DAY)
    add(other)
    assert reason(door) == "admitted"
    # NOW is 22:00 on the first of July in Apia; the holiday is over for Berlin's clocks before it is there.
    noon = datetime(2026, 6, 30, 23, 0, tzinfo=UTC)
    assert noon.astimezone(ZoneInfo("Pacific/Apia")).date() == TODAY
    assert reason(other, noon) == "not_permitted_at_this_time"
    assert reason(other, noon + DAY) == "admitted"


def test_visits_without_weekly_hours_and_held_open_doors(door, ann, week):
    add(door)
    commands.auto_unlock(door, week, by=BY, now=NOW - DAY)
    assert reason(door) == "not_permitted_at_this_time"
    world.a_reservation(ann, door, start=NOW, now=NOW)
    assert reason(door) == "admitted"
    assert Event.objects.latest("id").code == 11
    assert reason(door, NOW + DAY) == "admitted"
    assert Event.objects.latest("id").code == 16


def test_the_check_says_when_it_opens_next(door, ann):
    add(door, TODAY, TODAY + 13 * DAY)
    found = check(ann, door, at=NOW, now=NOW)
    assert not found.admitted
    assert found.advice == "Next from 15 Jul 2026, 08:00."


def test_a_holiday_that_is_changed_or_taken_away_leaves_the_past(door, ann, week):
    holiday = add(door, TODAY, TODAY + 5 * DAY)
    assert reason(door, NOW) == "not_permitted_at_this_time"
    at = NOW + timedelta(hours=1)
    changed = holidays.change(holiday, Days("Company day", TODAY + DAY, TODAY + 5 * DAY), by=BY, now=at)
    assert changed.pk != holiday.pk
    assert reason(door, at) == "admitted"
    assert reason(door, at + DAY) == "not_permitted_at_this_time"
    holidays.remove(changed, by=BY, now=at + DAY)
    holidays.remove(changed, by=BY, now=at + 2 * DAY)
    assert reason(door, at + 2 * DAY) == "admitted"
    periods = Row.objects.order_by("pk").values_list("first_day", "started_at", "ended_at")
    assert list(periods) == [(TODAY, NOW - DAY, at), (TODAY + DAY, at, at + DAY)]
    # A new name is no new period; what is over is not changed any more.
    assert holidays.change(changed, Days("X", TODAY, TODAY), by=BY, now=at).pk == changed.pk
    named = add(door, TODAY + 30 * DAY, now=at)
    assert holidays.change(named, Days("Moved", named.first_day, named.last_day), by=BY, now=at).pk == named.pk


def test_what_weekly_hours_did_on_holidays_is_kept(week):
    granting.set_on_holiday(week, "as_usual", by=BY, now=NOW)
    rows = ShiftTime.objects.filter(shift=week, weekday=0).order_by("pk")
    assert list(rows.values_list("on_holiday", "ended_at")) == [("closed", NOW), ("as_usual", None)]


@pytest.mark.parametrize(
    ("days", "refusal"),
    [
        (Days("x", TODAY, TODAY - DAY), holidays.EndsEarly),
        (Days("x", TODAY, TODAY + 366 * DAY), holidays.TooLong),
        (Days("x", TODAY, TODAY), holidays.DaysTaken),
        (Days("x", TODAY, TODAY + DAY, hours=(MORNING, MORNING)), holidays.HoursOverlap),
    ],
)
def test_what_is_refused(door, days, refusal):
    add(door)
    with pytest.raises(refusal):
        holidays.add([world.a_site("Other"), door.site], days, by=BY, now=NOW)
    assert Row.objects.count() == 1


# At the desk


def test_closing_and_presets_keep_the_holiday(door, week):
    site = door.site
    opening.set_hours(site, week, by=BY, now=NOW)
    assert opening.closing(site, NOW) == datetime(2026, 7, 1, 18, tzinfo=BERLIN)
    add(door, hours=(NOON,))
    # Whatever these weekly hours do elsewhere, the site is open at the holiday's hours.
    assert week.on_holiday == "closed"
    assert opening.closing(site, NOW) == datetime(2026, 7, 1, 14, tzinfo=BERLIN)
    presets = {
        name: period_of(name, NOW, BERLIN, lambda at: opening.closing(site, at))[1] for name in ("closing", "week")
    }
    assert presets["closing"] == datetime(2026, 7, 1, 14, tzinfo=BERLIN)
    add(door, TODAY + 6 * DAY)
    week_long = period_of("week", NOW, BERLIN, lambda at: opening.closing(site, at))[1]
    assert week_long == datetime(2026, 7, 8, 0, tzinfo=BERLIN)
    opening.set_hours(site, None, by=BY, now=NOW)
    assert opening.closing(site, NOW) is None


def test_who_comes_every_week_is_not_expected_on_a_holiday(door, week):
    vera = world.a_person("Vera")
    world.a_reservation(vera, door, start=NOW - DAY, hours=24 * 9, shift=week)
    begins = datetime(2026, 7, 1, tzinfo=BERLIN)

    def expected():
        return len(board.visits_of_day(door.site, (begins, begins + DAY), now=NOW))

    assert expected() == 1
    add(door, hours=(NOON,))
    assert expected() == 0
    for on_holiday in ("as_usual", "holiday_hours"):
        granting.set_on_holiday(week, on_holiday, by=BY, now=NOW)
        assert expected() == 1


# In the admin


def manager(role=StaffRole.MANAGER, **values):
    return world.signed_in(world.a_member(role, f"{role}@acme.example", **values).user)


def test_a_holiday_is_added_at_many_sites_changed_and_taken_away(door):
    other, client = world.a_site("Warehouse"), manager()
    form = {"name": "Christmas", "first_day": "2026-12-25", "last_day": "2026-12-26", "is_yearly": "on"}
    sites = {"sites": [door.site_id, other.pk]}
    assert client.post("/admin/doors/holiday/add/", {**form, **sites}).status_code == 302
    assert Row.objects.count() == 2
    again = client.post("/admin/doors/holiday/add/", {**form, **sites})
    assert "first_day" in again.context["adminform"].form.errors
    row = Row.objects.get(site=other)
    address = f"/admin/doors/holiday/{row.pk}/change/"
    bad = client.post(address, {**form, "open_hours": "nine"})
    assert "open_hours" in bad.context["adminform"].form.errors
    early = client.post(address, {**form, "last_day": "2026-12-24"})
    assert "last_day" in early.context["adminform"].form.errors
    assert client.post(address, {**form, "open_hours": "9-12, 13:00-15:00"}).status_code == 302
    changed = Row.objects.get(site=other, ended_at=None)
    assert changed.hours == [["09:00:00", "12:00:00"], ["13:00:00", "15:00:00"]]
    listed = client.get("/admin/doors/holiday/").content.decode()
    for words in ("25 to 26 December, every year", "09:00-12:00, 13:00-15:00", "Closed"):
        assert words in listed
    assert "Warehouse" not in client.get(f"/admin/doors/holiday/?site={door.site_id}").context["cl"].result_list
    assert client.post(f"/admin/doors/holiday/{changed.pk}/remove/").status_code == 302
    assert not Row.objects.filter(site=other, ended_at=None).exists()
    assert client.get(address).status_code == 404


def test_members_of_a_site_add_holidays_there_alone(door):
    other = world.a_site("Warehouse")
    add(world.a_door("Gate", site=other))
    client = manager(sites=[door.site])
    days = {"name": "x", "first_day": "2026-12-25", "last_day": "2026-12-25"}
    refused = client.post("/admin/doors/holiday/add/", {**days, "sites": [other.pk]})
    assert "sites" in refused.context["adminform"].form.errors
    assert client.post("/admin/doors/holiday/add/", {**days, "sites": [door.site_id]}).status_code == 302
    assert b"Warehouse" not in client.get("/admin/doors/holiday/").content
    assert client.get(f"/admin/doors/holiday/{Row.objects.get(site=other).pk}/change/").status_code == 404
    auditor = manager(StaffRole.AUDITOR)
    assert auditor.get("/admin/doors/holiday/add/").status_code == 403
    assert b"Closed" in auditor.get(f"/admin/doors/holiday/{Row.objects.get(site=other).pk}/change/").content


def test_opening_hours_are_set_and_ended(door, week):
    client = manager()
    assert client.post("/admin/doors/sitehours/add/", {"site": door.site_id, "shift": week.pk}).status_code == 302
    assert opening.hours_of(door.site) == week
    late = Shift.objects.create(name="Late")
    row = SiteHours.objects.get()
    assert client.post(f"/admin/doors/sitehours/{row.pk}/change/", {"shift": late.pk}).status_code == 302
    assert opening.hours_of(door.site) == late
    assert client.post(f"/admin/doors/sitehours/{row.pk}/remove/").status_code == 302
    assert opening.hours_of(door.site) is None


def test_pages_say_in_words_when_it_is_open(door, week, time_machine):
    time_machine.move_to(NOW, tick=False)
    client = manager()
    role = world.a_role("Staff", door, shift=week)
    add(door, date(2026, 12, 25), date(2026, 12, 26), is_yearly=True)
    for address in (f"/admin/doors/role/{role.pk}/change/", f"/admin/doors/shift/{week.pk}/change/"):
        page = client.get(address).content.decode()
        for words in (
            "Monday to Sunday 08:00–18:00",
            "25 to 26 December: closed (Company day)",
            "Open now. Closes today at 18:00.",
        ):
            assert words in page, (address, words)
    always = world.a_role("Always", door)
    assert "Open now, and always." in client.get(f"/admin/doors/role/{always.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("stretches", "holiday", "week_words", "exceptions", "standing"),
    [
        ([], None, "Never", [], "Closed now, and always."),
        (
            [Stretch(0, time(8), time(12)), Stretch(0, time(13), time(18)), Stretch(1, time(8), time(12))],
            None,
            "Monday 08:00–12:00, 13:00–18:00; Tuesday 08:00–12:00",
            [],
            "Closed now. Opens on Monday at 08:00.",
        ),
        (
            [Stretch(day, time(22), time(6)) for day in range(7)],
            Holiday(TODAY, TODAY, name="Free"),
            "Monday to Sunday 22:00–06:00",
            ["1 July: closed (Free)"],
            "Closed now. Opens tomorrow at 22:00.",
        ),
        (
            [Stretch(day, time(0), time(0), OnHoliday.AS_USUAL) for day in range(7)],
            Holiday(TODAY + DAY, TODAY + 40 * DAY, name="Works"),
            "Every day, all day",
            ["2 July to 10 August: as usual (Works)"],
            "Open now, and for the next 60 days.",
        ),
        (
            [Stretch(2, time(8), time(18), OnHoliday.HOLIDAY_HOURS)],
            Holiday(TODAY + 7 * DAY, TODAY + 7 * DAY, hours=(MORNING,), name="Half"),
            "Wednesday 08:00–18:00",
            ["8 July: 09:00–10:30 (Half)"],
            "Open now. Closes today at 18:00.",
        ),
    ],
)
def test_the_outlook_in_words(stretches, holiday, week_words, exceptions, standing):
    found = outlook(stretches, BERLIN, [holiday] if holiday else [], NOW)
    assert (found.week, found.exceptions, found.standing) == (week_words, exceptions, standing)


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


@given(SPANS, SPANS)
def test_spans_are_sets_of_instants(one, other):
    def at(number):
        return NOW + timedelta(minutes=number)

    def instants(found):
        return {number for number in range(31) if any(start <= at(number) < end for start, end in found)}

    first, second = (spans.union((at(a), at(b)) for a, b in given_) for given_ in (one, other))
    assert instants(first) == {n for n in range(31) if any(a <= n < b for a, b in one)}
    for made, expected in (
        (spans.common(first, second), instants(first) & instants(second)),
        (spans.without(first, second), instants(first) - instants(second)),
    ):
        assert instants(made) == expected
        assert made == spans.union(made)


@given(
    stretches=st.lists(
        st.builds(Stretch, st.integers(0, 6), st.times(), st.times(), st.sampled_from(OnHoliday)), max_size=3
    ),
    free=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3), st.booleans()), max_size=2),
    minutes=st.integers(-3 * 1440, 3 * 1440),
    around=st.sampled_from([datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), NOW]),
    early=st.sampled_from([0, 15, 1440]),
    zone=st.sampled_from([BERLIN, ZoneInfo("Pacific/Apia"), ZoneInfo("America/New_York")]),
)
def test_spans_of_hours_are_open_when_the_rule_says(stretches, free, minutes, around, early, zone):
    today = around.astimezone(zone).date()
    known = [
        Holiday(today + first * DAY, today + (first + length) * DAY, is_yearly, (NOON,))
        for first, length, is_yearly in free
    ]
    at, ahead = around + timedelta(minutes=minutes), timedelta(minutes=early)
    opened = opened_at(stretches, at, zone, known, early=ahead) is not None
    found = week_spans(stretches, zone, known, around - 4 * DAY, around + 4 * DAY, early=ahead)
    assert opened is any(start <= at < end for start, end in found)
