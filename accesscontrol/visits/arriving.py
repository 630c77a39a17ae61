"""Visitors come and go: checked in, checked out, let in for the first time, never seen.

A visit with weekly hours comes back: its check-out is for the day, any other's is the end of it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final

from django.db import connection, transaction

from accesscontrol.doors.models import Channel
from accesscontrol.reservations import reserving as reservations
from accesscontrol.reservations.models import (
    AWAITED,
    LONGEST_GRACE,
    SAME_USE,
    Reservation,
    ReservationChannel,
    ReservationUse,
)
from accesscontrol.visits import changing, messages
from accounts import audit

BATCH = 500
# A host who hears of it later goes to meet somebody who is here long since.
TOLD_WITHIN: Final = timedelta(hours=1)


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


def note_admissions(channel: Channel, admitted: Iterable[tuple[int, datetime]], *, now: datetime) -> None:
    """A controller tells later whom it let in, and when: their visits have begun, as they do when the server decides.

    A host is told of it within the hour only, and of nobody who has left; a use of a visit with a limit counts.
    """
    came = sorted(admitted, key=itemgetter(1))
    if not came:
        return
    first, last = came[0][1], came[-1][1]
    at_door = ReservationChannel.objects.filter(channel=channel, started_at__lte=last).exclude(ended_at__lte=first)
    rows = Reservation.objects.filter(
        pk__in=at_door.values("reservation_id"),
        person_id__in={person_id for person_id, _at in came},
        start_time__lte=last + LONGEST_GRACE,
        end_time__gt=first,
    )
    visits = list(rows.select_for_update(of=("self",), no_key=True).order_by("start_time", "pk"))
    used = []
    for person_id, at in came:
        covering = (visit for visit in visits if visit.person_id == person_id and _covers(visit, at))
        if (visit := next(covering, None)) and _begin(visit, at, now):
            used.append(ReservationUse(reservation=visit, number=visit.uses, used_at=at, recorded_at=now))
    columns = ["arrived_at", "host_told_at", "no_show_at", "uses", "last_use_at", "updated_at"]
    Reservation.objects.bulk_update(visits, columns, batch_size=200)
    ReservationUse.objects.bulk_create(used, batch_size=200)


def _covers(visit: Reservation, at: datetime) -> bool:
    return visit.opens_at <= at < visit.end_time and (visit.cancelled_at is None or at < visit.cancelled_at)


def _begin(visit: Reservation, at: datetime, now: datetime) -> bool:
    """Whether it counts as a use."""
    visit.no_show_at, visit.updated_at = None, now
    has_left = visit.checked_out_at is not None and at < visit.checked_out_at
    if visit.arrived_at is None or not (has_left or visit.is_here(at)):
        visit.arrived_at = at
        visit.host_told_at = now if has_left or now - at > TOLD_WITHIN else None
    if visit.arrived_at != at and visit.max_uses is None:
        return False
    is_use = visit.last_use_at is None or abs(at - visit.last_use_at) >= SAME_USE
    if is_use:
        visit.uses, visit.last_use_at = visit.uses + 1, max(at, visit.last_use_at or at)
    return is_use


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
