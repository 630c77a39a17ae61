"""Tokens of Subscribers: opened, found by what was shown, used once, revoked. Kept as keyed digests only."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection

from accounts import keys
from pins.signin.models import Token


@dataclass(frozen=True)
class Opened:
    """A new token and, this once, what is to be shown again."""

    token: Token
    value: str = field(repr=False)


def open_token(
    kind: Token.Kind, subscriber_id: int, *, life: timedelta, now: datetime, family: uuid.UUID | None = None
) -> Opened:
    """A new token of 122 random bits, as the GUID that the contract types."""
    value = str(uuid.uuid4())
    token = Token.objects.create(
        kind=kind,
        subscriber_id=subscriber_id,
        digest=keys.digest(value),
        family=family or uuid.uuid4(),
        created_at=now,
        expires_at=now + life,
    )
    return Opened(token, value)


def find(kind: Token.Kind, value: str, *, locks: bool = False) -> Token | None:
    """The token that was shown, live or not; one that works once is locked, so that one request at a time has it."""
    canonical = _canonical(value)
    if canonical is None:
        return None
    rows = Token.objects.select_related("subscriber")
    if locks:
        rows = rows.select_for_update(of=("self",))
    return rows.filter(kind=kind, digest__in=keys.digests(canonical)).first()


def tenant_of_link(value: str) -> int | None:
    """Whose reset token it is; asked before any tenant is known."""
    canonical = _canonical(value)
    if canonical is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenant_of_reset_link(%s)", [keys.digests(canonical)])
        [tenant_id] = cursor.fetchone()
    return None if tenant_id is None else int(tenant_id)


def use(token: Token, *, now: datetime) -> None:
    """A token that works once has worked."""
    token.used_at = now
    token.save(update_fields=["used_at"])


def end(token: Token, *, now: datetime) -> None:
    """End one token before its time."""
    token.revoked_at = now
    token.save(update_fields=["revoked_at"])


def revoke(
    subscriber_id: int, kinds: Collection[Token.Kind], *, now: datetime, but_family: uuid.UUID | None = None
) -> int:
    """End a Subscriber's tokens of these kinds, those of one sign-in left out; returns how many."""
    ended = Token.objects.filter(subscriber_id=subscriber_id, kind__in=kinds, revoked_at=None, expires_at__gt=now)
    if but_family is not None:
        ended = ended.exclude(family=but_family)
    return int(ended.update(revoked_at=now))


def revoke_family(token: Token, *, now: datetime) -> None:
    """End the access and refresh tokens of one sign-in."""
    kinds = [Token.Kind.ACCESS, Token.Kind.REFRESH]
    Token.objects.filter(
        family=token.family, subscriber_id=token.subscriber_id, kind__in=kinds, revoked_at=None
    ).update(revoked_at=now)


def revoke_all(subscriber_id: int, *, now: datetime) -> None:
    """End everything that a Subscriber holds."""
    revoke(subscriber_id, list(Token.Kind), now=now)


def _canonical(value: str) -> str | None:
    """A GUID however it is spelled; what is none is nobody's."""
    try:
        return str(uuid.UUID(value)) if len(value) <= 40 else None
    except ValueError:
        return None
