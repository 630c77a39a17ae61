"""A list of guests as people paste it: one a line, name and address apart by tabs, semicolons or commas. Pure."""

import re
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from accesscontrol.people.models import e164, one_line

LONGEST_NAME = 120
_MAIL_IN_BRACKETS = re.compile(r"^(?P<name>[^<>]*)<(?P<mail>[^<>]+)>$")
_HEADINGS = {"name", "first name", "last name", "vorname", "nachname", "nombre", "e-mail", "email", "mobile", "company"}


@dataclass(frozen=True)
class Guest:
    """One visitor of a list."""

    first_name: str
    last_name: str = ""
    email: str = ""
    mobile: str = ""
    company: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A line that is no guest, counted from 1, and why."""

    line: int
    text: str


def parse_guests(text: str) -> tuple[list[Guest], list[Unreadable]]:
    """The guests, and the lines that cannot be read; empty lines and a line of headings are passed over."""
    guests: list[Guest] = []
    wrong: list[Unreadable] = []
    seen: dict[Guest, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip().strip('"') for cell in re.split(r"[\t;,]", line)]
        if not any(cells) or (not guests and {cell.casefold() for cell in cells if cell} <= _HEADINGS):
            continue
        found = _guest([cell for cell in cells if cell])
        if isinstance(found, str):
            wrong.append(Unreadable(number, found))
        elif found in seen:
            wrong.append(Unreadable(number, _("The same visitor stands in line %(line)d.") % {"line": seen[found]}))
        else:
            seen[found] = number
            guests.append(found)
    return guests, wrong


def _guest(cells: list[str]) -> Guest | str:
    """A guest, or what is wrong with the line."""
    if len(cells) == 1 and (both := _MAIL_IN_BRACKETS.match(cells[0])):
        cells = [both["name"].strip(), both["mail"].strip()]
    names: list[str] = []
    email = mobile = company = ""
    for cell in cells:
        if "@" in cell:
            if email:
                return _("Two e-mail addresses stand here.")
            email = cell
        elif re.fullmatch(r"\+?[\d\s()/.-]{6,}", cell):
            if mobile:
                return _("Two phone numbers stand here.")
            mobile = re.sub(r"[^\d+]", "", cell)
        elif email or mobile or len(names) == 2:
            company = company or cell
        else:
            names.append(cell)
    if not names or not names[0]:
        return _("The name is missing.")
    first, last = names if len(names) == 2 else _split(names[0])
    return _checked(Guest(first, last, email, mobile, company))


def _split(name: str) -> tuple[str, str]:
    first, _space, last = name.rpartition(" ")
    return (first.strip(), last) if first else (last, "")


def _checked(guest: Guest) -> Guest | str:
    if max(len(guest.first_name), len(guest.last_name), len(guest.company)) > LONGEST_NAME:
        return _("A name has at most %(number)d letters.") % {"number": LONGEST_NAME}
    try:
        one_line(guest.first_name + guest.last_name + guest.company)
    except ValidationError:
        return _("There are signs here that no name has.")
    try:
        if guest.email:
            validate_email(guest.email)
    except ValidationError:
        return _("This is not an e-mail address.")
    try:
        if guest.mobile:
            e164(guest.mobile)
    except ValidationError:
        return _("Write phone numbers with country code, such as +493012345678.")
    return guest
