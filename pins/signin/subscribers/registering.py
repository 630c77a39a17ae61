"""A Subscriber begins: what they sign in with is theirs alone in the tenant, their password is hard to guess."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import CommonPasswordValidator, MinimumLengthValidator, validate_password
from django.core.exceptions import ValidationError

from accounts import audit
from accounts.refusals import Refusal, refusing
from pins.signin import identifiers, pin
from pins.signin.account import of_subscriber
from pins.signin.choosing import PinMissing, refuse_personal, refuse_unfit
from pins.signin.identifiers import Kind
from pins.signin.models import SignInSettings, Subscriber

# NIST SP 800-63B-4: 8 characters beside a second factor, and at least 64 may be used.
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 256
_VALIDATORS: Sequence[Any] = [MinimumLengthValidator(SHORTEST_PASSWORD), CommonPasswordValidator()]


class EmailTaken(Refusal):
    code = "email_taken"
    field = "Email"
    text = "There is an account with this e-mail address."
    constraint = "subscriber_email_unique"


class UserNameTaken(Refusal):
    code = "user_name_taken"
    field = "UserName"
    text = "There is an account with this user name."
    constraint = "subscriber_user_name_unique"


class PhoneTaken(Refusal):
    code = "phone_taken"
    field = "PhoneId"
    text = "There is an account with this phone number."
    constraint = "subscriber_phone_unique"


TAKEN = (EmailTaken, UserNameTaken, PhoneTaken)


class NothingToSignInWith(Refusal):
    code = "nothing_to_sign_in_with"
    field = "Email"
    text = "An account needs an e-mail address, a user name or a phone number."


class PinIsOff(Refusal):
    code = "pin_is_off"
    text = "PIN sign-in is switched off."


@dataclass(frozen=True)
class Wanted:
    """What a new account is made from; `pin` "" for none, `is_skipped` when its holder was asked and put it off."""

    email: str = ""
    user_name: str = ""
    phone: str = ""
    password: str = field(default="", repr=False)
    first_name: str = ""
    last_name: str = ""
    pin: str = field(default="", repr=False)
    is_skipped: bool = False


def register(wanted: Wanted, *, by: audit.Actor, now: datetime, is_asked: bool = True) -> Subscriber:
    """Add an account; refuses identifiers that are taken, weak passwords and PINs, and none where one `is_asked`."""
    settings = SignInSettings.of_tenant()
    subscriber = Subscriber(created_at=now, changed_at=now, password_set_at=now)
    name(subscriber, wanted)
    if not (subscriber.email or subscriber.user_name or subscriber.phone):
        raise NothingToSignInWith
    subscriber.first_name, subscriber.last_name = wanted.first_name[:100], wanted.last_name[:100]
    if wanted.pin and not settings.is_on:
        raise PinIsOff
    if wanted.pin:
        refuse_unfit(wanted.pin, settings)
        refuse_personal(wanted.pin, [subscriber.phone or ""])
    elif is_asked and settings.is_required and settings.asked_at_registration:
        raise PinMissing
    subscriber.password = hashed(wanted.password)
    with refusing(*TAKEN):
        subscriber.save(force_insert=True)
    audit.record("register", "subscriber", subscriber.pk, by=by, now=now)
    account = of_subscriber(subscriber.pk)
    if wanted.pin:
        pin.set_pin(account, wanted.pin, by=by, now=now, phones=phones_of(subscriber))
    elif wanted.is_skipped and settings.is_on and not settings.is_required:
        pin.skip_pin(account, by=by, now=now)
    return subscriber


def name(subscriber: Subscriber, wanted: Wanted) -> None:
    """Give an account the identifiers that are named; refuses what is none."""
    if wanted.email:
        subscriber.email = identifiers.new(Kind.EMAIL, wanted.email).value
    if wanted.user_name:
        subscriber.user_name = identifiers.new(Kind.USER_NAME, wanted.user_name).value
        subscriber.user_name_shown = wanted.user_name.strip()
    if wanted.phone:
        subscriber.phone = identifiers.new(Kind.PHONE, wanted.phone).value


class PasswordUnusable(Refusal):
    code = "password_unusable"
    field = "Password"


def hashed(password: str) -> str:
    """The slow hash of a new password; refuses one that is short, common or longer than anybody types."""
    if len(password) > LONGEST_PASSWORD:
        raise PasswordUnusable(f"A password has {LONGEST_PASSWORD} characters at most.")
    try:
        validate_password(password, password_validators=_VALIDATORS)
    except ValidationError as error:
        raise PasswordUnusable(" ".join(error.messages)) from None
    return make_password(password)


def phones_of(subscriber: Subscriber) -> Iterable[str]:
    """Numbers that must not be in the holder's PIN."""
    return [subscriber.phone] if subscriber.phone else []
