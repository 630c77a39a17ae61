"""Who was let in and who was not, as charts by hour, day and door; every number leads to its list of events."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from accesscontrol.access.counting import Count, Counts, read
from accesscontrol.doors.models import Channel
from accesscontrol.overview import hours
from accesscontrol.overview.charts import Chart, Period, chart
from accounts.admin.periods import interval

HOURS = {"24": "Last 24 hours", "today": "Today"}
DAYS = {"14": "14 days", "30": "30 days"}
MOST_DOORS = 10
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DoorTraffic:
    """What happened at one door in a period; widths in per cent of the busiest one."""

    door: Channel
    count: Count
    let_in_link: str
    not_let_in_link: str
    let_in_width: str
    not_let_in_width: str


@dataclass(frozen=True)
class Traffic:
    """All that the charts show, and the whole of what the first one shows in two numbers."""

    by_hour: Chart
    by_day: Chart
    by_door: list[DoorTraffic]
    doors_left_out: int
    let_in_link: str
    not_let_in_link: str


def traffic(
    doors: Sequence[Channel], events: str, *, site: int | None, all_doors: bool, today: bool, days: int,
    zone: ZoneInfo, now: datetime,
) -> Traffic:  # fmt: skip
    """The charts of these doors; `events` is the address of the list of events, `all_doors` if there are no others."""
    channel_ids = None if all_doors else [door.pk for door in doors]
    by_hours = hours.hours_of_today(now, zone) if today else hours.last_hours(now, zone, 24)
    by_days = hours.days(now, zone, days)
    of_days = read(by_days, channel_ids=channel_ids)
    links = _Links(events, site)
    whole_day = (by_hours[0], by_hours[-1])
    busiest, left_out = _by_door(doors, of_days, links, (by_days[0], by_days[-1]))
    return Traffic(
        by_hour=chart(_by_hour(by_hours, channel_ids, links, zone), wide=2, narrow=6),
        by_day=chart(
            _by_day(by_days, of_days, links, zone), wide=2 if days == 14 else 3, narrow=4 if days == 14 else 9
        ),
        by_door=busiest,
        doors_left_out=left_out,
        let_in_link=links.to(whole_day, "in"),
        not_let_in_link=links.to(whole_day, "not"),
    )


@dataclass(frozen=True)
class _Links:
    events: str
    site: int | None

    def to(self, period: tuple[datetime, datetime], decision: str, door: int | None = None) -> str:
        asked = {"period": interval(*period), "decision": decision}
        if door is not None:
            asked["door"] = str(door)
        elif self.site is not None:
            asked["site"] = str(self.site)
        return f"{self.events}?{urlencode(asked)}"


def _by_hour(
    bounds: list[datetime], channel_ids: Collection[int] | None, links: _Links, zone: ZoneInfo
) -> list[Period]:
    counts = read(bounds, channel_ids=channel_ids)
    periods = []
    for number, period in enumerate(pairwise(bounds)):
        begins, ends = (instant.astimezone(zone) for instant in period)
        words = f"{begins.day} {begins:%b, %H:%M} to {ends:%H:%M} {begins.tzname()}"
        periods.append(_period(f"{begins:%H:%M}", words, _sum(counts, number), links, period))
    return periods


def _by_day(bounds: list[datetime], counts: Counts, links: _Links, zone: ZoneInfo) -> list[Period]:
    periods = []
    for number, period in enumerate(pairwise(bounds)):
        day = period[0].astimezone(zone)
        name = f"{day.day} {day:%b}"
        periods.append(_period(name, f"{day:%A}, {day.day} {day:%B}", _sum(counts, number), links, period))
    return periods


def _period(name: str, words: str, count: Count, links: _Links, period: tuple[datetime, datetime]) -> Period:
    return Period(name, words, count, links.to(period, "in"), links.to(period, "not"))


def _sum(counts: Counts, number: int) -> Count:
    return sum(counts.get(number, {}).values(), Count())


def _by_door(
    doors: Sequence[Channel], counts: Counts, links: _Links, period: tuple[datetime, datetime]
) -> tuple[list[DoorTraffic], int]:
    known = {door.pk: door for door in doors}
    totals: Counter[int] = Counter()
    whole: dict[int, Count] = {}
    for at_doors in counts.values():
        for channel_id, count in at_doors.items():
            whole[channel_id] = whole.get(channel_id, Count()) + count
            totals[channel_id] += count.total
    used = [(known[channel_id], whole[channel_id]) for channel_id, _ in totals.most_common() if channel_id in known]
    most = max((count.total for _, count in used), default=1)
    shown = [
        DoorTraffic(
            door,
            count,
            links.to(period, "in", door.pk),
            links.to(period, "not", door.pk),
            f"{100 * count.let_in / most:.2f}%",
            f"{100 * count.not_let_in / most:.2f}%",
        )
        for door, count in used[:MOST_DOORS]
    ]
    return shown, len(used) - len(shown)
