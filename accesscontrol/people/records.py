"""What is known of a person, and what they belong to. Enabled state, validity and belonging keep their periods."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from accesscontrol.doors.models import Role
from accesscontrol.doors.periods import OPEN, follow
from accesscontrol.people import finding
from accesscontrol.people.models import Group, GroupMembership, GroupRole, Person, PersonRole, PersonState
from accounts import audit
from accounts.refusals import Refusal, refusing

WRITABLE = (
    "kind",
    "first_name",
    "last_name",
    "salutation",
    "job_title",
    "department",
    "email",
    "mobile",
    "telephone",
    "language",
    "birthday",
    "enabled",
    "valid_from",
    "valid_to",
    "notes",
    "system_id",
    "barcode",
    "custom_1",
    "custom_2",
    "custom_3",
    "custom_4",
    "custom_5",
    "site",
)
_STATE = {"enabled", "valid_from", "valid_to"}
_FOUND_BY = {"first_name", "last_name", "email", "mobile", "telephone"}


class SystemIdTaken(Refusal):
    code = "taken"
    field = "system_id"
    text = "Another person has this id already."
    constraint = "person_system_id_unique"


class ValidityEndsEarly(Refusal):
    code = "invalid_period"
    field = "valid_to"
    text = "The validity must end after it starts."
    constraint = "person_validity"


def create(values: dict[str, Any], *, by: audit.Actor, now: datetime) -> Person:
    """Add a person; refuses a `system_id` that another person has."""
    [person] = create_many([values], by=by, now=now)
    return person


@transaction.atomic
def create_many(rows: Iterable[dict[str, Any]], *, by: audit.Actor, now: datetime) -> list[Person]:
    """Add many people, all or none, in a few statements; refuses a `system_id` that another person has."""
    written = [{name: values[name] for name in WRITABLE if name in values} for values in rows]
    people = [Person(created_at=now, updated_at=now, retention_at=now, **values) for values in written]
    with refusing(SystemIdTaken, ValidityEndsEarly):
        Person.objects.bulk_create(people, batch_size=1000)
    _begin_states(people, now)
    finding.begin(people)
    fields_of = ((person.pk, values) for person, values in zip(people, written, strict=True))
    audit.record_each("create", "person", fields_of, by=by, now=now)
    return people


def change(person: Person, values: dict[str, Any], *, by: audit.Actor, now: datetime) -> Person:
    """Write the given fields, and only those; what did not change is not written."""
    [person] = change_many([(person, values)], by=by, now=now)
    return person


@transaction.atomic
def change_many(changes: Sequence[tuple[Person, dict[str, Any]]], *, by: audit.Actor, now: datetime) -> list[Person]:
    """Write the given fields of many people, nobody among them twice, all or none, in a few statements."""
    rows = Person.objects.select_for_update(of=("self",)).order_by("pk").in_bulk([person.pk for person, _ in changes])
    people = [rows[person.pk] for person, _ in changes]
    changed: dict[Person, list[str]] = {}
    for person, (_, values) in zip(people, changes, strict=True):
        names = [name for name in WRITABLE if name in values and getattr(person, name) != values[name]]
        if names:
            changed[person] = names
        for name in names:
            setattr(person, name, values[name])
            person.updated_at = now
    if not changed:
        return people
    fields = sorted({"updated_at", *(name for names in changed.values() for name in names)})
    with refusing(SystemIdTaken, ValidityEndsEarly):
        # They are there: this updates in every case. A bulk_update would cut off what is too long, without a word.
        Person.objects.bulk_create(changed, update_conflicts=True, unique_fields=["pk"], update_fields=fields)
    if restated := [person for person, names in changed.items() if not _STATE.isdisjoint(names)]:
        PersonState.objects.filter(OPEN, person__in=restated).update(ended_at=now)
        _begin_states(restated, now)
    if renamed := [person for person, names in changed.items() if not _FOUND_BY.isdisjoint(names)]:
        finding.follow(renamed)
    audit.record_each("change", "person", ((person.pk, names) for person, names in changed.items()), by=by, now=now)
    return people


def _begin_states(people: Iterable[Person], now: datetime) -> None:
    PersonState.objects.bulk_create(
        (
            PersonState(
                person=person,
                enabled=person.enabled,
                valid_from=person.valid_from,
                valid_to=person.valid_to,
                started_at=now,
            )
            for person in people
        ),
        batch_size=1000,
    )


def set_groups(person: Person, groups: Iterable[Group], *, by: audit.Actor, now: datetime) -> set[str]:
    """Put a person into exactly these groups; returns "added" and "removed" for what was done."""
    return set_groups_many({person: groups}, by=by, now=now).get(person.pk, set())


@transaction.atomic
def set_groups_many(
    groups_of: Mapping[Person, Iterable[Group]], *, by: audit.Actor, now: datetime
) -> dict[int, set[str]]:
    """Put each of these people into exactly these groups; returns what was done, for whom anything was."""
    wanted = {person.pk: [group.pk for group in groups] for person, groups in groups_of.items()}
    done = follow(GroupMembership.objects.all(), "person_id", "group_id", wanted, now=now)
    if done:
        _touch([person for person in groups_of if person.pk in done], now)
        audit.record_many("change", "person", sorted(done), by=by, now=now, fields=["groups"])
    return done


@transaction.atomic
def set_roles(person: Person, roles: Iterable[Role], *, by: audit.Actor, now: datetime) -> set[str]:
    """Give a person exactly these roles of their own; returns "added" and "removed" for what was done."""
    wanted = {person.pk: [role.pk for role in roles]}
    done = follow(PersonRole.objects.all(), "person_id", "role_id", wanted, now=now).get(person.pk, set())
    if done:
        _touch([person], now)
        audit.record("change", "person", person.pk, by=by, now=now, fields=["roles"])
    return done


@transaction.atomic
def set_group_roles(group: Group, roles: Iterable[Role], *, by: audit.Actor, now: datetime) -> set[str]:
    """Give a group exactly these roles; returns "added" and "removed" for what was done."""
    wanted = {group.pk: [role.pk for role in roles]}
    done = follow(GroupRole.objects.all(), "group_id", "role_id", wanted, now=now).get(group.pk, set())
    if done:
        audit.record("change", "group", group.pk, by=by, now=now, fields=["roles"])
    return done


def _touch(people: Collection[Person], now: datetime) -> None:
    for person in people:
        person.updated_at = now
    Person.objects.filter(pk__in=[person.pk for person in people]).update(updated_at=now)


def stays(person: Person) -> bool:
    """Whether a person was not deleted; until this transaction ends they cannot be."""
    return bool(staying([person.pk]))


def staying(person_ids: Collection[int]) -> set[int]:
    """Who of these people was not deleted; until this transaction ends they cannot be."""
    # In one order for everybody: two who hold the same people wait for each other in turn, not in a circle.
    rows = Person.objects.select_for_update(of=("self",), no_key=True).order_by("pk")
    return set(rows.filter(pk__in=person_ids, deleted_at=None).values_list("pk", flat=True))


@transaction.atomic
def delete(person: Person, *, by: audit.Actor, now: datetime) -> None:
    """Mark a person deleted and end all belonging; what happened stays. What spans rooms is in visits/leaving.py."""
    set_groups(person, [], by=by, now=now)
    set_roles(person, [], by=by, now=now)
    person.enabled = False
    person.deleted_at = person.updated_at = person.retention_at = now
    person.save(update_fields=["enabled", "deleted_at", "updated_at", "retention_at"])
    PersonState.objects.filter(OPEN, person=person).update(ended_at=now)
    finding.follow([person])
    audit.record("delete", "person", person.pk, by=by, now=now)
