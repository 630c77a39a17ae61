"""What becomes of a visit after it was issued: moved, extended, started now, given a door, ended.

Each takes the version that was looked at, and refuses where somebody was faster. Who was told hears of it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop

from accesscontrol.doors.models import Channel
from accesscontrol.reservations import reserving as reservations
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import expiry, messages, reserving
from accounts import audit
from accounts.refusals import Refusal


class IsOver(Refusal):
    code = "over"
    status = 409
    text = "This visit is over already."


def ends_in_the_past() -> IsOver:
    """The refusal of an extension until a time that is over."""
    return IsOver(
        gettext_noop("This time is over already. To let nobody in from now on, end the visit."), field="end_time"
    )


@transaction.atomic
def move(
    reservation: Reservation,
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    channels: Iterable[Channel] | None = None,
    shift: Any = reserving.UNCHANGED,
    deliver: str | None = None,
    expected_version: int | None = None,
) -> Reservation:
    """Give a visit other times, and other doors where they are named."""
    held = reservations.hold(reservation, expected_version)
    if channels is not None:
        channels = list(channels)
        if _doors_of(held) == {channel.pk for channel in channels}:
            channels = None
    values: dict[str, Any] = {"start_time": start_time, "end_time": end_time}
    if shift is not reserving.UNCHANGED:
        values["shift"] = shift
    if channels is None and all(getattr(held, name) == value for name, value in values.items()):
        return held
    return reserving.reschedule(held, **values, channels=channels, deliver=deliver, by=by, now=now)


@transaction.atomic
def extend(
    reservation: Reservation,
    *,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
) -> Reservation:
    """Let a visit last until another time; refuses a time that is over."""
    held = reservations.hold(reservation, expected_version)
    if end_time <= now:
        raise ends_in_the_past()
    return move(held, start_time=held.start_time, end_time=end_time, by=by, now=now)


@transaction.atomic
def start_now(
    reservation: Reservation, *, by: audit.Actor, now: datetime, expected_version: int | None = None
) -> Reservation:
    """Begin a visit before its time; one that has begun stays as it is."""
    held = reservations.hold(reservation, expected_version)
    if held.is_over(now):
        raise IsOver
    if held.start_time <= now:
        return held
    return move(held, start_time=now, end_time=held.end_time, by=by, now=now)


@transaction.atomic
def add_door(
    reservation: Reservation,
    *,
    channel: Channel,
    by: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
) -> Reservation:
    """Let a visit open one door more."""
    held = reservations.hold(reservation, expected_version)
    if held.is_over(now):
        raise IsOver
    doors = Channel.objects.filter(pk__in=[*_doors_of(held), channel.pk])
    return move(held, start_time=held.start_time, end_time=held.end_time, channels=doors, by=by, now=now)


@transaction.atomic
def change(
    reservation: Reservation,
    *,
    by: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
    **values: Any,
) -> Reservation:
    """Write details: host, host_name, purpose, company, grace_seconds, needs_check_in, max_uses, external_id."""
    held = reservations.hold(reservation, expected_version)
    return reservations.change(held, values, by=by, now=now)


@transaction.atomic
def end(
    reservation: Reservation, *, by: audit.Actor, now: datetime, expected_version: int | None = None
) -> Reservation:
    """End a visit: before its start it does not take place, after it nobody is let in from this second on.

    One that is over stays as it is.
    """
    held = reservations.hold(reservation, expected_version)
    if held.is_over(now):
        return held
    if now <= held.start_time:
        reserving.cancel(held, by=by, now=now)
        held.refresh_from_db()
        return held
    held = finish(held, by=by, now=now)
    messages.tell_end(held, by=by, now=now)
    return held


def finish(held: Reservation, *, by: audit.Actor, now: datetime) -> Reservation:
    """Let a visit that has begun be over now; its row is held by the caller, who says whether anybody is told."""
    held = reservations.reschedule(held, start_time=held.start_time, end_time=now, shift=held.shift, by=by, now=now)
    expiry.look_at([held.person_id], now)
    return held


def _doors_of(reservation: Reservation) -> set[int]:
    return reservations.doors_of([reservation])[reservation.pk]
