"""When weekly hours are open at a site, in words: the week, the holidays of the coming year, and what changes next."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from accesscontrol.doors.hours import Holiday, OnHoliday, Stretch, holiday_on, of_day, spans
from accesscontrol.doors.weeks import DAYS, day_in_words, in_words, week_in_words

_NEXT_WITHIN = timedelta(days=60)
_HOLIDAYS_WITHIN_DAYS = 365
_MOST_HOLIDAYS = 8


@dataclass(frozen=True)
class Outlook:
    """`week` and `exceptions` say when it is open; `standing` what holds now and until when."""

    week: str
    exceptions: list[str]
    standing: str
    is_open: bool


def outlook(
    stretches: Collection[Stretch] | None, zone: ZoneInfo, holidays: Collection[Holiday], now: datetime
) -> Outlook:
    """In words for a person; no stretches at all (None) is always."""
    if stretches is None:
        return Outlook("At any time", [], "Open now, and always.", is_open=True)
    week = week_in_words(in_words(stretches)).replace("-", "–")
    if not week:
        return Outlook("Never", [], "Closed now, and always.", is_open=False)
    whole = all(stretch.start_time == stretch.end_time for stretch in stretches)
    if whole and len({stretch.weekday for stretch in stretches}) == len(DAYS):
        week = "Every day, all day"
    standing, is_open = _standing(stretches, zone, holidays, now)
    return Outlook(week, _exceptions(stretches, zone, holidays, now), standing, is_open)


def _standing(
    stretches: Collection[Stretch], zone: ZoneInfo, holidays: Collection[Holiday], now: datetime
) -> tuple[str, bool]:
    coming = spans(stretches, zone, holidays, now, now + _NEXT_WITHIN)
    if not coming:
        return f"Closed now, and for the next {_NEXT_WITHIN.days} days.", False
    start, end = coming[0]
    if start > now:
        return f"Closed now. Opens {_moment(start, zone, now)}.", False
    if end >= now + _NEXT_WITHIN:
        return f"Open now, and for the next {_NEXT_WITHIN.days} days.", True
    return f"Open now. Closes {_moment(end, zone, now)}.", True


def _exceptions(
    stretches: Collection[Stretch], zone: ZoneInfo, holidays: Collection[Holiday], now: datetime
) -> list[str]:
    """The holidays to come, days in a row together: “closed on 25 and 26 December (Christmas)”."""
    today = now.astimezone(zone).date()
    found: list[tuple[date, date, str, str]] = []
    for day in (today + timedelta(days=number) for number in range(_HOLIDAYS_WITHIN_DAYS)):
        holiday = holiday_on(day, holidays)
        if holiday is None:
            continue
        words = _of_holiday(day, stretches, holiday)
        if found and found[-1][1] == day - timedelta(days=1) and found[-1][2:] == (words, holiday.name):
            found[-1] = (found[-1][0], day, words, holiday.name)
        else:
            found.append((day, day, words, holiday.name))
    shown = [f"{days_in_words(first, last, today)}: {words} ({name})" for first, last, words, name in found]
    more = len(shown) - _MOST_HOLIDAYS
    return shown[:_MOST_HOLIDAYS] + ([f"and {more} more within a year"] if more > 0 else [])


def _of_holiday(day: date, stretches: Collection[Stretch], holiday: Holiday) -> str:
    on_holiday = next((stretch.on_holiday for stretch in stretches), OnHoliday.CLOSED)
    if on_holiday is OnHoliday.AS_USUAL:
        return "as usual"
    own = [(stretch.start_time, stretch.end_time) for stretch in of_day(day, stretches, [holiday])]
    return day_in_words(own).replace("-", "–") if own else "closed"


def days_in_words(first: date, last: date, today: date | None = None) -> str:
    """“25 December”, “24 to 26 December”, “30 December to 2 January”; the year where it is not this one."""
    year = f" {last.year}" if today is None or last.year != today.year else ""
    if first == last:
        return f"{last.day} {last:%B}{year}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%B}{year}"
    first_year = f" {first.year}" if first.year != last.year and year else ""
    return f"{first.day} {first:%B}{first_year} to {last.day} {last:%B}{year}"


def _moment(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"today at {local:%H:%M}"
    if local.date() == today + timedelta(days=1):
        return f"tomorrow at {local:%H:%M}"
    if local.date() < today + timedelta(days=7):
        return f"on {DAYS[local.weekday()]} at {local:%H:%M}"
    return f"on {DAYS[local.weekday()]}, {days_in_words(local.date(), local.date(), today)}, at {local:%H:%M}"
