"""Who is left out of a bulk step, and why: the same for the look beforehand and for the deed."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import GroupMembership, Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits.models import Batch, BatchItem

_Kind = Batch.Kind
OF_PEOPLE = {_Kind.ISSUE, _Kind.ROTATE, _Kind.DISABLE, _Kind.ENABLE, _Kind.REVOKE, _Kind.REGROUP}
# Nothing is known of what they are to do before it is said.
PLANNED = {_Kind.REGROUP, _Kind.MOVE}


class Candidates:
    """Some items of a step with what a few queries found of them; `reasons` says why one is left out, by item."""

    def __init__(self, batch: Batch, items: Iterable[BatchItem], now: datetime) -> None:
        self.batch, self.now = batch, now
        self.items = list(items)
        self.plan = batch.plan or {}
        self.pins: dict[int, Credential] = {}
        self.doors: dict[int, set[int]] = defaultdict(set)
        self.groups: dict[int, set[int]] = defaultdict(set)
        if batch.kind == _Kind.MOVE:
            self._load_doors([item.reservation_id for item in self.items if item.reservation_id])
        elif batch.kind == _Kind.REGROUP:
            self._load_groups([item.person_id for item in self.items if item.person_id])
        elif batch.kind != _Kind.IMPORT:
            self.pins = pins_of([item.person_id for item in self.items if item.person_id])
        self.reasons = {item.pk: self._why_not(item) for item in self.items}

    def _load_doors(self, visit_ids: list[int]) -> None:
        rows = ReservationChannel.objects.filter(OPEN, reservation__in=visit_ids)
        for visit_id, channel_id in rows.values_list("reservation_id", "channel_id"):
            self.doors[visit_id].add(channel_id)

    def _load_groups(self, person_ids: list[int]) -> None:
        rows = GroupMembership.objects.filter(OPEN, person__in=person_ids)
        for person_id, group_id in rows.values_list("person_id", "group_id"):
            self.groups[person_id].add(group_id)

    def _why_not(self, item: BatchItem) -> str:
        if item.reservation is not None:
            return self._visit(item.reservation)
        return self._person(item.person) if item.person is not None else ""

    def _person(self, person: Person) -> str:
        kind, pin = self.batch.kind, self.pins.get(person.pk)
        if person.deleted_at:
            return "Deleted in the meantime."
        if kind == _Kind.REGROUP:
            return "" if self.groups_after(person.pk) != self.groups[person.pk] else "Is in these groups already."
        if kind == _Kind.ISSUE:
            return "Has a PIN already." if pin else ""
        if pin is None:
            return "Has no PIN."
        if kind in (_Kind.ENABLE, _Kind.DISABLE) and pin.enabled == (kind == _Kind.ENABLE):
            return "Enabled already." if pin.enabled else "Disabled already."
        return ""

    def groups_after(self, person_id: int) -> set[int]:
        return (self.groups[person_id] - set(self.plan.get("out_of", ()))) | set(self.plan.get("into", ()))

    def _visit(self, visit: Reservation) -> str:
        by = self.shift()
        if visit.cancelled_at is not None:
            return "Cancelled."
        if visit.person.deleted_at is not None:
            return "Deleted in the meantime."
        if visit.end_time <= self.now:
            return "Over already."
        if self.doors[visit.pk] & set(self.plan.get("elsewhere", ())):
            return "Opens doors of other sites, too."
        if by and visit.start_time <= self.now:
            return "Has begun already."
        if visit.end_time + by <= self.now:
            return "Would be over already."
        if not by and self.doors_after(visit.pk) == self.doors[visit.pk]:
            return "Has these doors already."
        return ""

    def shift(self) -> timedelta:
        return timedelta(minutes=self.plan.get("minutes", 0))

    def doors_after(self, visit_id: int) -> set[int]:
        return set(self.plan.get("doors", ())) or self.doors[visit_id]


def pins_of(person_ids: list[int]) -> dict[int, Credential]:
    """The PIN that each person holds, those that a rotation lets end not counted."""
    held = Credential.objects.filter(type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None)
    return {pin.person_id: pin for pin in held.filter(person__in=person_ids)}
