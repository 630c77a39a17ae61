"""What a bulk step does for each of its items. What refuses one is written beside it and stops nobody else."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Group, Person
from accesscontrol.visits import belonging, changing, issuing, messages, rotation
from accesscontrol.visits.candidates import Candidates, pins_of
from accesscontrol.visits.importing.applying import Applier
from accesscontrol.visits.models import Batch, BatchItem, ImportRow
from accounts import audit
from accounts.refusals import Refusal

_log = logging.getLogger(__name__)
_State = BatchItem.State
_Kind = Batch.Kind


@dataclass(frozen=True)
class Outcome:
    """What became of one item."""

    state: BatchItem.State
    reason: str = ""


DONE = Outcome(_State.DONE)


def carry_out(batch: Batch, items: Sequence[BatchItem], now: datetime) -> dict[int, Outcome]:
    """Do the step for these items, each in a savepoint; what became of them, by item."""
    by = audit.Actor(batch.actor_kind, batch.actor_id)
    found = Candidates(batch, items, now)
    outcomes = {item.pk: Outcome(_State.LEFT_OUT, why) for item in items if (why := found.reasons[item.pk])}
    chosen = [item for item in items if item.pk not in outcomes]
    if batch.kind == _Kind.ISSUE:
        return outcomes | _issue(batch, chosen, to_come=batch.total - batch.worked_off - len(items), by=by, now=now)
    if batch.kind == _Kind.IMPORT:
        return outcomes | _import(batch, chosen, by=by, now=now)
    deeds: list[Callable[[Any], Outcome]] = []

    def prepare() -> Outcome:
        deeds.append(_deed(batch, found, chosen, by=by, now=now))
        return DONE

    if (prepared := _attempt(prepare)) is not DONE:
        return outcomes | {item.pk: prepared for item in chosen}
    return outcomes | {item.pk: _attempt(partial(deeds[0], item)) for item in chosen}


def _deed(
    batch: Batch, found: Candidates, items: list[BatchItem], *, by: audit.Actor, now: datetime
) -> Callable[[Any], Outcome]:
    if batch.kind == _Kind.MOVE:
        doors = {door.pk: door for door in Channel.objects.filter(pk__in=_ids(map(found.doors_after, found.doors)))}
        return partial(_move, found, doors, by=by, now=now)
    if batch.kind == _Kind.REGROUP:
        groups = {group.pk: group for group in Group.objects.filter(pk__in=found.plan["into"])}
        return partial(_regroup, found, groups, by=by, now=now)
    return partial(_pin, batch.kind, found, by=by, now=now)


def _ids(sets: Any) -> set[int]:
    return set().union(*sets)


def _attempt(deed: Callable[[], Outcome], of: int = 1) -> Outcome:
    """Run in a savepoint: one item's trouble undoes nothing of the others'."""
    try:
        with transaction.atomic():
            return deed()
    except Refusal as refusal:
        return Outcome(_State.FAILED, refusal.sentence[:250])
    except Exception as error:  # noqa: BLE001  # told by its kind alone: its text may hold a value
        _log.error("A bulk step failed for %s of its items (%s)", of if of > 1 else "one", type(error).__name__)
        return Outcome(_State.FAILED, "Something went wrong on our side.")


def _issue(batch: Batch, items: list[BatchItem], *, to_come: int, by: audit.Actor, now: datetime) -> dict[int, Outcome]:
    """All in one pass; where that is refused, one by one, so that each has their own reason."""
    deliver, outcomes = batch.deliver, {}
    people = [item.person for item in items if item.person is not None]

    def pass_over() -> Outcome:
        issued = issuing.issue_many(people, by=by, now=now, deliver=deliver or None, to_come=to_come)
        having = {credential.person_id for credential in issued}
        for item in items:
            assert item.person is not None
            outcomes[item.pk] = _issued(item.person, deliver) if item.person_id in having else _without(item.person)
        return DONE

    if not items or _attempt(pass_over).state == _State.DONE:
        return outcomes
    return {item.pk: _attempt(partial(_issue_one, item.person, deliver, by=by, now=now)) for item in items}


def _issue_one(person: Any, deliver: str, *, by: audit.Actor, now: datetime) -> Outcome:
    if pins_of([person.pk]):
        return _without(person)
    medium = deliver if deliver and messages.is_reachable(person, deliver) else None
    issuing.issue(person, CredentialType.PIN, issuing.GENERATE, deliver=medium, by=by, now=now)
    return _issued(person, deliver)


def _issued(person: Person, deliver: str) -> Outcome:
    if deliver and not messages.is_reachable(person, deliver):
        address = "e-mail address" if deliver == "email" else "mobile number"
        return Outcome(_State.DONE, f"Issued, but not sent: there is no {address}.")
    return DONE


def _without(person: Person) -> Outcome:
    """Somebody was faster: they are gone, or have one."""
    is_gone = Person.objects.filter(pk=person.pk).exclude(deleted_at=None).exists()
    return Outcome(_State.LEFT_OUT, "Deleted in the meantime." if is_gone else "Has a PIN already.")


def _pin(kind: str, found: Candidates, item: BatchItem, *, by: audit.Actor, now: datetime) -> Outcome:
    """A step on the one PIN that a person holds."""
    pin = found.pins[item.person_id or 0]
    if kind in (_Kind.ENABLE, _Kind.DISABLE):
        issuing.set_enabled(pin, kind == _Kind.ENABLE, by=by, now=now)
    elif kind == _Kind.REVOKE:
        issuing.revoke(pin, by=by, now=now)
    elif rotation.rotate(pin, by=by, now=now).delivery is None:
        return Outcome(_State.DONE, "Rotated, but not sent: there is no address that can be reached.")
    return DONE


def _regroup(
    found: Candidates, groups: dict[int, Group], item: BatchItem, *, by: audit.Actor, now: datetime
) -> Outcome:
    assert item.person is not None
    belonging.regroup(item.person, into=groups.values(), out_of=found.plan["out_of"], by=by, now=now)
    return DONE


def _move(found: Candidates, doors: dict[int, Channel], item: BatchItem, *, by: audit.Actor, now: datetime) -> Outcome:
    visit, by_how_much = item.reservation, found.shift()
    assert visit is not None
    channels = [doors[number] for number in found.doors_after(visit.pk)] if found.plan.get("doors") else None
    changing.move(
        visit,
        start_time=visit.start_time + by_how_much,
        end_time=visit.end_time + by_how_much,
        channels=channels,
        expected_version=visit.version,
        by=by,
        now=now,
    )
    return DONE


def _import(batch: Batch, items: list[BatchItem], *, by: audit.Actor, now: datetime) -> dict[int, Outcome]:
    """All rows together that would still do what was announced; whoever is in two of them has a turn for each."""
    appliers: list[Applier] = []

    def prepare() -> Outcome:
        assert batch.source is not None
        appliers.append(Applier(batch.source, _rows(items)))
        return DONE

    def apply(some: list[BatchItem]) -> Outcome:
        appliers[0].apply(_rows(some), by=by, now=now)
        return DONE

    if not items:
        return {}
    if (prepared := _attempt(prepare)) is not DONE:
        return {item.pk: prepared for item in items}
    outcomes: dict[int, Outcome] = {}
    for turn in _turns(items):
        refused = appliers[0].refused(_rows(turn))
        outcomes |= {
            item.pk: Outcome(_State.FAILED, refusal.sentence[:250])
            for item in turn
            if (refusal := refused.get(item.row_id or 0))
        }
        outcomes |= _together(apply, [item for item in turn if item.pk not in outcomes])
    return outcomes


def _rows(items: Iterable[BatchItem]) -> list[ImportRow]:
    return [item.row for item in items if item.row is not None]


def _turns(items: list[BatchItem]) -> Iterator[list[BatchItem]]:
    """Nobody is twice in any."""
    while items:
        turn: dict[int, BatchItem] = {}
        later = []
        for item in items:
            assert item.row is not None
            # Whoever is new stands in one row alone.
            if turn.setdefault(item.row.person_id or -item.pk, item) is not item:
                later.append(item)
        yield list(turn.values())
        items = later


def _together(deed: Callable[[list[BatchItem]], Outcome], items: list[BatchItem]) -> dict[int, Outcome]:
    """All in one savepoint; where that fails in halves of it, so that each has their own reason."""
    if not items:
        return {}
    outcome = _attempt(partial(deed, items), of=len(items))
    if outcome is DONE or len(items) == 1:
        return {item.pk: outcome for item in items}
    middle = len(items) // 2
    return _together(deed, items[:middle]) | _together(deed, items[middle:])
