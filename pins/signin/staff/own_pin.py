"""The sign-in PIN of a member of staff: the engine's, with its answers turned into refusals for the screens."""

from datetime import datetime

from django.utils import timezone

from accounts import audit
from accounts.models import Membership
from accounts.refusals import Refusal
from pins.signin import pin
from pins.signin.account import of_member
from pins.signin.models import SignInSettings
from pins.signin.staff import notices


class WrongPin(Refusal):
    code = "wrong_pin"
    field = "pin"
    text = "This PIN is not right."


class PinLocked(Refusal):
    code = "pin_locked"
    status = 429
    field = "pin"
    text = "Too many wrong PINs. Sign in with your password."


class NoPin(Refusal):
    code = "no_pin"
    field = "pin"
    text = "You have no PIN yet. Sign in with your password."


def has_pin(membership_id: int) -> bool:
    """Whether this member can unlock and confirm with a PIN."""
    return pin.state(of_member(membership_id)).is_set


def set_at(membership_id: int) -> datetime | None:
    """Since when this member has the PIN that they have."""
    state = pin.state(of_member(membership_id))
    return state.set_at if state.is_set else None


def length() -> int:
    """How many digits a PIN has here at least."""
    return SignInSettings.of_tenant().pin_length


def check(membership_id: int, entry: str, *, by: audit.Actor, now: datetime) -> None:
    """Refuse a wrong PIN, which is counted, and any PIN during a lock; the caller's transaction must commit."""
    _refuse(pin.check_pin(of_member(membership_id), _digits(entry), by=by, now=now), now)


def choose(membership_id: int, entry: str, *, by: audit.Actor, now: datetime) -> None:
    """Give a member their PIN, in place of a forgotten one; refuses what is easy to guess."""
    account = of_member(membership_id)
    if pin.state(account).is_set:
        pin.reset_pin(account, _digits(entry), by=by, now=now)
        _tell(membership_id, notices.PIN_CHANGED, now)
    else:
        pin.set_pin(account, _digits(entry), by=by, now=now)


def change(membership_id: int, current: str, entry: str, *, by: audit.Actor, now: datetime) -> None:
    """Replace a PIN by another, if the one until now is right."""
    checked = pin.change_pin(of_member(membership_id), _digits(current), _digits(entry), by=by, now=now)
    _refuse(checked, now, field="current")
    _tell(membership_id, notices.PIN_CHANGED, now)


class NothingToReset(Refusal):
    code = "no_pin"
    text = "This person has no PIN to reset."


def reset(membership: Membership, *, by: audit.Actor, now: datetime) -> None:
    """Take a member's PIN away, so that they choose a new one after their next sign-in; they are told."""
    if not has_pin(membership.pk):
        raise NothingToReset
    pin.remove_pin(of_member(membership.pk), by=by, now=now)
    notices.tell(membership.user, notices.PIN_RESET, now=now)


def forget(membership_id: int, *, by: audit.Actor, now: datetime) -> None:
    """Take away what is left from an earlier time on the staff."""
    if has_pin(membership_id):
        pin.remove_pin(of_member(membership_id), by=by, now=now)


def _refuse(checked: pin.Checked, now: datetime, *, field: str = "pin") -> None:
    if checked.is_right:
        return
    if checked.outcome == pin.Outcome.NO_PIN:
        raise NoPin(field=field)
    if checked.locked_until is not None:
        clock = timezone.localtime(checked.locked_until)
        day = "" if clock.date() == timezone.localtime(now).date() else f" on {clock:%d %B}"
        raise PinLocked(f"Too many wrong PINs. Until {clock:%H:%M}{day} only your password signs you in.", field=field)
    left = checked.tries_left
    raise WrongPin(f"This PIN is not right. {left} {'try is' if left == 1 else 'tries are'} left.", field=field)


def _tell(membership_id: int, notice: notices.Notice, now: datetime) -> None:
    notices.tell(Membership.objects.select_related("user").get(pk=membership_id).user, notice, now=now)


def _digits(entry: str) -> str:
    return "".join(entry.split())
