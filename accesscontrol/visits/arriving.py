"""Visitors come and go: checked in, checked out, let in for the first time, never seen.

A visit with weekly hours comes back: its check-out is for the day, any other's is the end of it.
"""

from datetime import datetime

from django.db import connection, transaction

from accesscontrol.doors.models import Channel
from accesscontrol.doors.periods import OPEN
from accesscontrol.reservations import reserving as reservations
from accesscontrol.reservations.models import AWAITED, LONGEST_GRACE, Reservation, ReservationChannel
from accesscontrol.visits import changing, messages
from accounts import audit

BATCH = 500


@transaction.atomic
def check_in(
    reservation: Reservation, *, by: audit.Actor, now: datetime, expected_version: int | None = None
) -> Reservation:
    """Somebody saw the visitor: the PIN works from now on where it waited for that, and the host is told.

    Who is here already stays so; refuses a visit that is over.
    """
    held = reservations.hold(reservation, expected_version)
    if held.is_over(now):
        raise changing.IsOver
    if held.is_here(now) and held.checked_in_at is not None:
        return held
    values: dict[str, datetime | None] = {"checked_in_at": now, "checked_out_at": None}
    if not held.is_here(now):
        values |= {"arrived_at": now, "host_told_at": None}
    return _note("check_in", held, values, by=by, now=now)


@transaction.atomic
def check_out(
    reservation: Reservation, *, by: audit.Actor, now: datetime, expected_version: int | None = None
) -> Reservation:
    """The visitor has left: the visit is over, or with weekly hours over for the day. A second time changes nothing."""
    held = reservations.hold(reservation, expected_version)
    if held.cancelled_at is not None:
        raise reservations.IsCancelled
    if held.checked_out_at is not None and (held.arrived_at is None or held.checked_out_at >= held.arrived_at):
        return held
    held = _note("check_out", held, {"checked_out_at": now}, by=by, now=now)
    if held.end_time <= now or held.comes_back:
        return held
    messages.withdraw("reservation", [held.pk], now=now)
    if held.start_time < now:
        return changing.finish(held, by=by, now=now)
    reservations.cancel([held], by=by, now=now)
    held.refresh_from_db()
    return held


def _note(
    verb: str, held: Reservation, values: dict[str, datetime | None], *, by: audit.Actor, now: datetime
) -> Reservation:
    held = reservations.attend(held, values, by=by, now=now)
    audit.record(verb, "reservation", held.pk, by=by, now=now)
    return held


def note_admission(person_id: int, channel: Channel, *, at: datetime, now: datetime) -> None:
    """A controller tells later that it let somebody in: the visit that covered it has begun for the visitor."""
    rows = ReservationChannel.objects.filter(OPEN, channel=channel).values("reservation_id")
    covering = Reservation.objects.filter(
        pk__in=rows, person_id=person_id, cancelled_at=None, start_time__lte=at + LONGEST_GRACE, end_time__gt=at
    ).select_for_update(of=("self",))
    begun = [visit.pk for visit in covering if visit.opens_at <= at and not visit.is_here(at)]
    Reservation.objects.filter(pk__in=begun).update(arrived_at=at, no_show_at=None, updated_at=now)


def tenants_with_no_shows(now: datetime) -> list[int]:
    """The tenants in which a tick has something to clear; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_no_shows(%s)", [now])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def clear_no_shows(now: datetime) -> int:
    """Mark up to 500 visits that are over and that nobody came to; returns how many."""
    rows = Reservation.objects.filter(AWAITED, end_time__lte=now).order_by("end_time")
    ids = list(rows.select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True)[:BATCH])
    Reservation.objects.filter(pk__in=ids).update(no_show_at=now, updated_at=now)
    messages.withdraw("reservation", ids, now=now)
    audit.record_many("expire", "reservation", ids, by=audit.SYSTEM, now=now)
    return len(ids)
