"""Keys of machines: minted with 160 random bits, shown once, kept as a keyed digest, revoked for good."""

import base64
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from accounts import audit
from accounts.models import ApiKey, ApiKeySite, Site
from accounts.refusals import Refusal
from accounts.rights import OF_SCOPE

PREFIXES = {
    ApiKey.Kind.API: "ghk_",
    ApiKey.Kind.READER: "ghr_",
    ApiKey.Kind.GENERATOR: "ghg_",
    # Seam's own clients refuse any other.
    ApiKey.Kind.SEAM: "seam_",
}


@dataclass(frozen=True)
class MintedKey:
    """A new key and, this once, what the machine must show; `secret` only for a sign-in pair."""

    api_key: ApiKey
    value: str
    secret: str | None = None

    def __repr__(self) -> str:
        return f"MintedKey({self.api_key.shown_prefix}…)"


def random_token() -> str:
    """160 bits from the operating system as 32 letters and digits."""
    return base64.b32encode(secrets.token_bytes(20)).decode().lower()


def secrets_of(value: str) -> list[str]:
    """The secret of a sign-in pair, as the current secret key and those before it make it from the key.

    Clients prove that they have it by encrypting with it, so a digest of it is not enough; kept, it is nowhere.
    """
    made = (
        salted_hmac("accounts.keys.secret", value, secret=key, algorithm="sha256").digest()[:16]
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )
    return [str(uuid.UUID(bytes=text, version=4)) for text in made]


def digest(token: str) -> bytes:
    """The keyed digest under the current secret key."""
    return _digest(token, settings.SECRET_KEY)


def digests(token: str) -> list[bytes]:
    """The keyed digests under the current secret key and those before it."""
    return [_digest(token, key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _digest(token: str, key: str) -> bytes:
    return salted_hmac("accounts.keys", token, secret=key, algorithm="sha256").digest()


class UnknownScope(Refusal):
    code = "unknown_scope"
    field = "scopes"


@transaction.atomic
def mint(
    name: str,
    *,
    kind: ApiKey.Kind,
    by: audit.Actor,
    now: datetime,
    scopes: Iterable[str] = (),
    sites: Iterable[Site] | None = None,
    expires_at: datetime | None = None,
    requests_per_minute: int = 1000,
) -> MintedKey:
    """Make a key for the current tenant; `sites` None means all of them. Refuses scopes that do not exist."""
    scopes = list(scopes)
    if unknown := [scope for scope in scopes if scope not in OF_SCOPE]:
        raise UnknownScope(f"There is no scope “{unknown[0]}”.")
    secret = None
    if kind == ApiKey.Kind.SIGNIN:
        # The sign-in contract's clients expect GUIDs.
        value = str(uuid.uuid4())
        secret = secrets_of(value)[0]
    else:
        value = PREFIXES[kind] + random_token()
    api_key = ApiKey.objects.create(
        name=name,
        kind=kind,
        shown_prefix=value[:8],
        digest=digest(value),
        secret_digest=digest(secret) if secret else None,
        scopes=scopes,
        all_sites=sites is None,
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
        created_at=now,
    )
    ApiKeySite.objects.bulk_create(ApiKeySite(api_key=api_key, site=site) for site in sites or ())
    audit.record("mint", "api_key", api_key.pk, by=by, now=now)
    return MintedKey(api_key, value, secret)


@transaction.atomic
def revoke(api_key: ApiKey, *, by: audit.Actor, now: datetime) -> None:
    """End a key; a second time changes nothing."""
    if ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=now):
        audit.record("revoke", "api_key", api_key.pk, by=by, now=now)
