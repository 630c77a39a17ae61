"""Can this person open this door at this instant, and why not: the rule that the door asks, explained in words.

It speaks of rights as they stand now. What a person could do in the past is told by the rights' periods.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accesscontrol.access import attempts, facts
from accesscontrol.access.decision import Decision, Facts, Grant, decide, is_held_open
from accesscontrol.access.models import Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.hours import Holiday, Stretch, occurrence, of_day
from accesscontrol.doors.models import Channel, Role, ShiftTime
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from pins.throttle.attempts import wait_of

# Past the longest closing-down that is usual.
_LOOKED_AHEAD_DAYS = 36
_LOOKED_AHEAD_VISITS = 20


@dataclass(frozen=True)
class Check:
    """The decision with the words for it; `advice` says what would help, or nothing."""

    admitted: bool
    reason: Reason
    explanation: str
    advice: str = ""
    grant: Grant | None = None


def check(person: Person, channel: Channel, *, at: datetime, now: datetime) -> Check:
    """As the door would decide at `at` about what the person holds; a wait after wrong PINs is one of now."""
    known = facts.of_person(channel.pk, person.pk, now=at)
    assert known is not None
    decision = decide(known, at)
    if known.holder is None:
        return Check(
            False,
            decision.reason,
            _("%(person)s has no PIN and no card.") % {"person": person.name},
            _("Issue a PIN."),
        )
    until = wait_of(attempts.subject_of(channel.pk), now) if known.type == CredentialType.PIN else None
    if until is not None and at < until:
        words = {"door": channel.name, "time": _time(until, known.zone, now)}
        return Check(
            False,
            Reason.THROTTLED,
            _("“%(door)s” waits after wrong PINs until %(time)s and looks at none before.") % words,
            _("Lift the wait at the door."),
        )
    if decision.admitted:
        return Check(True, Reason.NONE, _why(decision, known, channel, at), grant=decision.grant)
    explanation, advice = _why_not(decision.reason, known, person, channel, at)
    return Check(False, decision.reason, explanation, advice)


def _why(decision: Decision, known: Facts, channel: Channel, at: datetime) -> str:
    if decision.was_open or is_held_open(known, at):
        return _("“%(door)s” is held open.") % {"door": channel.name}
    grant = decision.grant
    if grant is not None and grant.role_id is not None:
        name = Role.objects.values_list("name", flat=True).get(pk=grant.role_id)
        return _("By the access level “%(name)s”.") % {"name": name}
    assert grant is not None
    assert grant.reservation_id is not None
    visit = Reservation.objects.get(pk=grant.reservation_id)
    return _("By the visit until %(time)s.") % {"time": _time(visit.end_time, known.zone, at)}


def _why_not(reason: Reason, known: Facts, person: Person, channel: Channel, at: datetime) -> tuple[str, str]:
    """What is in the way, and what would help."""
    holder = known.holder
    assert holder is not None
    door = {"door": channel.name, "person": person.name}
    if reason is Reason.LOCKDOWN:
        return _("“%(door)s” is locked down.") % door, _("End the lockdown.")
    if reason is Reason.CREDENTIAL_NOT_ENABLED:
        return _("The PIN or card of %(person)s is disabled.") % door, _("Enable it.")
    if reason is Reason.CREDENTIAL_EXPIRED and any(grant.attendance.is_used_up(at) for grant in known.grants):
        words = _("The visit of %(person)s was used as often as it may be.") % door
        return words, _("Allow more uses, or issue another visit.")
    if reason is Reason.CREDENTIAL_EXPIRED:
        return _("The PIN of %(person)s has expired with their last right.") % door, _("Reserve a visit.")
    if reason is Reason.PERSON_NOT_ENABLED:
        return _("%(person)s is disabled.") % door, _("Enable the person.")
    if reason is Reason.PERSON_NOT_ACTIVE:
        return _not_active(holder.valid_from, holder.valid_to, known.zone, door, at)
    if reason is Reason.NOT_CHECKED_IN:
        return _("%(person)s has not checked in.") % door, _("Check them in.")
    if reason is Reason.NOT_PERMITTED_AT_THIS_TIME:
        opens = _next_opening(known, at) or _next_visit(person, channel, known, at)
        words = _("%(person)s may open “%(door)s” at other times only.") % door
        return words, _("Next from %(time)s.") % {"time": _time(opens, known.zone, at)} if opens else ""
    return _("%(person)s has no right to open “%(door)s”.") % door, _(
        "Add this door to a visit, or give an access level."
    )


def _not_active(
    valid_from: datetime | None, valid_to: datetime | None, zone: ZoneInfo, door: dict[str, str], at: datetime
) -> tuple[str, str]:
    if valid_from is not None and at < valid_from:
        words = {**door, "time": _time(valid_from, zone, at)}
        return _("%(person)s is valid from %(time)s only.") % words, ""
    assert valid_to is not None
    words = {**door, "time": _time(valid_to, zone, at)}
    return _("The validity of %(person)s ended %(time)s.") % words, _("Extend the validity.")


def _next_opening(known: Facts, at: datetime) -> datetime | None:
    """When the weekly hours of a right that is held now open next; None within five weeks: never."""
    opens = (
        start - grant.attendance.early
        for grant in known.grants
        for start in _starts(grant.hours or (), at, known.zone, known.holidays)
    )
    return min((moment for moment in opens if moment > at), default=None)


def _starts(
    stretches: Collection[Stretch], since: datetime, zone: ZoneInfo, exceptions: Collection[Holiday]
) -> Iterator[datetime]:
    first = since.astimezone(zone).date()
    for day in (first + timedelta(days=ahead) for ahead in range(_LOOKED_AHEAD_DAYS)):
        for stretch in of_day(day, stretches, exceptions):
            yield occurrence(stretch, day, zone)[0]


def _next_visit(person: Person, channel: Channel, known: Facts, at: datetime) -> datetime | None:
    """When the next visit with this door opens it: its grace before the start, or at the first of its weekly hours."""
    coming = Reservation.objects.filter(
        person=person,
        cancelled_at=None,
        start_time__gt=at,
        reservationchannels__channel=channel,
        reservationchannels__ended_at=None,
    )
    opens = []
    for visit in coming.select_related("shift").order_by("start_time")[:_LOOKED_AHEAD_VISITS]:
        if visit.shift is None:
            opens.append(visit.opens_at)
            continue
        early = timedelta(seconds=visit.grace_seconds) if visit.shift.is_private else timedelta(0)
        weekly = [row.stretch for row in ShiftTime.objects.filter(OPEN, shift=visit.shift)]
        starts = _starts(weekly, visit.start_time, known.zone, known.holidays)
        opens += [max(start - early, visit.opens_at) for start in starts if visit.start_time <= start < visit.end_time]
    return min((moment for moment in opens if moment > at), default=None)


def _time(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """In the door's time zone; the day only where it is another."""
    local = moment.astimezone(zone)
    clock = f"{local:%H:%M}"
    if local.date() == now.astimezone(zone).date():
        return clock
    return f"{formats.date_format(local, pgettext('date format', 'j M Y'))}, {clock}"
