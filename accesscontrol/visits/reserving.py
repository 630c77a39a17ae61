"""Reserve doors for a person, move it, cancel it, and send what the person must know.

Without channels a reservation covers the tenant's visitor doors, never all doors.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accesscontrol.credentials.lifecycle import PersonIsGone
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.people import records
from accesscontrol.people.models import Person
from accesscontrol.reservations import reserving
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import expiry, keypads, messages
from accounts import audit

UNCHANGED: Any = object()


@transaction.atomic
def reserve(
    person: Person,
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    channels: Iterable[Channel] | None = None,
    shift: Shift | None = None,
    deliver: str | None = None,
    site_ids: frozenset[int] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Reservation:
    """Let a person in during `[start_time, end_time)`; `site_ids` limits which visitor doors are meant.

    `details` are what `reservations.reserving.DETAILS` names, such as the host.
    """
    if not records.stays(person):
        raise PersonIsGone
    if deliver:
        messages.address_of(person, deliver)
    if channels is None:
        visitor_doors = Channel.objects.filter(is_visitor_door=True)
        channels = visitor_doors if site_ids is None else visitor_doors.filter(site_id__in=site_ids)
    channels = list(channels)
    keypads.require_fit(person, channels)
    reservation = reserving.reserve(
        person, channels, start_time=start_time, end_time=end_time, shift=shift, details=details, by=by, now=now
    )
    if end_time > now:
        expiry.revive(person.pk, now)
    if deliver:
        messages.send_reservation(reservation, deliver, by=by, now=now)
    return reservation


@transaction.atomic
def reschedule(
    reservation: Reservation,
    *,
    by: audit.Actor,
    now: datetime,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    shift: Any = UNCHANGED,
    channels: Iterable[Channel] | None = None,
    deliver: str | None = None,
    expected_version: int | None = None,
) -> Reservation:
    """Move, extend or shorten a reservation; an unsent message about it is replaced by one that is right."""
    reservation = reserving.hold(reservation, expected_version)
    person = reservation.person
    if deliver:
        messages.address_of(person, deliver)
    channels = None if channels is None else list(channels)
    if channels is not None:
        keypads.require_fit(person, channels)
    reservation = reserving.reschedule(
        reservation,
        start_time=start_time or reservation.start_time,
        end_time=end_time or reservation.end_time,
        shift=reservation.shift if shift is UNCHANGED else shift,
        channels=channels,
        by=by,
        now=now,
    )
    if reservation.end_time > now:
        expiry.revive(person.pk, now)
    else:
        expiry.look_at([person.pk], now)
    messages.tell_change(reservation, deliver=deliver, by=by, now=now)
    return reservation


@transaction.atomic
def cancel(reservation: Reservation, *, by: audit.Actor, now: datetime, expected_version: int | None = None) -> None:
    """Take the right away at once; a second time changes nothing."""
    reserving.hold(reservation, expected_version)
    if reserving.cancel([reservation], by=by, now=now):
        reservation.refresh_from_db(fields=["cancelled_at"])
        messages.tell_end(reservation, by=by, now=now)
    expiry.look_at([reservation.person_id], now)
