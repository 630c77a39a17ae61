"""PINs for thousands of people in one pass: drawn, reserved, sealed and written together, or not at all."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from django.db import connection, transaction

from accesscontrol.credentials import spacing
from accesscontrol.credentials.lifecycle import TABLE, NoPinFree, free_values
from accesscontrol.credentials.models import Credential, CredentialState, CredentialType
from accesscontrol.credentials.spacing import Spacing
from accesscontrol.people.models import Person
from accounts import audit
from accounts.tenancy import current_tenant_id
from pins.generator import Space
from pins.vault.fingerprints import NotAvailable
from pins.vault.sealing import seal

# Somebody else may take one of the drawn values first; that this happens so often in a row means something is wrong.
_DRAWS = 5


@transaction.atomic
def issue_many(people: Iterable[Person], space: Space, *, by: audit.Actor, now: datetime) -> list[Credential]:
    """A PIN for everybody who stays and has none; refuses the whole where fewer are free than are needed."""
    spaced = spacing.of_type(CredentialType.PIN)
    ids = [person.pk for person in people]
    having = Credential.objects.filter(
        person_id__in=ids, type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None
    )
    staying = Person.objects.filter(pk__in=ids, deleted_at=None).exclude(pk__in=having.values("person_id"))
    person_ids = list(staying.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
    credentials = [
        Credential(id=number, person_id=person_id, created_at=now, updated_at=now)
        for number, person_id in zip(_numbers(len(person_ids)), person_ids, strict=True)
    ]
    for _ in range(_DRAWS):
        pins = list(islice(_apart(space, spaced), len(credentials)))
        if len(pins) < len(credentials):
            raise NoPinFree
        try:
            with transaction.atomic():
                _write(credentials, pins, spaced)
        except NotAvailable:
            continue
        CredentialState.objects.bulk_create(
            CredentialState(credential=credential, enabled=True, started_at=now) for credential in credentials
        )
        audit.record_many("issue", "credential", [credential.pk for credential in credentials], by=by, now=now)
        return credentials
    raise NoPinFree


def _apart(space: Space, spaced: Spacing) -> Iterator[str]:
    """Free values that keep their distance from each other too, in uniformly random order."""
    held: set[str] = set()
    for value in free_values(space, spaced):
        if held.isdisjoint(spaced.around(value)):
            held |= spaced.opening(value)
            yield value


def _write(credentials: list[Credential], pins: list[str], spaced: Spacing) -> None:
    tenant_id = current_tenant_id()
    for credential, pin in zip(credentials, pins, strict=True):
        credential.sealed = seal(pin, tenant_id=tenant_id, table=TABLE, row_id=credential.pk)
        credential.digits = len(pin)
    Credential.objects.bulk_create(credentials, batch_size=1000)
    spaced.hold_many(dict(zip((credential.pk for credential in credentials), pins, strict=True)))


def _numbers(count: int) -> list[int]:
    # A value is sealed for its row, so the rows' numbers must be known before they are written.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [TABLE, count])
        return [number for (number,) in cursor.fetchall()]
