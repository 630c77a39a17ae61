"""Where a person can be written to, and in which language."""

from typing import Final

from accesscontrol.people.models import Person
from accounts.models import Tenant
from accounts.refusals import Refusal
from pins.deliveries.rendering import known_language

MEDIA: Final = ("email", "sms")


class NoAddress(Refusal):
    code = "no_address"
    field = "deliver"
    text = "This person has no e-mail address."


class UnknownMedium(Refusal):
    code = "invalid"
    field = "deliver"
    text = "Write “email” or “sms”, or leave it out."


def address_of(person: Person, medium: str) -> str:
    """Where a message of this medium goes; refuses where the person has no such address."""
    if medium not in MEDIA:
        raise UnknownMedium
    address = person.email if medium == "email" else person.mobile
    if not address:
        raise NoAddress(None if medium == "email" else "This person has no mobile number.")
    return address


def is_reachable(person: Person, medium: str) -> bool:
    """Whether the person has an address of this medium."""
    return bool(person.email if medium == "email" else person.mobile)


def language_of(person: Person, tenant: Tenant) -> str:
    """The language that somebody is written to in: one of the product's, whatever an integration has written."""
    return known_language(person.language or tenant.language)
