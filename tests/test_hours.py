"""Weekly hours: midnight, and the nights on which clocks change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accesscontrol.doors.hours import Stretch, instant, is_open, occurrence

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
SATURDAY, SUNDAY = 5, 6


def at(text, zone=BERLIN, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


OFFICE = [Stretch(day, time(8), time(18)) for day in range(5)]
NIGHT = [Stretch(4, time(22), time(6))]


@pytest.mark.parametrize(
    ("hours", "moment", "open_"),
    [
        (OFFICE, "2026-07-01T08:00", True),
        (OFFICE, "2026-07-01T07:59:59", False),
        (OFFICE, "2026-07-01T17:59:59", True),
        (OFFICE, "2026-07-01T18:00", False),
        (OFFICE, "2026-07-04T12:00", False),
        (NIGHT, "2026-07-03T22:00", True),
        (NIGHT, "2026-07-04T05:59", True),
        (NIGHT, "2026-07-04T06:00", False),
        (NIGHT, "2026-07-04T22:00", False),
        (NIGHT, "2026-07-03T05:00", False),
        ([Stretch(0, time(0), time(0))], "2026-07-06T00:00", True),
        ([Stretch(0, time(0), time(0))], "2026-07-06T23:59:59", True),
        ([Stretch(0, time(0), time(0))], "2026-07-07T00:00", False),
        ([Stretch(6, time(20), time(2))], "2026-07-06T01:00", True),
        ([], "2026-07-06T01:00", False),
    ],
)
def test_a_week(hours, moment, open_):
    assert is_open(hours, at(moment), BERLIN) is open_


def test_the_site_decides_what_time_it_is():
    moment = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert is_open(OFFICE, moment, BERLIN)
    assert is_open(OFFICE, moment, NEW_YORK)
    early = datetime(2026, 7, 1, 7, 0, tzinfo=UTC)
    assert is_open(OFFICE, early, BERLIN)
    assert not is_open(OFFICE, early, NEW_YORK)


def test_the_night_an_hour_is_missing():
    # 29 March 2026: 02:00 becomes 03:00 in Berlin.
    night = [Stretch(SATURDAY, time(22), time(6))]
    start, end = occurrence(night[0], datetime(2026, 3, 28).date(), BERLIN)
    assert end - start == timedelta(hours=7)
    gap = Stretch(SUNDAY, time(2, 30), time(4))
    start, end = occurrence(gap, datetime(2026, 3, 29).date(), BERLIN)
    assert start == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert end == datetime(2026, 3, 29, 2, 0, tzinfo=UTC)
    inside = Stretch(SUNDAY, time(2, 10), time(2, 50))
    start, end = occurrence(inside, datetime(2026, 3, 29).date(), BERLIN)
    assert start == end


def test_the_night_an_hour_comes_twice():
    # 25 October 2026: 03:00 becomes 02:00 in Berlin. Nobody is locked out in the repeated hour.
    until = Stretch(SATURDAY, time(22), time(2, 30))
    start, end = occurrence(until, datetime(2026, 10, 24).date(), BERLIN)
    assert end - start == timedelta(hours=5, minutes=30)
    for minute in range(0, 330, 5):
        assert is_open([until], start + timedelta(minutes=minute), BERLIN)
    assert not is_open([until], end, BERLIN)


def test_half_hour_changes_and_midnight_changes():
    assert instant(datetime(2026, 10, 4, 2, 15), LORD_HOWE, second=False) == datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
    beirut = ZoneInfo("Asia/Beirut")
    # Midnight itself is skipped on 29 March 2026.
    assert instant(datetime(2026, 3, 29, 0, 0), beirut, second=False) == datetime(2026, 3, 28, 22, 0, tzinfo=UTC)


@given(
    moment=st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)),
    weekday=st.integers(0, 6),
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Asia/Beirut"), ZoneInfo("Pacific/Apia")]),
)
def test_away_from_changes_it_is_plain_wall_clock(moment, weekday, start, end, zone):
    instant_ = moment.replace(tzinfo=UTC)
    around = [(instant_ + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in (-50, 0, 50)]
    if len(set(around)) > 1:
        return
    local = instant_.astimezone(zone).replace(tzinfo=None)
    today = local.weekday() == weekday
    yesterday = (local.weekday() - 1) % 7 == weekday
    if end <= start:
        expected = (today and local.time() >= start) or (yesterday and local.time() < end)
    else:
        expected = today and start <= local.time() < end
    assert is_open([Stretch(weekday, start, end)], instant_, zone) is expected
