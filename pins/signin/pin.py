"""The sign-in PIN of an account: set, change, check, skip, reset, unlock. Staff and Subscribers alike.

A wrong PIN is an answer, no Refusal: it is counted and on record in the transaction of whoever asked, which must
commit. A PIN is nowhere but in the hands of the caller; the row holds a keyed digest bound to tenant and account.
"""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.signin import counting
from pins.signin.account import Account
from pins.signin.choosing import refuse_personal, refuse_unfit
from pins.signin.counting import About
from pins.signin.models import SignInPin, SignInSettings
from pins.throttle import attempts
from pins.throttle.attempts import Subject, Waiting
from pins.vault.keyring import keyring, keyring_with

THROTTLED = "sign_in_pin"


class Outcome(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"
    NO_PIN = "no_pin"


@dataclass(frozen=True)
class Checked:
    """How an entry went; `locked_until` when nothing is looked at before that, `tries_left` after a wrong one."""

    outcome: Outcome
    tries_left: int = 0
    locked_until: datetime | None = None

    @property
    def is_right(self) -> bool:
        return self.outcome == Outcome.RIGHT


@dataclass(frozen=True)
class State:
    """What is known of an account's PIN without the PIN."""

    is_set: bool
    set_at: datetime | None = None
    skipped_at: datetime | None = None


def state(account: Account) -> State:
    """Whether there is a PIN, since when, and whether its holder put it off."""
    row = _row(account)
    if row is None:
        return State(is_set=False)
    return State(is_set=_is_usable(row), set_at=row.set_at, skipped_at=row.skipped_at)


class PinIsSet(Refusal):
    code = "pin_is_set"
    status = 409
    field = "pin"
    text = "There is a PIN already. Change it with the old one, or reset it."


def set_pin(account: Account, pin: str, *, by: audit.Actor, now: datetime, phones: Iterable[str] = ()) -> None:
    """Give an account its first PIN; refuses a second one, a weak one, and part of one of its `phones`."""
    _refuse_unfit(pin, phones)
    row = _locked(account)
    if _is_usable(row):
        raise PinIsSet
    _write(row, account, pin, now)
    audit.record("set_pin", account.kind, account.id, by=by, now=now)


class PinUnchanged(Refusal):
    code = "pin_unchanged"
    field = "pin"
    text = "This is the PIN you have. Choose another one."


def change_pin(
    account: Account, old: str, new: str, *, by: audit.Actor, now: datetime, phones: Iterable[str] = ()
) -> Checked:
    """Replace the PIN by another, if the old one is right; refuses a new one like `set_pin`, and the same again."""
    _refuse_unfit(new, phones)
    checked = check_pin(account, old, by=by, now=now)
    if checked.is_right:
        if new == old:
            raise PinUnchanged
        _write(_locked(account), account, new, now)
        audit.record("change_pin", account.kind, account.id, by=by, now=now)
    return checked


def reset_pin(account: Account, pin: str, *, by: audit.Actor, now: datetime, phones: Iterable[str] = ()) -> None:
    """Replace a forgotten PIN: whoever calls has made sure of the holder in another way. Ends a lock."""
    _refuse_unfit(pin, phones)
    _write(_locked(account), account, pin, now)
    audit.record("reset_pin", account.kind, account.id, by=by, now=now)
    unlock(account, by=by, now=now)


def remove_pin(account: Account, *, by: audit.Actor, now: datetime) -> None:
    """Take a PIN away, and end its lock: its holder chooses another one, or belongs here no more."""
    if SignInPin.objects.filter(**account.columns).delete()[0]:
        audit.record("remove_pin", account.kind, account.id, by=by, now=now)
    unlock(account, by=by, now=now)


def skip_pin(account: Account, *, by: audit.Actor, now: datetime) -> None:
    """Note that the holder does not want a PIN for now; with a PIN it changes nothing."""
    row = _locked(account)
    if not _is_usable(row) and row.skipped_at is None:
        row.skipped_at = now
        row.save(update_fields=["skipped_at"])
        audit.record("skip_pin", account.kind, account.id, by=by, now=now)


def check_pin(account: Account, pin: str, *, by: audit.Actor, now: datetime) -> Checked:
    """Is this the PIN? Counted per account; attempts at the same time stand in line."""
    settings = SignInSettings.of_tenant()
    about = _about(account)
    attempt = counting.begin(about, settings, entry=pin, by=by, now=now)
    if isinstance(attempt, Waiting):
        return Checked(Outcome.LOCKED, locked_until=now + timedelta(seconds=attempt.retry_after))
    row = _row(account)
    if row is None or not _is_usable(row):
        attempt.spared()
        return Checked(Outcome.NO_PIN)
    version = row.key_version or 0
    ring = keyring_with(version)
    if not hmac.compare_digest(bytes(row.digest or b""), _digest(account, pin, ring.fingerprinting[version])):
        counted = counting.wrong(attempt, about, by=by, now=now)
        until = now + timedelta(seconds=counted.retry_after) if counted.retry_after else None
        return Checked(Outcome.WRONG, max(0, settings.failures_allowed - counted.failures), until)
    counting.right(attempt, about, by=by, now=now)
    if version != ring.current:
        # Now, while the PIN is known, so that the older key can be retired.
        row.key_version, row.digest = ring.current, _digest(account, pin, ring.fingerprinting[ring.current])
        row.save(update_fields=["key_version", "digest"])
    return Checked(Outcome.RIGHT)


def unlock(account: Account, *, by: audit.Actor, now: datetime) -> bool:
    """End a lock and forget wrong entries; says whether there were any."""
    return counting.unlock(_about(account), by=by, now=now)


def locked_until(account: Account, now: datetime) -> datetime | None:
    """The end of an account's lock, None when it is open; read, never counted."""
    return attempts.wait_of(_about(account).subject, now)


def _refuse_unfit(pin: str, phones: Iterable[str]) -> None:
    refuse_unfit(pin, SignInSettings.of_tenant())
    refuse_personal(pin, phones)


def _about(account: Account) -> About:
    return About(Subject(THROTTLED, account.key), account.kind, account.id, "pin")


def _row(account: Account) -> SignInPin | None:
    return SignInPin.objects.filter(**account.columns).first()


def _locked(account: Account) -> SignInPin:
    """The account's row, made where there is none; who sets a PIN at the same time waits here."""
    row = SignInPin.objects.select_for_update().filter(**account.columns).first()
    if row is None:
        row, _ = SignInPin.objects.select_for_update().get_or_create(**account.columns)
    return row


def _is_usable(row: SignInPin) -> bool:
    """A PIN whose key is gone can be checked no more: its holder has none, and is asked for another."""
    version = row.key_version
    return version is not None and version in keyring_with(version).keys


def _write(row: SignInPin, account: Account, pin: str, now: datetime) -> None:
    ring = keyring()
    row.key_version, row.digest = ring.current, _digest(account, pin, ring.fingerprinting[ring.current])
    row.set_at, row.skipped_at = now, None
    row.save()


def _digest(account: Account, pin: str, key: bytes) -> bytes:
    bound = ["sign-in pin", current_tenant_id(), account.kind, account.id, pin]
    return hmac.digest(key, json.dumps(bound).encode(), "sha256")
