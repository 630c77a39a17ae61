"""Sign in: by password, by PIN while a PIN session lives, or by setting the PIN that a login asked for.

A wrong password or PIN is counted before its Refusal is raised: let the transaction commit. Unknown accounts take
the same work, count and lock as known ones.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.hashers import check_password, make_password

from accounts import audit
from accounts.refusals import Refusal
from pins.signin import counting, pin, tokens
from pins.signin.account import of_subscriber
from pins.signin.counting import About
from pins.signin.identifiers import Identifier
from pins.signin.models import SignInSettings, Subscriber, Token
from pins.signin.pin import Checked
from pins.signin.subscribers.registering import LONGEST_PASSWORD, PinIsOff, phones_of
from pins.throttle.attempts import Subject, Waiting

REFRESH_LIFE: Final = timedelta(days=60)
PIN_AUTH_LIFE: Final = timedelta(minutes=10)
# What wrong entries are counted under, beside the PIN's own.
PASSWORD, RESET, RECOVERY = "sign_in_password", "sign_in_reset", "sign_in_recovery"


@dataclass(frozen=True)
class SignedIn:
    """Who signed in and, this once, their tokens; without a session token where PIN sign-in is off."""

    subscriber: Subscriber
    access_token: str = field(repr=False)
    expires_at: datetime
    refresh_token: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    session_expires_at: datetime | None = None


@dataclass(frozen=True)
class PinDemanded:
    """The account needs a PIN first; the token sets it, once."""

    pin_auth_token: str = field(repr=False)
    expires_at: datetime


class NotRecognised(Refusal):
    code = "not_recognised"
    status = 401
    text = "This account and this password do not belong together."


class Locked(Refusal):
    """`locked_until` is in its facts."""

    code = "locked"
    status = 403
    text = "Too many wrong entries. Wait, then try again."


class Blocked(Refusal):
    code = "blocked"
    status = 403
    text = "This account is blocked."


def by_password(identifier: Identifier, password: str, *, by: audit.Actor, now: datetime) -> SignedIn | PinDemanded:
    """Sign in at the first level; refuses what does not belong together, and anything while locked."""
    settings = SignInSettings.of_tenant()
    subscriber = identifier.holder()
    about = about_identifier(identifier, subscriber, "password")
    attempt = counting.begin(about, settings, entry=password, by=by, now=now)
    if isinstance(attempt, Waiting):
        raise Locked(locked_until=now + timedelta(seconds=attempt.retry_after))
    if not is_password(subscriber, password):
        counting.wrong(attempt, about, by=by, now=now)
        raise NotRecognised
    assert subscriber is not None
    counting.right(attempt, about, by=by, now=now)
    return at_first_level(subscriber, by=by, now=now)


def at_first_level(subscriber: Subscriber, *, by: audit.Actor, now: datetime) -> SignedIn | PinDemanded:
    """Sign in somebody whom the caller has made sure of; opens a PIN session, or demands a PIN that is missing."""
    settings = SignInSettings.of_tenant()
    if subscriber.blocked_at is not None:
        raise Blocked
    if settings.is_required and not pin.state(of_subscriber(subscriber.pk)).is_set:
        opened = tokens.open_token(Token.Kind.PIN_AUTH, subscriber.pk, life=PIN_AUTH_LIFE, now=now)
        audit.record("demand_pin", "subscriber", subscriber.pk, by=by, now=now)
        return PinDemanded(opened.value, opened.token.expires_at)
    return _let_in(subscriber, settings, by=by, now=now)


def by_setting_pin(token: Token, new_pin: str, *, by: audit.Actor, now: datetime) -> SignedIn | PinDemanded:
    """Finish a login that demanded a PIN; refuses like `set_pin`, and the token stays good for another try."""
    subscriber = token.subscriber
    if not SignInSettings.of_tenant().is_on:
        raise PinIsOff
    pin.set_pin(of_subscriber(subscriber.pk), new_pin, by=by, now=now, phones=phones_of(subscriber))
    tokens.use(token, now=now)
    return at_first_level(subscriber, by=by, now=now)


class PinLoginIsOff(Refusal):
    code = "pin_login_is_off"
    text = "Signing in with the PIN alone is switched off."


def by_pin(session: Token, session_token: str, entry: str, *, by: audit.Actor, now: datetime) -> SignedIn | Checked:
    """Sign in again while a PIN session lives, which goes on and ends as before; a wrong PIN is answered as such."""
    settings = SignInSettings.of_tenant()
    refuse_where_off(settings)
    if not settings.pin_login:
        raise PinLoginIsOff
    subscriber = session.subscriber
    if subscriber.blocked_at is not None:
        raise Blocked
    checked = pin.check_pin(of_subscriber(subscriber.pk), entry, by=by, now=now)
    if not checked.is_right:
        return checked
    signed_in = _let_in(subscriber, settings, by=by, now=now, opens_session=False)
    # A PIN alone must never lengthen what a password has opened.
    return SignedIn(
        subscriber,
        signed_in.access_token,
        signed_in.expires_at,
        signed_in.refresh_token,
        session_token,
        session.expires_at,
    )


def refresh(token: Token, *, by: audit.Actor, now: datetime) -> SignedIn:
    """Another access token for a refresh token, which works once; the one it came with ends."""
    subscriber = token.subscriber
    if subscriber.blocked_at is not None:
        raise Blocked
    tokens.use(token, now=now)
    tokens.revoke_family(token, now=now)
    return _let_in(subscriber, SignInSettings.of_tenant(), by=by, now=now, opens_session=False)


def refuse_where_off(settings: SignInSettings) -> None:
    """Refuse everything with a PIN where the tenant wants none."""
    if not settings.is_on:
        raise PinIsOff


def about_identifier(identifier: Identifier, subscriber: Subscriber | None, what: str) -> About:
    """What is counted for an identifier that was typed, nobody's too."""
    subject = Subject(PASSWORD if what == "password" else RESET, identifier.digest)
    if subscriber is None:
        return About(subject, "identifier", identifier.digest[:16], what)
    return About(subject, "subscriber", subscriber.pk, what)


def is_password(subscriber: Subscriber | None, password: str) -> bool:
    """Compare with the slow hash; nobody's password takes as long."""
    password = password[:LONGEST_PASSWORD]
    if subscriber is None:
        # The same slow hash as a wrong password of somebody.
        make_password(password)
        return False

    def keep(raw: str) -> None:
        subscriber.password = make_password(raw)
        subscriber.save(update_fields=["password"])

    return check_password(password, subscriber.password, keep)


def _let_in(
    subscriber: Subscriber, settings: SignInSettings, *, by: audit.Actor, now: datetime, opens_session: bool = True
) -> SignedIn:
    family = uuid.uuid4()
    access = tokens.open_token(
        Token.Kind.ACCESS, subscriber.pk, life=settings.access_token_life, now=now, family=family
    )
    renewing = tokens.open_token(Token.Kind.REFRESH, subscriber.pk, life=REFRESH_LIFE, now=now, family=family)
    subscriber.logins, subscriber.last_login_at = subscriber.logins + 1, now
    subscriber.save(update_fields=["logins", "last_login_at"])
    audit.record("sign_in", "subscriber", subscriber.pk, by=by, now=now)
    found = SignedIn(subscriber, access.value, access.token.expires_at, renewing.value)
    if not (opens_session and settings.is_on):
        return found
    session = tokens.open_token(Token.Kind.SESSION, subscriber.pk, life=settings.session_life, now=now, family=family)
    return SignedIn(
        subscriber, found.access_token, found.expires_at, found.refresh_token, session.value, session.token.expires_at
    )
