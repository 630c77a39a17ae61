"""A visit in words: which doors, where, and when, in the language that is active and the time of the place.

Instants become text here, before a message is sealed. The formats of dates are translated, their names are Django's.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from django.db.models import F, Q
from django.utils import formats
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext, pgettext

from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Channel, ShiftTime
from accesscontrol.doors.periods import OPEN
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accounts.models import Site


def doors_of(reservation: Reservation) -> list[Channel]:
    """The doors that the visit opens now, or opened when it was cancelled, with their sites."""
    return doors_of_many([reservation])[reservation.pk]


def doors_of_many(reservations: Sequence[Reservation]) -> dict[int, list[Channel]]:
    """Likewise of many visits, by their ids; one query."""
    ended = {reservation.pk: reservation.cancelled_at for reservation in reservations}
    doors: dict[int, list[Channel]] = {pk: [] for pk in ended}
    rows = ReservationChannel.objects.filter(reservation_id__in=ended).select_related("channel__site")
    rows = rows.filter(Q(ended_at=None) | Q(reservation__cancelled_at=F("ended_at")))
    for row in rows.order_by("channel__site__name", "channel__site_id", "channel__name", "channel_id"):
        if row.ended_at == ended[row.reservation_id]:
            doors[row.reservation_id].append(row.channel)
    return doors


def stretches_of(reservation: Reservation) -> list[Stretch] | None:
    """The weekly hours that limit the visit; None where nothing does."""
    return stretches_of_many([reservation])[reservation.pk]


def stretches_of_many(reservations: Sequence[Reservation]) -> dict[int, list[Stretch] | None]:
    """Likewise of many visits, by their ids; one query where any has weekly hours."""
    shifts: dict[int, list[Stretch]] = {
        reservation.shift_id: [] for reservation in reservations if reservation.shift_id is not None
    }
    if shifts:
        rows = ShiftTime.objects.filter(OPEN, shift_id__in=shifts).order_by("shift_id", "weekday", "start_time")
        for row in rows:
            shifts[row.shift_id].append(row.stretch)
    return {
        reservation.pk: None if reservation.shift_id is None else shifts[reservation.shift_id]
        for reservation in reservations
    }


def visit_in_words(
    reservation: Reservation, doors: list[Channel], stretches: list[Stretch] | None
) -> dict[str, object]:
    """What the templates of a visit need."""
    sites = list(dict.fromkeys(door.site for door in doors))
    zones: dict[ZoneInfo, list[Site]] = {}
    for site in sites:
        zones.setdefault(site.zone, []).append(site)
    start, end = reservation.start_time, reservation.end_time
    if len(zones) == 1:
        [zone] = zones
        when = [local(period_in_words(start, end, zone))]
        short = local(short_period(start, end, zone))
    else:
        named = [(", ".join(site.name for site in places), zone) for zone, places in zones.items()]
        when = [f"{names}: {period_in_words(start, end, zone)}" for names, zone in named]
        short = "; ".join(f"{names}: {short_period(start, end, zone)}" for names, zone in named)
    return {
        "site_name": ", ".join(site.name for site in sites),
        "site_address": "; ".join(site.address for site in sites if site.address),
        "help_phone": next((site.help_phone for site in sites if site.help_phone), ""),
        "typing_hint": next((site.typing_hint for site in sites if site.typing_hint), ""),
        "doors": [f"{door.name} ({door.site.name})" if len(sites) > 1 else door.name for door in doors],
        "when": when,
        "short_when": short,
        "starts": day_and_time(start, next(iter(zones))) if zones else "",
        "hours": hours_in_words(stretches) if stretches else "",
    }


def local(words: str) -> str:
    """Says that these are times of the place."""
    return gettext("%(time)s (local time)") % {"time": words}


def day(moment: datetime) -> str:
    # Translators: a day as Django's date filter writes it, such as “Wednesday, 1 July 2026”.
    return formats.date_format(moment, pgettext("date format", "l, j F Y"))


def short_day(moment: datetime) -> str:
    # Translators: a day as short as can be, such as “Wed 1 Jul”.
    return formats.date_format(moment, pgettext("date format", "D j M"))


def day_and_time(moment: datetime, zone: ZoneInfo) -> str:
    """Day and time as read on the wall there."""
    moment = moment.astimezone(zone)
    return gettext("%(day)s, %(time)s") % {"day": day(moment), "time": f"{moment:%H:%M}"}


def in_words(moment: datetime, zone: ZoneInfo) -> str:
    """Day and time there, saying that it is the time of the place."""
    return local(day_and_time(moment, zone))


def period_in_words(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """“Wednesday, 1 July 2026, 11:00 to 13:00”, with both days where it ends on another."""
    start, end = start.astimezone(zone), end.astimezone(zone)
    last, until = _end_of_day(end)
    if start.date() == last.date():
        words = {"day": day(start), "start": f"{start:%H:%M}", "end": until}
        return gettext("%(day)s, %(start)s to %(end)s") % words
    both = {"start": day_and_time(start, zone), "end": gettext("%(day)s, %(time)s") % {"day": day(last), "time": until}}
    return gettext("%(start)s until %(end)s") % both


def short_period(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """“Wed 1 Jul 11:00-13:00”, for text messages."""
    start, end = start.astimezone(zone), end.astimezone(zone)
    last, until = _end_of_day(end)
    from_words = f"{short_day(start)} {start:%H:%M}"
    return f"{from_words}-{until}" if start.date() == last.date() else f"{from_words} - {short_day(last)} {until}"


def _end_of_day(end: datetime) -> tuple[datetime, str]:
    """Midnight is 24:00 of the day before: nobody comes on the day after."""
    if (end.hour, end.minute) == (0, 0):
        return end - timedelta(minutes=1), "24:00"
    return end, f"{end:%H:%M}"


def hours_in_words(stretches: Iterable[Stretch]) -> str:
    """“Tuesday, Thursday 18:00-20:30”, days with the same hours together."""
    days: dict[str, list[int]] = {}
    for stretch in sorted(stretches, key=lambda stretch: (stretch.start_time, stretch.weekday)):
        days.setdefault(f"{stretch.start_time:%H:%M}-{stretch.end_time:%H:%M}", []).append(stretch.weekday)
    return "; ".join(f"{_weekdays(weekdays)} {words}" for words, weekdays in days.items())


def _weekdays(weekdays: list[int]) -> str:
    """Names with commas, three and more in a row as “Monday to Friday”."""
    named: list[str] = []
    for _, run in groupby(enumerate(weekdays), key=lambda pair: pair[1] - pair[0]):
        row = [str(WEEKDAYS[weekday]) for _, weekday in run]
        if len(row) > 2:
            row = [gettext("%(first)s to %(last)s") % {"first": row[0], "last": row[-1]}]
        named += row
    # Translators: what stands between names in a list.
    return pgettext("list", ", ").join(named)
