"""A door as it stood during a period: its zone, its holidays, its weekly hours, when it was locked down or held open.

Everything is read as it was written down at each instant; between two changes the rule sees the same facts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.db.models import Q

from accesscontrol.doors import holidays, hours
from accesscontrol.doors.hours import Stretch, of_day
from accesscontrol.doors.models import Channel, ChannelState, Holiday, ShiftTime
from accesscontrol.doors.spans import Span, common, union
from accounts.models import SiteZone


@dataclass(frozen=True)
class Place:
    """The zone and the holidays between two changes."""

    zone: ZoneInfo
    holidays: tuple[hours.Holiday, ...]


class DoorThen:
    """One door during `[begin, end)`; rows are read once, hours are worked out once for each shift."""

    def __init__(self, channel: Channel, begin: datetime, end: datetime) -> None:
        self.channel, self.begin, self.end = channel, begin, end
        self._zones = list(SiteZone.objects.filter(site=channel.site_id, ended_at__gt=begin).order_by("ended_at", "id"))
        self._holidays = list(Holiday.objects.filter(overlapping(begin, end), site=channel.site_id))
        self._times: dict[int, list[ShiftTime]] = {}
        self._open: dict[tuple[int, timedelta], list[Span]] = {}
        self.locked: list[Span] = []
        self.held_open: list[Span] = []
        self._stand()

    @property
    def period(self) -> list[Span]:
        return [(self.begin, self.end)]

    def changes(self, shift_id: int | None = None) -> list[datetime]:
        """The instants at which what is read here became another, with begin and end."""
        rows: list[Holiday | ShiftTime] = [*self._holidays, *(self._times_of(shift_id) if shift_id else ())]
        found = {zone.ended_at for zone in self._zones}
        found |= {moment for row in rows for moment in (row.started_at, row.ended_at) if moment is not None}
        return [self.begin, *sorted(moment for moment in found if self.begin < moment < self.end), self.end]

    def place(self, at: datetime) -> Place:
        """Zone and holidays as they were known at an instant."""
        zone = next((row.time_zone for row in self._zones if at < row.ended_at), self.channel.site.time_zone)
        known = tuple(holidays.as_rule(row) for row in self._holidays if held(row, at))
        return Place(ZoneInfo(zone), known)

    def stretches(self, shift_id: int, at: datetime) -> tuple[Stretch, ...]:
        """Weekly hours as they were at an instant."""
        return tuple(row.stretch for row in self._times_of(shift_id) if held(row, at))

    def open(self, shift_id: int | None, early: timedelta = timedelta(0)) -> list[Span]:
        """When these weekly hours were open here; without any it was always."""
        if shift_id is None:
            return self.period
        if (shift_id, early) not in self._open:
            found: list[Span] = []
            for start, end in pairwise(self.changes(shift_id)):
                place = self.place(start)
                stretches = self.stretches(shift_id, start)
                found += hours.spans(stretches, place.zone, place.holidays, start, end, early=early)
            self._open[shift_id, early] = union(found)
        return self._open[shift_id, early]

    def edges(self, shift_id: int, early: timedelta) -> set[datetime]:
        """Every start (with and without the grace) and end of these hours, and every change of what is read."""
        found = set(self.changes(shift_id))
        for start, end in pairwise(self.changes(shift_id)):
            place, stretches = self.place(start), self.stretches(shift_id, start)
            day, last = start.astimezone(place.zone).date() - timedelta(days=1), end.astimezone(place.zone).date()
            while day <= last + timedelta(days=1 if early else 0):
                for stretch in of_day(day, stretches, place.holidays):
                    opens, closes = hours.occurrence(stretch, day, place.zone)
                    found |= {opens - early, opens, closes}
                day += timedelta(days=1)
        return found

    def _times_of(self, shift_id: int) -> list[ShiftTime]:
        if shift_id not in self._times:
            self._times[shift_id] = list(ShiftTime.objects.filter(overlapping(self.begin, self.end), shift=shift_id))
        return self._times[shift_id]

    def _stand(self) -> None:
        """When the door was locked down, and when it was held open, by a command or by its hours."""
        rows = ChannelState.objects.filter(overlapping(self.begin, self.end), channel=self.channel)
        locked: list[Span] = []
        opened: list[Span] = []
        for row in rows:
            [*lasted] = common(self.period, union([(row.started_at, row.ended_at or self.end)]))
            if row.state == Channel.State.LOCKED_DOWN:
                locked += lasted
                continue
            by_hand: list[Span] = []
            if row.state == Channel.State.UNLOCKED:
                by_hand = common(lasted, union([(row.started_at, row.relock_at or self.end)]))
            opened += by_hand
            if row.auto_unlock_shift_id is not None:
                closed = [(row.relock_at or self.end, self.end)] if by_hand else lasted
                opened += common(common(lasted, union(closed)), self.open(row.auto_unlock_shift_id))
        self.locked, self.held_open = union(locked), union(opened)


def overlapping(begin: datetime, end: datetime) -> Q:
    """Rows that held at some instant of `[begin, end)`."""
    return Q(started_at__lt=end) & (Q(ended_at=None) | Q(ended_at__gt=begin))


def held(row: Holiday | ShiftTime, at: datetime) -> bool:
    return row.started_at <= at and (row.ended_at is None or at < row.ended_at)
