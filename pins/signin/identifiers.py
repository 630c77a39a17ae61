"""What somebody types to say who they are: an e-mail address, a user name or a phone number.

An identifier is brought into one form, then looked up or counted; that nobody has it shows nowhere.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from phonenumbers import NumberParseException, is_possible_number, parse

from accounts import keys
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.signin.models import Subscriber

LONGEST = 254


class Kind(StrEnum):
    """Each is also the name of its column."""

    EMAIL = "email"
    USER_NAME = "user_name"
    PHONE = "phone"


@dataclass(frozen=True)
class Identifier:
    kind: Kind
    value: str

    @cached_property
    def digest(self) -> str:
        """What tries are counted under: keyed, and the same for whoever types it in whatever case."""
        return keys.digest(f"identifier|{current_tenant_id()}|{self.kind}|{self.value}").hex()

    def holder(self) -> Subscriber | None:
        """The Subscriber whose identifier it is."""
        return Subscriber.objects.filter(**{self.kind: self.value}).first()


def typed(kind: Kind, text: str) -> Identifier:
    """An identifier as it was typed, in the form in which it is kept."""
    text = text.strip()
    if kind == Kind.PHONE:
        return Identifier(kind, re.sub(r"[\s()./-]", "", text))
    return Identifier(kind, text.lower())


class IdentifierUnusable(Refusal):
    code = "identifier_unusable"


def new(kind: Kind, text: str) -> Identifier:
    """An identifier for an account; refuses what is no address, no number, or a user name that cannot be typed."""
    found = typed(kind, text)
    if kind == Kind.EMAIL:
        try:
            validate_email(found.value)
        except ValidationError:
            raise IdentifierUnusable("This is not an e-mail address.", field="Email") from None
    elif kind == Kind.PHONE and not _is_number(found.value):
        raise IdentifierUnusable("Send the phone number with country code, such as +493012345678.", field="PhoneId")
    elif kind == Kind.USER_NAME and not (0 < len(found.value) <= 100 and found.value.isprintable()):
        raise IdentifierUnusable("A user name has 1 to 100 visible characters.", field="UserName")
    return found


def _is_number(value: str) -> bool:
    try:
        return bool(re.fullmatch(r"\+[0-9]{5,19}", value)) and is_possible_number(parse(value))
    except NumberParseException:
        return False
