"""The visit as an entry in the visitor's calendar (RFC 5545 and 5546). Calendars are shared: never with a PIN.

REQUEST and CANCEL, since mail programs move or remove what they have already for these alone; nobody is asked for
a reply. It is sent as an attachment: as an alternative of the mail's text, programs would copy that text, and the
PIN in it, into the entry.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from email.utils import parseaddr
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import get_language, gettext
from icalendar import Calendar, Event, Timezone, vCalAddress, vText

from accesscontrol.doors.hours import Holiday, Stretch, occurrence, of_day
from accesscontrol.reservations.models import Reservation
from accounts.models import Tenant

REQUEST: Final = "REQUEST"
CANCEL: Final = "CANCEL"
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
Times = tuple[datetime, datetime]
_UTC: Final = ZoneInfo("UTC")
_DAY: Final = timedelta(days=1)
# Holidays are looked up so far from the beginning on; calendars go on by the rule alone.
_AHEAD: Final = timedelta(days=3 * 366)


def entry_of(
    reservation: Reservation,
    *,
    tenant: Tenant,
    zone: ZoneInfo,
    stretches: list[Stretch] | None,
    holidays: Sequence[tuple[Holiday, ...]] = (),
    words: Mapping[str, Any],
    now: datetime,
) -> dict[str, str] | None:
    """The file and its method; None for weekly hours that no single rule says, and for those that never open.

    `holidays` are those of each site of the visit: it takes place where one of them lets the visitor in.
    """
    times = _times(reservation, zone, stretches, holidays or ((),))
    if times is None:
        return None
    method = CANCEL if reservation.cancelled_at else REQUEST
    event = Event()
    event.add("uid", str(reservation.calendar_uid))
    event.add("sequence", reservation.calendar_sequence)
    event.add("dtstamp", now.astimezone(_UTC))
    event.add("status", "CANCELLED" if method == CANCEL else "CONFIRMED")
    for name, value in times.items():
        event.add(name, value, parameters={"VALUE": "PERIOD"} if name == "rdate" else {})
    place = words["site_name"] or tenant.name
    event.add("summary", gettext("Visit to %(place)s") % {"place": place})
    event.add("location", ", ".join(filter(None, (words["site_name"], words["site_address"]))))
    event.add("description", _description(words, tenant))
    event.add("class", "PRIVATE")
    event.add("organizer", _address(_sender(), tenant.name), encode=False)
    if reservation.person.email:
        event.add("attendee", _attendee(reservation.person.email, reservation.person.name), encode=False)
    calendar = Calendar()
    calendar.add("prodid", f"-//Gatehouse//{(get_language() or 'en').upper()}")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    text = calendar.to_ical().decode()
    if zone != _UTC:
        rules = _rules_of(zone.key, reservation.start_time.year, reservation.end_time.year)
        text = text.replace("BEGIN:VEVENT", f"{rules}BEGIN:VEVENT", 1)
    return {"text": text, "method": method}


@lru_cache(maxsize=100)
def _rules_of(zone: str, first: int, last: int) -> str:
    """When clocks change there, in the years that an entry is about: the rest would be most of the file."""
    # Thousands of entries share them, and they are most of the work.
    until = date(min(last + 2, date.max.year), 1, 1)
    rules: bytes = Timezone.from_tzid(zone, first_date=date(first, 1, 1), last_date=until).to_ical()
    return rules.decode()


def _times(
    reservation: Reservation,
    zone: ZoneInfo,
    stretches: list[Stretch] | None,
    holidays: Sequence[tuple[Holiday, ...]],
) -> dict[str, Any] | None:
    if stretches is None:
        start, end = reservation.start_time, reservation.end_time
        return {"dtstart": start.astimezone(zone), "dtend": end.astimezone(zone)}
    if len({(stretch.start_time, stretch.end_time) for stretch in stretches}) != 1:
        return None
    days = {stretch.weekday: stretch for stretch in stretches}
    usual: list[Times] = []
    off: list[Times] = []
    extra: list[Times] = []
    # From the day before: a stretch over midnight may be open when the visit begins.
    day = reservation.start_time.astimezone(zone).date() - _DAY
    last = min(reservation.end_time.astimezone(zone).date(), day + _AHEAD)
    while day <= last:
        regular = days.get(day.weekday())
        open_then = {stretch for each in holidays for stretch in of_day(day, stretches, each)}
        if regular is not None:
            _note(usual if regular in open_then else off, regular, day, reservation, zone)
        for stretch in open_then.difference(stretches):
            _note(extra, stretch, day, reservation, zone)
        if usual and not any(holidays):
            break
        day += _DAY
    if not usual:
        return None
    start, end = usual[0]
    until = (reservation.end_time - timedelta(seconds=1)).astimezone(_UTC)
    rule = {"freq": "weekly", "byday": [_DAYS[weekday] for weekday in sorted(days)], "until": until}
    times: dict[str, Any] = {"dtstart": start, "dtend": end, "rrule": rule}
    if closed := [begins for begins, _ in off if begins > start]:
        times["exdate"] = closed
    if extra:
        # In UTC: the library names no zone beside periods.
        times["rdate"] = [(opens.astimezone(_UTC), closes.astimezone(_UTC)) for opens, closes in sorted(extra)]
    return times


def _note(found: list[Times], stretch: Stretch, day: date, reservation: Reservation, zone: ZoneInfo) -> None:
    """Add the times of a stretch on this day, where the visit is on."""
    start, end = occurrence(stretch, day, zone)
    if start < reservation.end_time and end > reservation.start_time:
        found.append((start.astimezone(zone), end.astimezone(zone)))


def _description(words: Mapping[str, Any], tenant: Tenant) -> str:
    lines = [gettext("Doors: %(doors)s") % {"doors": ", ".join(words["doors"])}]
    if words.get("host_name"):
        lines.append(gettext("Host: %(name)s") % {"name": words["host_name"]})
    if words["help_phone"]:
        lines.append(gettext("Help at the door: %(phone)s") % {"phone": words["help_phone"]})
    lines.append(gettext("Your PIN is in the message from %(tenant)s.") % {"tenant": tenant.name})
    return "\n".join(lines)


def _attendee(email: str, name: str) -> vCalAddress:
    attendee = _address(email, name)
    attendee.params["role"] = vText("REQ-PARTICIPANT")
    attendee.params["rsvp"] = vText("FALSE")
    return attendee


def _address(email: str, name: str) -> vCalAddress:
    address = vCalAddress(f"MAILTO:{email}")
    # A quotation mark cannot stand in a parameter.
    address.params["cn"] = vText(name.replace('"', "'"))
    return address


def _sender() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
