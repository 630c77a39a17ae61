"""Holidays and exceptions of a site: closed all day or open at other hours, once or every year.

A holiday holds from when it was written down: one that is changed or taken away stays known for the time before, so
that nobody's past admission becomes a wrong one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import transaction

from accesscontrol.doors import hours
from accesscontrol.doors.models import Holiday
from accesscontrol.doors.periods import OPEN
from accounts import audit
from accounts.models import Site
from accounts.refusals import Refusal, refusing

_LONGEST = timedelta(days=366)


class EndsEarly(Refusal):
    code = "invalid_period"
    field = "last_day"
    text = "The last day must not be before the first."


class TooLong(Refusal):
    code = "invalid_period"
    field = "last_day"
    text = "A holiday lasts a year at most."


class DaysTaken(Refusal):
    code = "taken"
    field = "first_day"
    text = "There is a holiday on these days at this site already."
    constraint = "holiday_unique"


class HoursOverlap(Refusal):
    code = "overlapping_hours"
    field = "hours"
    text = "Two of these times start together."


@dataclass(frozen=True)
class Days:
    """What a holiday says: its name, its days, and (empty: closed) the hours of each of them."""

    name: str
    first_day: date
    last_day: date
    is_yearly: bool = False
    hours: tuple[tuple[time, time], ...] = ()

    def columns(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "is_yearly": self.is_yearly,
            "hours": [[start.isoformat(), end.isoformat()] for start, end in self.hours],
        }


@transaction.atomic
def add(sites: Iterable[Site], days: Days, *, by: audit.Actor, now: datetime) -> list[Holiday]:
    """Add a holiday at these sites, at all of them or none; refuses days that one of them has already."""
    _require(days)
    with refusing(DaysTaken):
        # One by one: whoever is refused must not be told of a row that was not written.
        made = [Holiday.objects.create(site=site, started_at=now, **days.columns()) for site in sites]
    audit.record_many("create", "holiday", [holiday.pk for holiday in made], by=by, now=now)
    return made


@transaction.atomic
def change(holiday: Holiday, days: Days, *, by: audit.Actor, now: datetime) -> Holiday:
    """Let a holiday be another from now on; what it was before is kept. Returns the row that holds."""
    _require(days)
    holiday = Holiday.objects.select_for_update(of=("self",)).get(pk=holiday.pk)
    columns = days.columns()
    changed = [name for name, value in columns.items() if getattr(holiday, name) != value]
    if not changed or holiday.ended_at is not None:
        return holiday
    if changed == ["name"]:
        Holiday.objects.filter(pk=holiday.pk).update(name=days.name)
        holiday.name = days.name
        audit.record("change", "holiday", holiday.pk, by=by, now=now, fields=changed)
        return holiday
    Holiday.objects.filter(pk=holiday.pk).update(ended_at=now)
    with refusing(DaysTaken):
        follower = Holiday.objects.create(site_id=holiday.site_id, started_at=now, **columns)
    audit.record("change", "holiday", follower.pk, by=by, now=now, fields=changed)
    return follower


@transaction.atomic
def remove(holiday: Holiday, *, by: audit.Actor, now: datetime) -> None:
    """Take a holiday away from now on; a second time changes nothing."""
    if Holiday.objects.filter(pk=holiday.pk, ended_at=None).update(ended_at=now):
        audit.record("end", "holiday", holiday.pk, by=by, now=now)


def of_site(site_id: int) -> tuple[hours.Holiday, ...]:
    """The holidays of a site as they stand."""
    return tuple(as_rule(row) for row in Holiday.objects.filter(OPEN, site_id=site_id).order_by("first_day", "id"))


def of_sites(site_ids: Iterable[int]) -> dict[int, tuple[hours.Holiday, ...]]:
    """Likewise of many sites, by their ids; one query."""
    found: dict[int, list[hours.Holiday]] = {site_id: [] for site_id in site_ids}
    for row in Holiday.objects.filter(OPEN, site_id__in=found).order_by("first_day", "id"):
        found[row.site_id].append(as_rule(row))
    return {site_id: tuple(holidays) for site_id, holidays in found.items()}


def as_rule(row: Holiday) -> hours.Holiday:
    """A row as the rule reads it."""
    return hours.Holiday(row.first_day, row.last_day, row.is_yearly, clocks(row.hours), row.name)


def clocks(pairs: Sequence[Sequence[str]]) -> tuple[tuple[time, time], ...]:
    """The hours of a holiday as they are kept, as times."""
    return tuple((time.fromisoformat(start), time.fromisoformat(end)) for start, end in pairs)


def _require(days: Days) -> None:
    if days.last_day < days.first_day:
        raise EndsEarly
    if days.last_day - days.first_day >= _LONGEST:
        raise TooLong
    if len({start for start, _ in days.hours}) < len(days.hours):
        raise HoursOverlap
