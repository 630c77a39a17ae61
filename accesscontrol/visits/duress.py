"""Duress: the PIN with its last digit plus one opens normally and raises a silent alarm.

While it is on, every live PIN holds that value beside its own, so that neither is ever issued to somebody else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accesscontrol.credentials import spacing
from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.credentials.models import Credential, CredentialType
from accounts import audit
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id
from pins.policy import duress
from pins.vault.fingerprints import digest_many
from pins.vault.models import Fingerprint

BATCH = 1000


@dataclass(frozen=True)
class Collision:
    """A PIN without duress, because its duress value is what `other_id` opens with: issue the first one anew."""

    credential_id: int
    other_id: int


@transaction.atomic
def set_duress(on: bool, *, by: audit.Actor, now: datetime) -> list[Collision]:
    """Switch duress on or off for the current tenant; returns the live collisions. A second time repairs what lacks."""
    spacing.lock_for_switching()
    switched = Tenant.objects.filter(pk=current_tenant_id()).exclude(duress_enabled=on).update(duress_enabled=on)
    if switched:
        audit.record("change", "tenant", current_tenant_id(), by=by, now=now, fields=["duress_enabled"])
    if not on:
        Fingerprint.objects.filter(kind=Fingerprint.Kind.DURESS).delete()
        return []
    return [collision for batch in _batches() for collision in _reserve(batch)]


def without_duress() -> QuerySet[Credential]:
    """Live PINs under which no alarm can be raised, because another holds their duress value; empty while it is off."""
    own = Fingerprint.objects.filter(kind=Fingerprint.Kind.DURESS, holder_id=OuterRef("pk"))
    is_on = Tenant.objects.filter(pk=current_tenant_id(), duress_enabled=True)
    return _live().filter(Exists(is_on), ~Exists(own))


def _live() -> QuerySet[Credential]:
    return Credential.objects.filter(type=CredentialType.PIN, revoked_at=None, erased_at=None)


def _batches() -> Iterator[list[Credential]]:
    """PINs without duress by id; locked, because one revoked meanwhile would leave its duress value reserved."""
    last = 0
    while batch := list(
        without_duress().filter(pk__gt=last).order_by("pk").select_for_update(of=("self",), no_key=True)[:BATCH]
    ):
        yield batch
        last = batch[-1].pk


def _reserve(batch: list[Credential]) -> list[Collision]:
    by_version = digest_many([duress(value_of(credential)) for credential in batch], type=CredentialType.PIN.slug)
    holders: dict[int, int] = {}
    for version, digests in by_version.items():
        found = Fingerprint.objects.filter(key_version=version, digest__in=digests).values_list("digest", "holder_id")
        held = {bytes(digest): holder_id for digest, holder_id in found}
        for credential, digest in zip(batch, digests, strict=True):
            if digest in held:
                holders[credential.pk] = held[digest]
    Fingerprint.objects.bulk_create(
        Fingerprint(key_version=version, digest=digest, kind=Fingerprint.Kind.DURESS, holder_id=credential.pk)
        for version, digests in by_version.items()
        for credential, digest in zip(batch, digests, strict=True)
        if credential.pk not in holders
    )
    return [Collision(credential_id, other_id) for credential_id, other_id in holders.items()]
