"""One credential: issue, enable, disable, reveal, revoke, expire, revive, erase.

The value is sealed for its row and found by fingerprints; two people never hold the same one. It can never be
changed: a new value is a new credential. Whoever reads a value leaves an AuditEvent.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice

from django.db import connection, transaction
from django.db.models import QuerySet

from accesscontrol.credentials import spacing
from accesscontrol.credentials.models import Credential, CredentialState, CredentialType
from accesscontrol.credentials.spacing import Spacing
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import records
from accesscontrol.people.models import Person
from accounts import audit
from accounts.refusals import Refusal, refusing
from accounts.tenancy import current_tenant_id
from pins.generator import Space, shuffled
from pins.vault import fingerprints
from pins.vault.fingerprints import NotAvailable
from pins.vault.sealing import open_sealed, seal

TABLE = Credential._meta.db_table
_PIN = re.compile(r"[0-9]{4,8}", re.ASCII)
_CARD = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


class MalformedValue(Refusal):
    code = "invalid"
    field = "value"
    text = "A PIN has 4 to 8 digits."


class HasOneAlready(Refusal):
    """`facts["credential"]` is the one that the person has."""

    code = "already_exists"
    status = 409
    field = "credential_type_id"
    text = "This person already has a credential of this type."
    constraint = "credential_one_of_type"


class NoPinFree(Refusal):
    code = "no_pin_free"
    status = 422
    field = "value"
    text = "Every PIN of this length is in use. Allow longer PINs at the doors."


class PersonIsGone(Refusal):
    code = "person_deleted"
    field = "person_id"
    text = "This person was deleted."


def well_formed(type: CredentialType, value: object) -> str:
    """The value as it is kept; refuses what no keypad or card can send."""
    pattern = _PIN if type == CredentialType.PIN else _CARD
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise MalformedValue(None if type == CredentialType.PIN else "A card number has 1 to 64 letters and digits.")


def issue(
    person: Person,
    type: CredentialType,
    value: str,
    *,
    by: audit.Actor,
    now: datetime,
    enabled: bool = True,
) -> Credential:
    """Give a person this value; refuses a second of the type, and a value that is not available."""
    [credential] = issue_each({person: value}, type, by=by, now=now, enabled=enabled)
    return credential


@transaction.atomic
def issue_each(
    values: Mapping[Person, str],
    type: CredentialType,
    *,
    by: audit.Actor,
    now: datetime,
    enabled: bool = True,
) -> list[Credential]:
    """Give each of these people their value, all or none; refuses what `issue` would refuse one of them."""
    spaced = spacing.of_type(type)
    credentials = _begin(values, type, enabled=enabled, by=by, now=now)
    chosen = list(values.values())
    if len(list(spaced.apart(chosen))) < len(chosen):
        raise NotAvailable
    if spaced.keeps_neighbours_apart:
        around = set().union(*map(spaced.around, chosen))
        if fingerprints.taken(around, type=type.slug):
            raise NotAvailable
    spaced.hold(dict(zip((credential.pk for credential in credentials), chosen, strict=True)), type=type)
    return credentials


@transaction.atomic
def issue_generated(
    person: Person, space: Space, *, by: audit.Actor, now: datetime, enabled: bool = True
) -> tuple[Credential, str]:
    """Give a person a PIN drawn uniformly from the free ones of this space; refuses where none is free."""
    spaced = spacing.of_type(CredentialType.PIN)
    [credential] = _begin({person: None}, CredentialType.PIN, enabled=enabled, by=by, now=now)
    for value in free_values(space, spaced):
        try:
            spaced.hold({credential.pk: value}, type=CredentialType.PIN)
        except NotAvailable:
            continue
        fill(credential, value)
        credential.save(update_fields=["sealed", "digits"])
        return credential, value
    raise NoPinFree


def free_values(space: Space, spaced: Spacing) -> Iterable[str]:
    """PINs that nobody held a moment ago, in uniformly random order; asks the database in growing batches."""
    order, size = shuffled(space), 8
    asked: set[str] = set()
    taken: set[str] = set()
    while batch := list(islice(order, size)):
        around = {value: spaced.around(value) for value in batch if spaced.allows(value, space)}
        new = set().union(*around.values()) - asked
        taken |= fingerprints.taken(new, type=CredentialType.PIN.slug)
        asked |= new
        yield from (value for value, near in around.items() if taken.isdisjoint(near))
        # Each candidate among its neighbours asks for dozens of values.
        size = min(size * 8, 512 if spaced.keeps_neighbours_apart else 4096)


def _begin(
    values: Mapping[Person, str | None], type: CredentialType, *, enabled: bool, by: audit.Actor, now: datetime
) -> list[Credential]:
    """The rows, with their values where these are known already."""
    # Otherwise somebody who is being deleted right now is left with a value that nobody takes back.
    if len(records.staying([person.pk for person in values])) < len(values):
        raise PersonIsGone
    credentials = [
        Credential(id=number, person=person, type=type, enabled=enabled, created_at=now, updated_at=now)
        for number, person in zip(new_numbers(len(values)), values, strict=True)
    ]
    for credential, value in zip(credentials, values.values(), strict=True):
        if value is not None:
            fill(credential, value)
    try:
        with refusing(HasOneAlready):
            Credential.objects.bulk_create(credentials, batch_size=1000)
    except HasOneAlready as refusal:
        held = Credential.objects.filter(type=type, revoked_at=None, erased_at=None, ends_at=None)
        refusal.facts["credential"] = held.filter(person__in=list(values)).first()
        raise
    CredentialState.objects.bulk_create(
        CredentialState(credential=credential, enabled=enabled, started_at=now) for credential in credentials
    )
    audit.record_many("issue", "credential", [credential.pk for credential in credentials], by=by, now=now)
    return credentials


def new_numbers(count: int) -> list[int]:
    """Ids of rows to be written: a value is sealed for its row, so that its number must be known before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [TABLE, count])
        return [number for (number,) in cursor.fetchall()]


