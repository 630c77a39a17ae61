"""Hold a value, find who holds it, let it go. One row per live key, so that uniqueness outlives a key's rotation."""

import hmac
from collections.abc import Iterable

from accounts.refusals import Refusal, refusing
from accounts.tenancy import current_tenant_id
from pins.vault.keyring import keyring
from pins.vault.models import Fingerprint


class NotAvailable(Refusal):
    """Reserved or in use: the two are never told apart."""

    code = "not_available"
    field = "value"
    text = "This value is not available."
    constraint = "fingerprint_unique"


def digests(value: str, *, type: str) -> dict[int, bytes]:
    """HMAC-SHA-256 of a value of this type in the current tenant, for every live key version."""
    message = _message(value, type)
    return {version: hmac.digest(key, message, "sha256") for version, key in keyring().fingerprinting.items()}


def hold(value: str, *, holder_id: int, type: str) -> None:
    """Reserve a value for the row that holds it; refuses where another holds it, under a race too."""
    with refusing(NotAvailable):
        Fingerprint.objects.bulk_create(
            Fingerprint(key_version=version, digest=digest, holder_id=holder_id)
            for version, digest in digests(value, type=type).items()
        )


def release(holder_ids: Iterable[int]) -> None:
    """Let go of the values of these rows."""
    Fingerprint.objects.filter(holder_id__in=list(holder_ids)).delete()


def taken(values: Iterable[str], *, type: str) -> set[str]:
    """Which of these values somebody holds, in one query."""
    found: set[str] = set()
    by_digest = {
        hmac.digest(key, _message(value, type), "sha256"): value
        for value in values
        for key in keyring().fingerprinting.values()
    }
    held = Fingerprint.objects.filter(
        key_version__in=list(keyring().fingerprinting), digest__in=list(by_digest)
    ).values_list("digest", flat=True)
    for digest in held:
        found.add(by_digest[bytes(digest)])
    return found


def _message(value: str, type: str) -> bytes:
    return f"{type}|{current_tenant_id()}|{value}".encode()
