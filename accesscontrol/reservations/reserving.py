"""A reservation on its own: reserve, reschedule, cancel. What was moved keeps what held before.

Whether the person's PIN fits the doors, and what must be sent, is decided in visits/.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accesscontrol.doors.models import Channel, Shift
from accesscontrol.doors.periods import OPEN, follow
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel, ReservationPeriod
from accounts import audit
from accounts.refusals import Refusal


class EndsEarly(Refusal):
    code = "invalid_period"
    field = "end_time"
    text = "The reservation must end after it starts."


class NoChannels(Refusal):
    code = "no_channels"
    field = "channel_ids"
    text = "Choose at least one door: no visitor door is set for this account."


class IsCancelled(Refusal):
    code = "cancelled"
    status = 409
    text = "This reservation was cancelled."


@transaction.atomic
def reserve(
    person: Person,
    channels: Iterable[Channel],
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    shift: Shift | None = None,
) -> Reservation:
    """Let a person in at these channels during `[start_time, end_time)`; a past period grants nothing."""
    channels = list(channels)
    _require(start_time, end_time, channels)
    reservation = Reservation.objects.create(
        person=person, start_time=start_time, end_time=end_time, shift=shift, created_at=now, updated_at=now
    )
    ReservationChannel.objects.bulk_create(
        ReservationChannel(reservation=reservation, channel=channel, started_at=now) for channel in channels
    )
    _begin_period(reservation, now)
    audit.record("reserve", "reservation", reservation.pk, by=by, now=now)
    return reservation


@transaction.atomic
def reschedule(
    reservation: Reservation,
    *,
    by: audit.Actor,
    now: datetime,
    start_time: datetime,
    end_time: datetime,
    shift: Shift | None,
    channels: Iterable[Channel] | None = None,
) -> Reservation:
    """Move, extend or shorten; `channels` None leaves the doors. Refuses one that was cancelled."""
    reservation = Reservation.objects.select_for_update(of=("self",)).get(pk=reservation.pk)
    if reservation.cancelled_at is not None:
        raise IsCancelled
    _require(start_time, end_time, None if channels is None else (channels := list(channels)))
    fields = {"start_time": start_time, "end_time": end_time, "shift": shift}
    changed = [name for name, value in fields.items() if getattr(reservation, name) != value]
    if changed:
        for name in changed:
            setattr(reservation, name, fields[name])
        reservation.updated_at = now
        reservation.save(update_fields=[*changed, "updated_at"])
        ReservationPeriod.objects.filter(OPEN, reservation=reservation).update(ended_at=now)
        _begin_period(reservation, now)
    if channels is not None:
        rows = ReservationChannel.objects.filter(reservation=reservation)
        if follow(rows, "channel_id", [channel.pk for channel in channels], now=now, reservation=reservation):
            changed.append("channels")
    if changed:
        audit.record("reschedule", "reservation", reservation.pk, by=by, now=now, fields=changed)
    return reservation


@transaction.atomic
def cancel(reservations: Iterable[Reservation], *, by: audit.Actor, now: datetime) -> list[int]:
    """Take the right away at once, and keep what it was until now; returns the ids that were cancelled."""
    ids = [reservation.pk for reservation in reservations]
    live = Reservation.objects.filter(pk__in=ids, cancelled_at=None).select_for_update(of=("self",))
    ids = list(live.values_list("pk", flat=True))
    Reservation.objects.filter(pk__in=ids).update(cancelled_at=now, updated_at=now)
    ReservationPeriod.objects.filter(OPEN, reservation_id__in=ids).update(ended_at=now)
    ReservationChannel.objects.filter(OPEN, reservation_id__in=ids).update(ended_at=now)
    audit.record_many("cancel", "reservation", ids, by=by, now=now)
    return ids


def _require(start_time: datetime, end_time: datetime, channels: list[Channel] | None) -> None:
    if end_time <= start_time:
        raise EndsEarly
    if channels is not None and not channels:
        raise NoChannels


def _begin_period(reservation: Reservation, now: datetime) -> None:
    ReservationPeriod.objects.create(
        reservation=reservation,
        start_time=reservation.start_time,
        end_time=reservation.end_time,
        shift=reservation.shift,
        started_at=now,
    )
