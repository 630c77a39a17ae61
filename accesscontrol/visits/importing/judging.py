"""What a row of a file would do: add somebody, change somebody, nothing, or why it cannot.

A person is meant by the id of another system, else by e-mail address, else, where that is asked for, by name. Some
hundred rows are judged at once, on what a few queries found.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as column
from typing import Any

from django.db.models import Q

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Group, GroupMembership, Person
from accesscontrol.people.sheets import Row
from accesscontrol.visits.importing import cells
from accesscontrol.visits.importing.cells import Manner, Unfit
from accesscontrol.visits.importing.plans import Plan
from accesscontrol.visits.models import ImportRow
from accounts.models import Site, Tenant
from accounts.tenancy import current_tenant_id
from pins.vault import fingerprints

_Fate = ImportRow.Fate
_APART = {"name", "groups", "card", "site"}


@dataclass
class Read:
    """A row as values: `groups` None where no cell names any."""

    values: dict[str, Any] = column(default_factory=dict)
    site: str = ""
    groups: list[str] | None = None
    card: str = column(default="", repr=False)


@dataclass
class Verdict:
    """What a row would do, and everything that doing it needs."""

    fate: ImportRow.Fate
    field: str = ""
    reason: str = ""
    changed: list[str] = column(default_factory=list)
    person: Person | None = None
    other_id: int | None = None
    values: dict[str, Any] = column(default_factory=dict, repr=False)
    groups: list[str] | None = None
    card: str = column(default="", repr=False)
    card_before: Credential | None = None


class Judge:
    """Judges rows of one file; made for each portion of rows, because it looks once and keeps what it saw."""

    def __init__(self, plan: Plan, rows: Sequence[Row]) -> None:
        self.plan = plan
        zone = Tenant.objects.get(pk=current_tenant_id()).zone
        manner = Manner(plan.day_first, plan.country_code, zone)
        self._read: dict[int, Read | Unfit] = {}
        for line, row in rows:
            try:
                self._read[line] = read(plan.cells_of(row), manner)
            except Unfit as unfit:
                self._read[line] = unfit
        good = [one for one in self._read.values() if isinstance(one, Read)]
        self._find_people(good)
        self._sites = {site.name.casefold(): site for site in Site.objects.all()} if any(r.site for r in good) else {}
        self._groups: dict[str, Group] = {}
        self._in_groups: dict[int, set[int]] = defaultdict(set)
        if any(one.groups for one in good):
            self._groups = {group.name.casefold(): group for group in Group.objects.all()}
            members = GroupMembership.objects.filter(OPEN, person__in=list(self._known))
            for person_id, group_id in members.values_list("person_id", "group_id"):
                self._in_groups[person_id].add(group_id)
        self._find_cards(good)

    def _find_people(self, rows: list[Read]) -> None:
        ids = {row.values["system_id"] for row in rows if row.values.get("system_id")}
        mails = {row.values["email"].lower() for row in rows if row.values.get("email")}
        meant = Q(system_id__in=ids) | Q(lower_email__in=mails)
        if self.plan.finds_by_name:
            unnamed = [row.values for row in rows if not (row.values.get("system_id") or row.values.get("email"))]
            firsts = {values.get("first_name", "") for values in unnamed}
            meant |= Q(last_name__in={values.get("last_name", "") for values in unnamed}, first_name__in=firsts)
        people = Person.objects.filter(meant, deleted_at=None).exclude(kind=Person.Kind.SHARED).select_related("site")
        self._known = {person.pk: person for person in people}
        self._by_id = {person.system_id: person for person in self._known.values() if person.system_id}
        self._by_mail: dict[str, list[Person]] = defaultdict(list)
        self._by_name: dict[tuple[str, str], list[Person]] = defaultdict(list)
        for person in self._known.values():
            self._by_mail[person.email.lower()].append(person)
            self._by_name[person.first_name, person.last_name].append(person)

    def _find_cards(self, rows: list[Read]) -> None:
        numbers = {row.card for row in rows if row.card}
        holders = fingerprints.holders(numbers, type=CredentialType.CARD.slug) if numbers else {}
        held = Credential.objects.filter(type=CredentialType.CARD, revoked_at=None, erased_at=None, ends_at=None)
        of_people = held.filter(person__in=list(self._known)) if numbers else held.none()
        self._card_of = {card.person_id: card for card in of_people}
        owners = dict(Credential.objects.filter(pk__in=holders.values()).values_list("pk", "person_id"))
        self._holder_of = {number: (holder, owners.get(holder)) for number, holder in holders.items()}

    def judge(self, line: int, twin: int | None) -> Verdict:
        """What this row would do now; `twin` is an earlier row about the same person or card."""
        if twin is not None:
            return Verdict(_Fate.REFUSED, "", f"Row {twin} of this file is about the same person or card.")
        row = self._read[line]
        if isinstance(row, Unfit):
            return Verdict(_Fate.REFUSED, row.field, row.reason)
        try:
            return self._verdict(row)
        except _About as about:
            return Verdict(_Fate.REFUSED, about.field, about.reason, other_id=about.other_id)
        except Unfit as unfit:
            return Verdict(_Fate.REFUSED, unfit.field, unfit.reason)

    def _verdict(self, row: Read) -> Verdict:
        values = dict(row.values)
        if row.site:
            values["site"] = self._sites.get(row.site.casefold())
            if values["site"] is None:
                raise Unfit("site", "There is no site of this name.")
        person = self._meant(row)
        if person is None and not self.plan.adds_people:
            raise Unfit("", "Nobody is meant by this row, and new people are not to be added.")
        if person is None and not values.get("first_name"):
            raise Unfit("first_name", "The first name is missing.")
        _require_period(person, values)
        changed = [name for name, value in values.items() if person is None or getattr(person, name) != value]
        groups = self._groups_after(person, row)
        if groups is not None:
            changed.append("groups")
        card_before = self._card_of.get(person.pk) if person else None
        brings_card = bool(row.card) and self._is_new_card(person, row.card, card_before)
        if brings_card:
            changed.append("card")
        fate = _Fate.NEW if person is None else _Fate.CHANGED if changed else _Fate.UNCHANGED
        return Verdict(
            fate,
            changed=changed,
            person=person,
            values=values,
            groups=groups,
            card=row.card if brings_card else "",
            card_before=card_before,
        )

    def _meant(self, row: Read) -> Person | None:
        values = row.values
        number, mail = values.get("system_id", ""), values.get("email", "").lower()
        if number and number in self._by_id:
            return self._by_id[number]
        found = self._by_mail[mail] if mail else []
        name = (values.get("first_name", ""), values.get("last_name", ""))
        if len(found) > 1 and self.plan.finds_by_name:
            found = [person for person in found if (person.first_name, person.last_name) == name] or found
        if len(found) > 1:
            raise Unfit("email", f"{len(found)} people have this e-mail address. Name them by an id.")
        if found and number and found[0].system_id:
            raise _About("email", "Somebody with another id has this e-mail address", found[0].pk)
        if not found and not number and not mail and self.plan.finds_by_name:
            found = self._by_name[name]
            if len(found) > 1:
                raise Unfit("name", f"{len(found)} people are called this. Name them by an id or an e-mail address.")
        return found[0] if found else None

    def _groups_after(self, person: Person | None, row: Read) -> list[str] | None:
        """The names of all groups that the person is in afterwards; None where nothing changes."""
        if row.groups is None:
            return None
        unknown = [name for name in row.groups if name.casefold() not in self._groups]
        if unknown and not self.plan.creates_groups:
            raise Unfit("groups", f"There is no group “{unknown[0]}”.")
        wanted = {self._groups[name.casefold()].pk for name in row.groups if name.casefold() in self._groups}
        current = self._in_groups[person.pk] if person else set()
        kept = set() if self.plan.replaces_groups else current - wanted
        if not unknown and wanted | kept == current:
            return None
        # As they are called, not as the file writes them.
        named = [self._groups[name.casefold()].name if name not in unknown else name for name in row.groups]
        return [*named, *(group.name for group in self._groups.values() if group.pk in kept)]

    def _is_new_card(self, person: Person | None, number: str, before: Credential | None) -> bool:
        holder_id, owner_id = self._holder_of.get(number, (None, None))
        if holder_id is not None:
            if before is not None and holder_id == before.pk:
                return False
            raise _About("card", "This card belongs to somebody else", owner_id)
        if before is not None and not self.plan.replaces_cards:
            raise Unfit("card", "This person has another card. Revoke it first, or have cards replaced.")
        return True


class _About(Unfit):
    def __init__(self, field: str, reason: str, other_id: int | None) -> None:
        self.other_id = other_id
        super().__init__(field, reason)


def read(found: dict[str, str], manner: Manner) -> Read:
    """A row's cells as values; raises Unfit for the first that is none."""
    row = Read(site=found.get("site", ""))
    for name, cell in found.items():
        if name not in _APART:
            row.values[name] = cells.value_of(name, cell, manner)
    if "name" in found:
        for name, part in zip(("first_name", "last_name"), cells.split_name(found["name"]), strict=True):
            if part:
                row.values[name] = cells.value_of(name, part, manner)
    if "groups" in found:
        row.groups = cells.groups_of(found["groups"])
    if "card" in found:
        row.card = cells.value_of("card", found["card"], manner)
    return row


def _require_period(person: Person | None, values: dict[str, Any]) -> None:
    start, end = (values.get(name, getattr(person, name, None)) for name in ("valid_from", "valid_to"))
    if start is not None and end is not None and start >= end:
        raise Unfit("valid_to", "The validity must end after it starts.")
