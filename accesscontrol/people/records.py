"""What is known of a person, and what they belong to. Enabled state, validity and belonging keep their periods."""

from collections.abc import Iterable
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


@transaction.atomic
def create(values: dict[str, Any], *, by: audit.Actor, now: datetime) -> Person:
    """Add a person; refuses a `system_id` that another person has."""
    person = Person(
        created_at=now, updated_at=now, retention_at=now, **{name: values[name] for name in WRITABLE if name in values}
    )
    with refusing(SystemIdTaken, ValidityEndsEarly):
        person.save(force_insert=True)
    _begin_state(person, now)
    finding.follow([person])
    audit.record("create", "person", person.pk, by=by, now=now, fields=[name for name in WRITABLE if name in values])
    return person


@transaction.atomic
def create_many(rows: Iterable[dict[str, Any]], *, by: audit.Actor, now: datetime) -> list[Person]:
    """Add many people, all or none, in a few statements; refuses a `system_id` that another person has."""
    people = [
        Person(
            created_at=now,
            updated_at=now,
            retention_at=now,
            **{name: values[name] for name in WRITABLE if name in values},
        )
        for values in rows
    ]
    with refusing(SystemIdTaken, ValidityEndsEarly):
        Person.objects.bulk_create(people, batch_size=1000)
    PersonState.objects.bulk_create([_state_of(person, now) for person in people], batch_size=1000)
    finding.follow(people)
    audit.record_many("create", "person", [person.pk for person in people], by=by, now=now)
    return people


@transaction.atomic
def change(person: Person, values: dict[str, Any], *, by: audit.Actor, now: datetime) -> Person:
    """Write the given fields, and only those; what did not change is not written."""
    person = Person.objects.select_for_update(of=("self",)).get(pk=person.pk)
    changed = [name for name in WRITABLE if name in values and getattr(person, name) != values[name]]
    if not changed:
        return person
    for name in changed:
        setattr(person, name, values[name])
    person.updated_at = now
    with refusing(SystemIdTaken, ValidityEndsEarly):
        person.save(update_fields=[*changed, "updated_at"])
    if _STATE & set(changed):
        PersonState.objects.filter(OPEN, person=person).update(ended_at=now)
        _begin_state(person, now)
    if _FOUND_BY & set(changed):
        finding.follow([person])
    audit.record("change", "person", person.pk, by=by, now=now, fields=changed)
    return person


def _begin_state(person: Person, now: datetime) -> None:
    _state_of(person, now).save(force_insert=True)


def _state_of(person: Person, now: datetime) -> PersonState:
    return PersonState(
        person=person,
        enabled=person.enabled,
        valid_from=person.valid_from,
        valid_to=person.valid_to,
        started_at=now,
    )


@transaction.atomic
def set_groups(person: Person, groups: Iterable[Group], *, by: audit.Actor, now: datetime) -> set[str]:
    """Put a person into exactly these groups; returns "added" and "removed" for what was done."""
    rows = GroupMembership.objects.filter(person=person)
    done = follow(rows, "group_id", [group.pk for group in groups], now=now, person=person)
    if done:
        _touch(person, now)
        audit.record("change", "person", person.pk, by=by, now=now, fields=["groups"])
    return done


@transaction.atomic
def set_roles(person: Person, roles: Iterable[Role], *, by: audit.Actor, now: datetime) -> set[str]:
    """Give a person exactly these roles of their own; returns "added" and "removed" for what was done."""
    rows = PersonRole.objects.filter(person=person)
    done = follow(rows, "role_id", [role.pk for role in roles], now=now, person=person)
    if done:
        _touch(person, now)
        audit.record("change", "person", person.pk, by=by, now=now, fields=["roles"])
    return done


@transaction.atomic
def set_group_roles(group: Group, roles: Iterable[Role], *, by: audit.Actor, now: datetime) -> set[str]:
    """Give a group exactly these roles; returns "added" and "removed" for what was done."""
    rows = GroupRole.objects.filter(group=group)
    done = follow(rows, "role_id", [role.pk for role in roles], now=now, group=group)
    if done:
        audit.record("change", "group", group.pk, by=by, now=now, fields=["roles"])
    return done


def _touch(person: Person, now: datetime) -> None:
    person.updated_at = now
    person.save(update_fields=["updated_at"])


def stays(person: Person) -> bool:
    """Whether a person was not deleted; until this transaction ends they cannot be."""
    rows = Person.objects.select_for_update(of=("self",), no_key=True).order_by()
    return bool(rows.filter(pk=person.pk, deleted_at=None).values_list("pk"))


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