def fill(credential: Credential, value: str) -> None:
    """Seal the value for a row that is about to be written."""
    credential.sealed = seal(value, tenant_id=current_tenant_id(), table=TABLE, row_id=credential.pk)
    credential.digits = len(value) if credential.type == CredentialType.PIN else None


def reveal(credentials: Iterable[Credential], *, by: audit.Actor, now: datetime) -> dict[int, str]:
    """The values of these credentials by id, each reading audited; those without a value are left out."""
    values = {credential.pk: value_of(credential) for credential in credentials if credential.sealed}
    audit.record_many("reveal", "credential", values, by=by, now=now)
    return values


def value_of(credential: Credential) -> str:
    """Open a value for the product's own use: to compare or to deliver it, never to show it."""
    return open_sealed(
        bytes(credential.sealed or b""), tenant_id=current_tenant_id(), table=TABLE, row_id=credential.pk
    )


@transaction.atomic
def set_enabled(credential: Credential, enabled: bool, *, by: audit.Actor, now: datetime) -> None:
    """Enable or disable; a second time changes nothing."""
    if (
        not Credential.objects.filter(pk=credential.pk, revoked_at=None, erased_at=None)
        .exclude(enabled=enabled)
        .update(enabled=enabled, updated_at=now)
    ):
        return
    credential.enabled, credential.updated_at = enabled, now
    CredentialState.objects.filter(OPEN, credential=credential).update(ended_at=now)
    CredentialState.objects.create(credential=credential, enabled=enabled, started_at=now)
    audit.record("enable" if enabled else "disable", "credential", credential.pk, by=by, now=now)


@transaction.atomic
def revoke(credentials: QuerySet[Credential], *, by: audit.Actor, now: datetime) -> list[int]:
    """End credentials for good and forget their values, which are free again; returns the ids that ended."""
    ids = _end(credentials, "revoked_at", now)
    audit.record_many("revoke", "credential", ids, by=by, now=now)
    return ids


@transaction.atomic
def erase(credentials: QuerySet[Credential], *, by: audit.Actor, now: datetime) -> list[int]:
    """Forget the values of expired credentials, which are free again; returns the ids that ended."""
    ids = _end(credentials, "erased_at", now)
    audit.record_many("erase", "credential", ids, by=by, now=now)
    return ids


def _end(credentials: QuerySet[Credential], column: str, now: datetime) -> list[int]:
    live = credentials.filter(revoked_at=None, erased_at=None)
    ids = list(live.select_for_update(of=("self",)).values_list("pk", flat=True))
    Credential.objects.filter(pk__in=ids).update(
        **{column: now}, sealed=None, enabled=False, due_at=None, rotate_at=None, updated_at=now
    )
    CredentialState.objects.filter(OPEN, credential_id__in=ids).update(ended_at=now)
    fingerprints.release(ids)
    return ids
