"""A reservation on its own: reserve, reschedule, change, cancel. What was moved keeps what held before.

Whether the person's PIN fits the doors, and what must be sent, is decided in visits/.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop

from accesscontrol.doors.models import Channel, Shift
from accesscontrol.doors.periods import OPEN, follow
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel, ReservationPeriod
from accounts import audit, naming
from accounts.refusals import Refusal, refusing

DETAILS = (
    "host",
    "host_name",
    "purpose",
    "company",
    "group",
    "grace_seconds",
    "needs_check_in",
    "max_uses",
    "external_id",
    "form_token",
)
# What decides about the door beside the period itself: each of these is kept for the time in which it held.
_GRANTED = {"grace_seconds", "needs_check_in", "max_uses", "checked_in_at", "checked_out_at"}


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


class ExternalIdTaken(Refusal):
    code = "taken"
    status = 409
    field = "external_id"
    text = "Another visit has this id already."
    constraint = "reservation_external_id_unique"


class GraceTooLong(Refusal):
    code = "invalid"
    field = "grace_seconds"
    text = "The PIN works at most one day before the start."
    constraint = "reservation_grace"


class NoUses(Refusal):
    code = "invalid"
    field = "max_uses"
    text = "Allow one use or more, or leave it out for any number."
    constraint = "reservation_max_uses"


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
    details: Mapping[str, Any] | None = None,
) -> Reservation:
    """Let a person in at these channels during `[start_time, end_time)`; a past period grants nothing.

    `details` are values of DETAILS, such as the host and the grace.
    """
    channels = list(channels)
    _require(start_time, end_time, channels)
    reservation = Reservation(
        person=person,
        start_time=start_time,
        end_time=end_time,
        shift=shift,
        created_by=str(by),
        created_at=now,
        updated_at=now,
        **{name: value for name, value in (details or {}).items() if name in DETAILS},
    )
    with refusing(ExternalIdTaken, GraceTooLong, NoUses):
        reservation.save(force_insert=True)
    ReservationChannel.objects.bulk_create(
        ReservationChannel(reservation=reservation, channel=channel, started_at=now) for channel in channels
    )
    _begin_period(reservation, now)
    audit.record("reserve", "reservation", reservation.pk, by=by, now=now)
    return reservation


@transaction.atomic
def reserve_many(
    people: Sequence[Person],
    channels: Iterable[Channel],
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    details: Mapping[str, Any],
    companies: Sequence[str],
) -> list[Reservation]:
    """Let many people in alike, in a few statements; `companies` are theirs, one each."""
    channels = list(channels)
    _require(start_time, end_time, channels)
    shared = {name: value for name, value in details.items() if name in DETAILS}
    rows = [
        Reservation(
            person=person,
            start_time=start_time,
            end_time=end_time,
            created_by=str(by),
            created_at=now,
            updated_at=now,
            **{**shared, "company": company},
        )
        for person, company in zip(people, companies, strict=True)
    ]
    with refusing(GraceTooLong):
        Reservation.objects.bulk_create(rows, batch_size=1000)
    ReservationChannel.objects.bulk_create(
        [ReservationChannel(reservation=row, channel=channel, started_at=now) for row in rows for channel in channels],
        batch_size=1000,
    )
    ReservationPeriod.objects.bulk_create([_period_of(row, now) for row in rows], batch_size=1000)
    audit.record_many("reserve", "reservation", [row.pk for row in rows], by=by, now=now)
    return rows


class ChangedMeanwhile(Refusal):
    """`facts["name"]` and `facts["at"]` say who changed it and when, where that is known."""

    code = "changed_meanwhile"
    status = 409
    text = "Somebody changed this visit meanwhile. Look at it again before you change it."


def hold(reservation: Reservation, expected_version: int | None = None) -> Reservation:
    """Lock the row until this transaction ends and read it anew; refuses one that is not as it was seen."""
    held = Reservation.objects.select_for_update(of=("self",)).select_related("person").get(pk=reservation.pk)
    if expected_version is not None and held.version != expected_version:
        raise changed_meanwhile(held)
    return held


def changed_meanwhile(held: Reservation) -> ChangedMeanwhile:
    """The refusal that says who changed this visit last, and when."""
    name, at = naming.name_of(held.changed_by), held.updated_at
    if not name:
        return ChangedMeanwhile()
    return ChangedMeanwhile(
        gettext_noop("Changed by %(name)s at %(time)s. Look at it again before you change it."),
        name=name,
        at=at,
        time=f"{timezone.localtime(at):%H:%M}",
    )


@transaction.atomic
def change(reservation: Reservation, values: Mapping[str, Any], *, by: audit.Actor, now: datetime) -> Reservation:
    """Write details of a reservation, and only those given; what did not change is not written."""
    reservation = hold(reservation)
    changed = [name for name in DETAILS if name in values and getattr(reservation, name) != values[name]]
    if changed:
        for name in changed:
            setattr(reservation, name, values[name])
        with refusing(ExternalIdTaken, GraceTooLong, NoUses):
            _write(reservation, changed, by, now)
        if _GRANTED & set(changed):
            _begin_another_period(reservation, now)
        audit.record("change", "reservation", reservation.pk, by=by, now=now, fields=changed)
    return reservation


def attend(held: Reservation, values: Mapping[str, datetime | None], *, by: audit.Actor, now: datetime) -> Reservation:
    """Write when somebody came or left, of a row that is held."""
    for name, value in values.items():
        setattr(held, name, value)
    _write(held, list(values), by, now)
    if _GRANTED & set(values):
        _begin_another_period(held, now)
    return held


def touch(held: Reservation, *, by: audit.Actor, now: datetime) -> None:
    """Something that belongs to a visit changed beside its row: whoever looked at it before must look again."""
    _write(held, [], by, now)


def _write(reservation: Reservation, names: list[str], by: audit.Actor, now: datetime) -> None:
    """Save these columns of a row that is held, as another version of it."""
    reservation.version += 1
    reservation.changed_by, reservation.updated_at = str(by), now
    reservation.save(update_fields=[*names, "version", "changed_by", "updated_at"])


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
    reservation = hold(reservation)
    if reservation.cancelled_at is not None:
        raise IsCancelled
    _require(start_time, end_time, None if channels is None else (channels := list(channels)))
    fields = {"start_time": start_time, "end_time": end_time, "shift": shift}
    changed = [name for name, value in fields.items() if getattr(reservation, name) != value]
    if changed:
        anew = _awaited_anew(reservation, end_time, now)
        for name in changed:
            setattr(reservation, name, fields[name])
        _write(reservation, [*changed, *anew], by, now)
        _begin_another_period(reservation, now)
    if channels is not None:
        rows = ReservationChannel.objects.filter(reservation=reservation)
        wanted = {reservation.pk: [channel.pk for channel in channels]}
        if follow(rows, "reservation_id", "channel_id", wanted, now=now):
            if not changed:
                _write(reservation, [], by, now)
            changed.append("channels")
    if changed:
        audit.record("reschedule", "reservation", reservation.pk, by=by, now=now, fields=changed)
    return reservation


@transaction.atomic
def reschedule_many(
    held: Sequence[Reservation],
    *,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    start_time: datetime | None = None,
    channels: Iterable[Channel] | None = None,
    among: Iterable[Channel] | None = None,
) -> list[Reservation]:
    """The same for visits that are not over and whose rows are held, in a few statements; returns those that changed.

    `start_time` None leaves each its own, `channels` None the doors; doors that are not `among` those which were
    offered stay with whoever has them. All are refused where one is.
    """
    wanted = None if channels is None else list(channels)
    given = {"end_time": end_time} if start_time is None else {"start_time": start_time, "end_time": end_time}
    changed: dict[int, list[str]] = {}
    for each in held:
        if each.cancelled_at is not None:
            raise IsCancelled
        _require(start_time or each.start_time, end_time, wanted)
        changed[each.pk] = [name for name, value in given.items() if getattr(each, name) != value]
    retimed = [each for each in held if changed[each.pk]]
    if wanted is not None:
        doors = {channel.pk for channel in wanted}
        rows = ReservationChannel.objects.all()
        if among is not None:
            rows = rows.filter(channel_id__in=doors.union(channel.pk for channel in among))
        for pk in follow(rows, "reservation_id", "channel_id", dict.fromkeys(changed, doors), now=now):
            changed[pk].append("channels")
    rewritten = [each for each in held if changed[each.pk]]
    for each in rewritten:
        for name, value in given.items():
            setattr(each, name, value)
        each.version += 1
        each.changed_by, each.updated_at = str(by), now
    Reservation.objects.filter(pk__in=[each.pk for each in rewritten]).update(
        **given, version=F("version") + 1, changed_by=str(by), updated_at=now
    )
    ReservationPeriod.objects.filter(OPEN, reservation__in=retimed).update(ended_at=now)
    ReservationPeriod.objects.bulk_create([_period_of(each, now) for each in retimed], batch_size=1000)
    for fields in {tuple(names) for names in changed.values() if names}:
        alike = [pk for pk, names in changed.items() if tuple(names) == fields]
        audit.record_many("reschedule", "reservation", alike, by=by, now=now, fields=fields)
    return rewritten


def doors_of(reservations: Iterable[Reservation]) -> dict[int, set[int]]:
    """The ids of the doors that each of these opens now."""
    doors: dict[int, set[int]] = {each.pk: set() for each in reservations}
    rows = ReservationChannel.objects.filter(OPEN, reservation_id__in=doors)
    for reservation_id, channel_id in rows.values_list("reservation_id", "channel_id"):
        doors[reservation_id].add(channel_id)
    return doors


@transaction.atomic
def cancel(reservations: Iterable[Reservation], *, by: audit.Actor, now: datetime) -> list[int]:
    """Take the right away at once, and keep what it was until now; returns the ids that were cancelled."""
    ids = [reservation.pk for reservation in reservations]
    live = Reservation.objects.filter(pk__in=ids, cancelled_at=None).select_for_update(of=("self",))
    ids = list(live.values_list("pk", flat=True))
    Reservation.objects.filter(pk__in=ids).update(
        cancelled_at=now, updated_at=now, changed_by=str(by), version=F("version") + 1
    )
    ReservationPeriod.objects.filter(OPEN, reservation_id__in=ids).update(ended_at=now)
    ReservationChannel.objects.filter(OPEN, reservation_id__in=ids).update(ended_at=now)
    audit.record_many("cancel", "reservation", ids, by=by, now=now)
    return ids


def _awaited_anew(reservation: Reservation, end_time: datetime, now: datetime) -> list[str]:
    """A visit that was over and goes on: who left or never came is expected again. Returns what was reset."""
    if not reservation.end_time <= now < end_time or not (reservation.checked_out_at or reservation.no_show_at):
        return []
    names = ["arrived_at", "checked_in_at", "checked_out_at", "no_show_at", "host_told_at"]
    for name in names:
        setattr(reservation, name, None)
    return names


def _require(start_time: datetime, end_time: datetime, channels: list[Channel] | None) -> None:
    if end_time <= start_time:
        raise EndsEarly
    if channels is not None and not channels:
        raise NoChannels


def _begin_period(reservation: Reservation, now: datetime) -> None:
    _period_of(reservation, now).save(force_insert=True)


def _begin_another_period(reservation: Reservation, now: datetime) -> None:
    """What it grants is another from now on; a cancelled one grants nothing any more."""
    if ReservationPeriod.objects.filter(OPEN, reservation=reservation).update(ended_at=now):
        _begin_period(reservation, now)


def _period_of(reservation: Reservation, now: datetime) -> ReservationPeriod:
    return ReservationPeriod(
        reservation=reservation,
        start_time=reservation.start_time,
        end_time=reservation.end_time,
        shift_id=reservation.shift_id,
        grace_seconds=reservation.grace_seconds,
        needs_check_in=reservation.needs_check_in,
        max_uses=reservation.max_uses,
        checked_in_at=reservation.checked_in_at,
        checked_out_at=reservation.checked_out_at,
        started_at=now,
    )
