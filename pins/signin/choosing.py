"""Whether a PIN may be chosen: long enough for the tenant, not weak, nothing of its holder in it."""

from collections.abc import Iterable
from typing import ClassVar

from accounts.refusals import Refusal
from pins.policy import LONGEST, personal, weakness
from pins.signin.models import SignInSettings


class PinMissing(Refusal):
    code = "pin_missing"
    field: ClassVar[str | None] = "pin"
    text = "A PIN is needed."


class PinUnusable(Refusal):
    code = "pin_unusable"
    field: ClassVar[str | None] = "pin"


class PinWeak(Refusal):
    code = "pin_weak"
    field: ClassVar[str | None] = "pin"


def refuse_unfit(pin: str, settings: SignInSettings) -> None:
    """Refuse what is no PIN of the tenant's length, and what anybody might guess."""
    if not pin:
        raise PinMissing
    if not (pin.isascii() and pin.isdecimal()):
        raise PinUnusable("A PIN has digits only.")
    if not settings.pin_length <= len(pin) <= LONGEST:
        raise PinUnusable(
            f"A PIN has {settings.pin_length} to {LONGEST} digits."
            if settings.pin_length < LONGEST
            else f"A PIN has {LONGEST} digits."
        )
    if weak := weakness(pin):
        raise PinWeak(f"This PIN is easy to guess: it is {weak.words}. Choose another one.")


def refuse_personal(pin: str, phones: Iterable[str]) -> None:
    """Refuse a PIN that somebody who knows the holder might guess."""
    if weak := personal(pin, phones=[phone for phone in phones if phone]):
        raise PinWeak(f"This PIN is easy to guess: it is {weak.words}. Choose another one.")
