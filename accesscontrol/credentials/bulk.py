"""PINs for thousands of people in one pass: drawn, reserved, sealed and written together, or not at all."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from django.db import transaction

from accesscontrol.credentials import spacing
from accesscontrol.credentials.lifecycle import NoPinFree, fill, free_values, new_numbers
from accesscontrol.credentials.models import Credential, CredentialState, CredentialType
from accesscontrol.credentials.spacing import Spacing
from accesscontrol.people.models import Person
from accounts import audit
from pins.generator import Space
from pins.vault.fingerprints import NotAvailable

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
        for number, person_id in zip(new_numbers(len(person_ids)), person_ids, strict=True)
    ]
    for _ in range(_DRAWS):
        pins = list(islice(spaced.apart(free_values(space, spaced)), len(credentials)))
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


def _write(credentials: list[Credential], pins: list[str], spaced: Spacing) -> None:
    for credential, pin in zip(credentials, pins, strict=True):
        fill(credential, pin)
    Credential.objects.bulk_create(credentials, batch_size=1000)
    held = dict(zip((credential.pk for credential in credentials), pins, strict=True))
    spaced.hold(held, type=CredentialType.PIN)
