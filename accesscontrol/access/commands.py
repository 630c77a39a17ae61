"""Commands to doors: what a controller is to do is a row, and what was commanded rules the decision at once.

Whoever commands a channel locks its row until the commit, so the ids of one channel's commands are in the order of
their commits: a reader that asks for what came after an id misses nothing. A second click changes nothing.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from accesscontrol.access import facts
from accesscontrol.access.decision import decide
from accesscontrol.access.models import ChannelCommand
from accesscontrol.doors.models import Channel, ChannelState, Shift
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accounts import audit
from accounts.models import Site
from accounts.refusals import Refusal

Kind = ChannelCommand.Kind
State = Channel.State

# Whoever was to be let in has left the door by then.
ADMIT_WITHIN = timedelta(seconds=30)


class DoorIsLockedDown(Refusal):
    code = "locked_down"
    status = 409
    text = "This door is locked down. End the lock-down first."


class DoorIsOpen(Refusal):
    code = "already_open"
    status = 400
    text = "This door is held open already."


class RelocksInThePast(Refusal):
    code = "invalid_period"
    field = "relock_at"
    text = "The door must be held open until a time to come."


def doors_of(site: Site) -> QuerySet[Channel]:
    """Every door of a site."""
    return Channel.objects.filter(site=site)


@transaction.atomic
def admit(channel: Channel, *, by: audit.Actor, now: datetime, reason: str = "") -> ChannelCommand:
    """Open a door once, for whoever stands there; void when its controller does not take it within 30 seconds."""
    return _admit(channel, Kind.ADMIT, None, reason, by, now)


class NotLetIn(Refusal):
    """`facts["reason"]` is why, in the words of events."""

    code = "not_let_in"
    status = 403
    text = "This person may not open this door now."


@transaction.atomic
def admit_person(
    channel: Channel, person: Person, *, by: audit.Actor, now: datetime, reason: str = ""
) -> ChannelCommand:
    """Open a door once for a person who may open it now; refuses with the reason that the keypad would record."""
    # The lock first: a lock-down that commits meanwhile must be seen by the decision.
    _locked([channel])
    known = facts.of_person(channel.pk, person.pk, now=now)
    if known is None or known.holder is None:
        raise NotLetIn("This person has no PIN or card.", reason="no_credential")
    decision = decide(known, now)
    if not decision.admitted:
        raise NotLetIn(f"{decision.reason.label}.", reason=decision.reason.value)
    return _admit(channel, Kind.ADMIT_PERSON, person, reason, by, now)


@transaction.atomic
def hold_open(
    channels: Iterable[Channel],
    *,
    by: audit.Actor,
    now: datetime,
    until: datetime | None = None,
    reason: str = "",
) -> list[Channel]:
    """Hold doors open, until an instant or (None) until they are set back; refuses where one is locked down."""
    if until is not None and until <= now:
        raise RelocksInThePast
    found = _locked(channels)
    _require_no_lockdown(found)
    changing = [door for door in found if (door.stands(now), door.relock_at) != (State.UNLOCKED, until)]
    return _command(changing, Kind.UNLOCK, State.UNLOCKED, by, now, reason=reason, relock_at=until)


@transaction.atomic
def normal(channels: Iterable[Channel], *, by: audit.Actor, now: datetime, reason: str = "") -> list[Channel]:
    """End the holding open of doors; refuses where one is locked down."""
    found = _locked(channels)
    _require_no_lockdown(found)
    changing = [door for door in found if door.stands(now) != State.NORMAL]
    return _command(changing, Kind.NORMAL, State.NORMAL, by, now, reason=reason)


@transaction.atomic
def lock_down(channels: Iterable[Channel], *, by: audit.Actor, now: datetime, reason: str = "") -> list[Channel]:
    """Let nobody in at these doors, all of them or none; a door that was held open is so no more."""
    changing = [door for door in _locked(channels) if not door.is_locked_down]
    return _command(changing, Kind.LOCKDOWN, State.LOCKED_DOWN, by, now, reason=reason)


@transaction.atomic
def end_lock_down(channels: Iterable[Channel], *, by: audit.Actor, now: datetime, reason: str = "") -> list[Channel]:
    """Let people in again as their rights say. No door is held open by it that was so before."""
    changing = [door for door in _locked(channels) if door.is_locked_down]
    return _command(changing, Kind.UNLOCKDOWN, State.NORMAL, by, now, reason=reason)


@transaction.atomic
def end(channels: Iterable[Channel], *, by: audit.Actor, now: datetime, reason: str = "") -> list[Channel]:
    """Let doors be as they are every day, whether they were locked down or held open."""
    channels = list(channels)
    ended = end_lock_down(channels, by=by, now=now, reason=reason)
    return [*ended, *normal(channels, by=by, now=now, reason=reason)]


@transaction.atomic
def auto_unlock(
    channel: Channel, shift: Shift | None, *, by: audit.Actor, now: datetime, reason: str = ""
) -> list[Channel]:
    """Hold a door open during weekly hours, or (None) no more."""
    [door] = _locked([channel])
    if door.auto_unlock_shift_id == (shift.pk if shift else None):
        return []
    door.auto_unlock_shift = shift
    return _command(
        [door], Kind.AUTO_UNLOCK, State(door.state), by, now, reason=reason, relock_at=door.relock_at, shift=shift
    )


def _locked(channels: Iterable[Channel]) -> list[Channel]:
    """The doors as they are, locked in one order for everybody."""
    ids = [channel.pk for channel in channels]
    rows = Channel.objects.filter(pk__in=ids).order_by("pk")
    return list(rows.select_for_update(of=("self",), no_key=True))


def _require_no_lockdown(channels: list[Channel]) -> None:
    closed = [channel.name for channel in channels if channel.is_locked_down]
    if closed and len(channels) > 1:
        raise DoorIsLockedDown(gettext_noop("“%(door)s” is locked down. End the lock-down first."), door=closed[0])
    if closed:
        raise DoorIsLockedDown


def _admit(
    channel: Channel, kind: Kind, person: Person | None, reason: str, by: audit.Actor, now: datetime
) -> ChannelCommand:
    [door] = _locked([channel])
    _require_no_lockdown([door])
    if door.stands(now) == State.UNLOCKED:
        raise DoorIsOpen
    command = ChannelCommand.objects.create(
        channel=door,
        kind=kind,
        person=person,
        reason=reason,
        actor_kind=by.kind,
        actor_id=by.id,
        issued_at=now,
        expires_at=now + ADMIT_WITHIN,
    )
    audit.record(kind.value, "channel", door.pk, by=by, now=now)
    return command


def _command(
    channels: list[Channel],
    kind: Kind,
    state: Channel.State,
    by: audit.Actor,
    now: datetime,
    *,
    reason: str,
    relock_at: datetime | None = None,
    shift: Shift | None = None,
) -> list[Channel]:
    ids = [channel.pk for channel in channels]
    actor = {"actor_kind": by.kind, "actor_id": by.id}
    for channel in channels:
        channel.state, channel.relock_at, channel.updated_at = state, relock_at, now
    Channel.objects.bulk_update(channels, ["state", "relock_at", "auto_unlock_shift", "updated_at"])
    ChannelState.objects.filter(OPEN, channel_id__in=ids).update(ended_at=now)
    ChannelState.objects.bulk_create(
        ChannelState(
            channel=channel,
            state=state,
            relock_at=relock_at,
            auto_unlock_shift_id=channel.auto_unlock_shift_id,
            reason=reason,
            started_at=now,
            **actor,
        )
        for channel in channels
    )
    _supersede(ids, kind, now)
    ChannelCommand.objects.bulk_create(
        ChannelCommand(
            channel=channel,
            kind=kind,
            relock_at=relock_at if kind == Kind.UNLOCK else None,
            shift=shift,
            reason=reason,
            issued_at=now,
            **actor,
        )
        for channel in channels
    )
    audit.record_many(kind.value, "channel", ids, by=by, now=now)
    return channels


def _supersede(channel_ids: list[int], kind: Kind, now: datetime) -> None:
    """What a controller has not taken before the next command of its kind is void; a lock-down voids every opening."""
    one_of: dict[str, Any] = {"kind": kind}
    if kind != Kind.AUTO_UNLOCK:
        one_of = {"kind__in": [Kind.UNLOCK, Kind.NORMAL, Kind.LOCKDOWN, Kind.UNLOCKDOWN]}
    if kind == Kind.LOCKDOWN:
        one_of["kind__in"] += [Kind.ADMIT, Kind.ADMIT_PERSON]
    waiting = ChannelCommand.objects.filter(channel_id__in=channel_ids, acknowledged_at=None, superseded_at=None)
    waiting.filter(**one_of).update(superseded_at=now)
