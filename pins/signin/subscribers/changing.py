"""What a Subscriber changes in the own account, and what ends with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accounts import audit
from accounts.refusals import refusing
from pins.deliveries import queueing
from pins.signin import counting, pin, tokens
from pins.signin.account import of_subscriber
from pins.signin.counting import About
from pins.signin.models import SignInSettings, Subscriber, Token
from pins.signin.pin import Checked
from pins.signin.subscribers import questions
from pins.signin.subscribers.registering import TAKEN, Wanted, hashed, name, phones_of
from pins.signin.subscribers.signing_in import PASSWORD, Locked, NotRecognised, is_password, refuse_where_off
from pins.throttle.attempts import Subject, Waiting

_SESSIONS = [Token.Kind.SESSION]
_LOGINS = [Token.Kind.ACCESS, Token.Kind.REFRESH]


@dataclass(frozen=True)
class Change:
    """What is to be other than it is; None leaves a thing as it was."""

    first_name: str | None = None
    last_name: str | None = None
    email: str = ""
    user_name: str = ""
    phone: str = ""
    pin: str = field(default="", repr=False)
    is_skipped: bool = False
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)


def change(subscriber: Subscriber, wanted: Change, *, by: audit.Actor, now: datetime) -> None:
    """Change a profile, and set or skip a PIN that is not set yet; all of it or nothing."""
    settings = SignInSettings.of_tenant()
    if wanted.pin or wanted.is_skipped:
        refuse_where_off(settings)
    with refusing(*TAKEN):
        changed = _change_fields(subscriber, wanted)
        if changed:
            subscriber.changed_at = now
            subscriber.save()
            audit.record("change", "subscriber", subscriber.pk, by=by, now=now, fields=changed)
        if wanted.answers:
            questions.answer(subscriber, wanted.answers, by=by, now=now)
        account = of_subscriber(subscriber.pk)
        if wanted.pin:
            pin.set_pin(account, wanted.pin, by=by, now=now, phones=phones_of(subscriber))
        elif wanted.is_skipped and not settings.is_required:
            pin.skip_pin(account, by=by, now=now)


def _change_fields(subscriber: Subscriber, wanted: Change) -> list[str]:
    columns = ("first_name", "last_name", "email", "user_name", "phone")
    before = {column: getattr(subscriber, column) for column in columns}
    name(subscriber, Wanted(email=wanted.email, user_name=wanted.user_name, phone=wanted.phone))
    if wanted.first_name is not None:
        subscriber.first_name = wanted.first_name[:100]
    if wanted.last_name is not None:
        subscriber.last_name = wanted.last_name[:100]
    return [column for column in columns if getattr(subscriber, column) != before[column]]


def change_password(token: Token, old: str, new: str, *, by: audit.Actor, now: datetime) -> None:
    """Replace a password by another, if the old one is right (counted); ends all PIN sessions and other logins."""
    subscriber = token.subscriber
    about = About(Subject(PASSWORD, of_subscriber(subscriber.pk).key), "subscriber", subscriber.pk, "password")
    new_hash = hashed(new)
    attempt = counting.begin(about, SignInSettings.of_tenant(), entry=old, by=by, now=now)
    if isinstance(attempt, Waiting):
        raise Locked(locked_until=now + timedelta(seconds=attempt.retry_after))
    if not is_password(subscriber, old):
        counting.wrong(attempt, about, by=by, now=now)
        raise NotRecognised("This is not your password.", field="OldPassword")
    counting.right(attempt, about, by=by, now=now)
    _set_password(subscriber, new_hash, by=by, now=now)
    tokens.revoke(subscriber.pk, _LOGINS, now=now, but_family=token.family)


def set_password(subscriber: Subscriber, new: str, *, by: audit.Actor, now: datetime) -> None:
    """Replace a password without the old one, as the tenant's own server may; ends every session and login."""
    _set_password(subscriber, hashed(new), by=by, now=now)
    tokens.revoke(subscriber.pk, _LOGINS, now=now)


def _set_password(subscriber: Subscriber, new_hash: str, *, by: audit.Actor, now: datetime) -> None:
    subscriber.password, subscriber.password_set_at = new_hash, now
    subscriber.save(update_fields=["password", "password_set_at"])
    tokens.revoke(subscriber.pk, _SESSIONS, now=now)
    audit.record("change_password", "subscriber", subscriber.pk, by=by, now=now)


def change_pin(token: Token, old: str, new: str, *, by: audit.Actor, now: datetime) -> Checked:
    """Replace a PIN by another, if the old one is right; ends all other logins."""
    subscriber = token.subscriber
    refuse_where_off(SignInSettings.of_tenant())
    account = of_subscriber(subscriber.pk)
    checked = pin.change_pin(account, old, new, by=by, now=now, phones=phones_of(subscriber))
    if checked.is_right:
        tokens.revoke(subscriber.pk, _LOGINS, now=now, but_family=token.family)
    return checked


def end_pin_sessions(subscriber: Subscriber, *, by: audit.Actor, now: datetime) -> None:
    """End every PIN session of an account."""
    tokens.revoke(subscriber.pk, _SESSIONS, now=now)
    audit.record("end_pin_sessions", "subscriber", subscriber.pk, by=by, now=now)


def erase(subscriber: Subscriber, *, by: audit.Actor, now: datetime) -> None:
    """Delete an account with everything it holds; what the audit says of it stays, by number."""
    number = subscriber.pk
    queueing.forget("subscriber", [number], now=now)
    subscriber.delete()
    audit.record("delete", "subscriber", number, by=by, now=now)
