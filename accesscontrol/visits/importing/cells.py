"""What one cell says: the value to be written, or why it is none. Pure, but for the tenant's time zone."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import CredentialType
from accesscontrol.people.models import Group, Person
from accesscontrol.visits.importing.columns import folded
from accounts.refusals import Refusal

_YES = {
    "1",
    "yes",
    "y",
    "true",
    "on",
    "active",
    "enabled",
    "x",
    "ja",
    "j",
    "wahr",
    "aktiv",
    "si",
    "verdadero",
    "activo",
}
_NO = {
    "0", "no", "n", "false", "off", "inactive", "disabled", "nein", "falsch", "inaktiv", "gesperrt", "falso",
    "inactivo",
}  # fmt: skip
_KINDS = {
    **dict.fromkeys(("person", "employee", "staff", "mitarbeiter", "mitarbeiterin", "empleado"), Person.Kind.PERSON),
    **dict.fromkeys(("visitor", "guest", "besucher", "besucherin", "gast", "visitante"), Person.Kind.VISITOR),
}
_LANGUAGES = {
    **{folded(word): code for code, word in settings.LANGUAGES},
    **{folded(code): code for code, _ in settings.LANGUAGES},
    "german": "de",
    "aleman": "de",
    "englisch": "en",
    "ingles": "en",
    "spanisch": "es",
    "spanish": "es",
    "espanol": "es",
    "chinese": "zh-hans",
    "chinesisch": "zh-hans",
    "chino": "zh-hans",
}
_DATE = re.compile(r"(?P<a>\d{1,4})(?P<sign>[-./])(?P<b>\d{1,2})(?P=sign)(?P<c>\d{1,4})")
_TIME = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:\d{2})?")


class Unfit(Exception):
    """A cell that is no value of its column; the words never repeat what stands there."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


@dataclass(frozen=True)
class Manner:
    """How a file writes things: `day_first` for dates with slashes, and the country of short numbers."""

    day_first: bool
    country_code: str
    zone: ZoneInfo


def value_of(name: str, cell: str, manner: Manner) -> Any:
    """The value of a cell that is not empty; raises Unfit."""
    reader = _READERS.get(name)
    return reader(name, cell, manner) if reader else _text(name, cell)


def split_name(cell: str) -> tuple[str, str]:
    """First and last name of “Ann Archer” and of “Archer, Ann”."""
    if "," in cell:
        last, _, first = (part.strip() for part in cell.partition(","))
        return (first, last) if first else (last, "")
    first, _, last = (part.strip() for part in cell.rpartition(" "))
    return (first, last) if first else (last, "")


def groups_of(cell: str) -> list[str]:
    """The names in a cell, apart by semicolons, bars or line breaks, or else by commas."""
    parts = re.split(r"[;|\n]", cell)
    if len(parts) == 1:
        parts = cell.split(",")
    longest = Group._meta.get_field("name").max_length or 0
    names = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if any(len(name) > longest for name in names):
        raise Unfit("groups", f"The name of a group has at most {longest} letters.")
    return names


def _text(name: str, cell: str) -> str:
    field: Any = Person._meta.get_field(name)
    if field.max_length and len(cell) > field.max_length:
        raise Unfit(name, f"This is too long: {field.max_length} letters at most.")
    try:
        field.run_validators(cell)
    except ValidationError as error:
        raise Unfit(name, " ".join(error.messages)) from None
    return cell


def _email(name: str, cell: str, manner: Manner) -> str:
    try:
        return _text(name, cell.removeprefix("mailto:"))
    except Unfit:
        raise Unfit(name, "This is no e-mail address.") from None


def _mobile(name: str, cell: str, manner: Manner) -> str:
    number = re.sub(r"[\s()./-]|\(0\)", "", cell.replace("(0)", ""))
    if number.startswith("00"):
        number = "+" + number[2:]
    elif manner.country_code and number.startswith("0"):
        number = manner.country_code + number[1:]
    return _text(name, number)


def _yes_or_no(name: str, cell: str, manner: Manner) -> bool:
    word = folded(cell)
    if word not in _YES | _NO:
        raise Unfit(name, "Write yes or no.")
    return word in _YES


def _kind(name: str, cell: str, manner: Manner) -> str:
    kind = _KINDS.get(folded(cell))
    if kind is None:
        raise Unfit(name, "Write person or visitor.")
    return kind


def _language(name: str, cell: str, manner: Manner) -> str:
    code = _LANGUAGES.get(folded(cell))
    if code is None:
        raise Unfit(name, f"Write one of: {', '.join(code for code, _ in settings.LANGUAGES)}.")
    return code


def _card(name: str, cell: str, manner: Manner) -> str:
    try:
        return lifecycle.well_formed(CredentialType.CARD, re.sub(r"\s", "", cell))
    except Refusal as refusal:
        raise Unfit(name, refusal.sentence) from None


def _day(name: str, cell: str, manner: Manner) -> date:
    found = _DATE.fullmatch(cell.strip().rstrip("."))
    if found is None:
        raise Unfit(name, "This is no date, such as 2026-07-31 or 31.07.2026.")
    a, b, c = (int(found[part]) for part in "abc")
    if len(found["a"]) == 4:
        year, month, day = a, b, c
    else:
        day, month, year = (b, a, c) if found["sign"] == "/" and not manner.day_first else (a, b, c)
        if len(found["c"]) != 4:
            raise Unfit(name, "Write the year with four digits.")
    try:
        return date(year, month, day)
    except ValueError:
        raise Unfit(name, "There is no such day. Are dates written month first in this file?") from None


def _moment(name: str, cell: str, manner: Manner) -> datetime:
    """A day begins at its midnight; the last day is meant whole."""
    words = cell.replace("T", " ").split()
    day = _day(name, words[0] if words else "", manner)
    if len(words) == 1:
        if name == "valid_to":
            day += timedelta(days=1)
        clock = time()
    else:
        found = _TIME.fullmatch(words[1]) if len(words) == 2 else None
        if found is None or int(found["hour"]) > 23 or int(found["minute"]) > 59:
            raise Unfit(name, "This is no time, such as 2026-07-31 17:30.")
        clock = time(int(found["hour"]), int(found["minute"]))
    return datetime.combine(day, clock, manner.zone)


_READERS: dict[str, Callable[[str, str, Manner], Any]] = {
    "email": _email,
    "mobile": _mobile,
    "enabled": _yes_or_no,
    "kind": _kind,
    "language": _language,
    "card": _card,
    "birthday": _day,
    "valid_from": _moment,
    "valid_to": _moment,
}
