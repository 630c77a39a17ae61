"""What a bulk step is to change: visits by a time or to other doors, people out of groups and into others."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Group
from accesscontrol.visits import messages
from accesscontrol.visits.batches import StartedAlready
from accesscontrol.visits.candidates import OF_PEOPLE, PLANNED, Candidates
from accesscontrol.visits.models import Batch, BatchItem
from accounts import audit
from accounts.refusals import Refusal

MOST_MINUTES = 366 * 24 * 60


class NothingSaid(Refusal):
    code = "nothing_to_do"
    text = "Say by how much, or choose doors."


class TooFar(Refusal):
    code = "too_far"
    field = "hours"
    text = "Visits are moved by a year at most."


class NoGroupSaid(Refusal):
    code = "nothing_to_do"
    text = "Choose a group to put them into, or one to take them out of."


@transaction.atomic
def plan_move(
    batch: Batch,
    *,
    minutes: int,
    doors: Iterable[Channel],
    elsewhere: Iterable[Channel] = (),
    by: audit.Actor,
    now: datetime,
) -> None:
    """Say by how much visits are moved and where to; those that open a door `elsewhere` will be left out."""
    chosen = sorted(door.pk for door in doors)
    if not minutes and not chosen:
        raise NothingSaid
    if abs(minutes) > MOST_MINUTES:
        raise TooFar
    _plan(batch, {"minutes": minutes, "doors": chosen, "elsewhere": sorted(door.pk for door in elsewhere)})


@transaction.atomic
def plan_groups(
    batch: Batch, *, into: Iterable[Group], out_of: Iterable[Group], by: audit.Actor, now: datetime
) -> None:
    """Say which groups people are put into and taken out of."""
    plan = {"into": sorted(group.pk for group in into), "out_of": sorted(group.pk for group in out_of)}
    if not plan["into"] and not plan["out_of"]:
        raise NoGroupSaid
    _plan(batch, plan)


def _plan(batch: Batch, plan: Mapping[str, object]) -> None:
    if not Batch.objects.filter(pk=batch.pk, started_at=None).update(plan=plan):
        raise StartedAlready


@dataclass
class Preview:
    """Before the click: for how many it is done, who is left out and why, and who cannot be sent anything."""

    number: int
    left_out: list[tuple[str, int, list[str]]] = field(default_factory=list)
    unreachable: dict[str, int] = field(default_factory=dict)


_NAMED = 5


def preview(batch: Batch, now: datetime) -> Preview | None:
    """What starting this step now would do; None where that was not said yet."""
    if batch.started_at is not None or (batch.kind in PLANNED and batch.plan is None):
        return None
    items = BatchItem.objects.filter(batch=batch).order_by("id")
    rows = items.select_related("reservation__person")
    if batch.kind in OF_PEOPLE:
        # There may be 20,000, and a person has many columns.
        columns = ("first_name", "last_name", "kind", "deleted_at", "email", "mobile")
        needed = [f"person__{name}" for name in columns]
        rows = items.select_related("person").only("person", "reservation", "row", *needed)
    found = Candidates(batch, rows, now)
    reasons = Counter(why for why in found.reasons.values() if why)
    names: dict[str, list[str]] = {why: [] for why in reasons}
    for item in found.items:
        why = found.reasons[item.pk]
        if why and len(names[why]) < _NAMED:
            names[why].append(name_of(item))
    seen = Preview(len(found.items) - reasons.total(), [(why, n, names[why]) for why, n in reasons.most_common()])
    if batch.kind in (Batch.Kind.ISSUE, Batch.Kind.ROTATE):
        people = [item.person for item in found.items if item.person is not None and not found.reasons[item.pk]]
        seen.unreachable = {
            "e-mail address": sum(not messages.is_reachable(person, "email") for person in people),
            "mobile number": sum(not messages.is_reachable(person, "sms") for person in people),
        }
    return seen


def name_of(item: BatchItem) -> str:
    """Whom an item is about; a row of a file that named nobody yet by its number."""
    if item.person is not None:
        return item.person.listed_name
    if item.reservation is not None:
        return item.reservation.person.listed_name
    assert item.row is not None
    return item.row.person.listed_name if item.row.person is not None else f"Row {item.row.line}"
