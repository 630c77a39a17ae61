"""The visit as an entry in the visitor's calendar (RFC 5545 and 5546). Calendars are shared: never with a PIN.

REQUEST and CANCEL, since mail programs move or remove what they have already for these alone; nobody is asked for
a reply. It is sent as an attachment: as an alternative of the mail's text, programs would copy that text, and the
PIN in it, into the entry.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import get_language, gettext
from icalendar import Calendar, Event, vCalAddress, vText

from accesscontrol.doors.hours import Stretch, occurrence
from accesscontrol.reservations.models import Reservation
from accounts.models import Tenant

REQUEST: Final = "REQUEST"
CANCEL: Final = "CANCEL"
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_UTC: Final = ZoneInfo("UTC")


def entry_of(
    reservation: Reservation,
    *,
    tenant: Tenant,
    zone: ZoneInfo,
    stretches: list[Stretch] | None,
    words: Mapping[str, Any],
    now: datetime,
) -> dict[str, str] | None:
    """The file and its method; None for weekly hours that no single rule says, and for those that never open."""
    times = _times(reservation, zone, stretches)
    if times is None:
        return None
    method = CANCEL if reservation.cancelled_at else REQUEST
    event = Event()
    event.add("uid", str(reservation.calendar_uid))
    event.add("sequence", reservation.calendar_sequence)
    event.add("dtstamp", now.astimezone(_UTC))
    event.add("status", "CANCELLED" if method == CANCEL else "CONFIRMED")
    for name, value in times.items():
        event.add(name, value)
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
    if zone != _UTC:
        # Only the years that the entry is about: the rest of the zone's history would be most of the file.
        first, last = reservation.start_time.date(), reservation.end_time.date()
        calendar.add_missing_timezones(first_date=first.replace(day=1, month=1), last_date=last + timedelta(days=366))
    return {"text": calendar.to_ical().decode(), "method": method}


def _times(reservation: Reservation, zone: ZoneInfo, stretches: list[Stretch] | None) -> dict[str, Any] | None:
    if stretches is None:
        start, end = reservation.start_time, reservation.end_time
        return {"dtstart": start.astimezone(zone), "dtend": end.astimezone(zone)}
    if len({(stretch.start_time, stretch.end_time) for stretch in stretches}) != 1:
        return None
    begins = reservation.start_time.astimezone(zone).date()
    days = {stretch.weekday: stretch for stretch in stretches}
    # From the day before: a stretch over midnight may be open when the visit begins.
    for offset in range(-1, 8):
        day = begins + timedelta(days=offset)
        if day.weekday() not in days:
            continue
        start, end = occurrence(days[day.weekday()], day, zone)
        if end > reservation.start_time:
            break
    if start >= reservation.end_time:
        return None
    until = (reservation.end_time - timedelta(seconds=1)).astimezone(_UTC)
    rule = {"freq": "weekly", "byday": [_DAYS[weekday] for weekday in sorted(days)], "until": until}
    return {"dtstart": start.astimezone(zone), "dtend": end.astimezone(zone), "rrule": rule}


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
