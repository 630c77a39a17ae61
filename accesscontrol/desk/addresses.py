"""What a receptionist types as name and number, read as what the records keep. Pure."""

from functools import cache
from importlib.resources import files

from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number, parse


def split_name(name: str) -> tuple[str, str]:
    """First name and the rest: “Ann Marie Arbor” is Ann, Marie Arbor."""
    first, _, last = " ".join(name.split()).partition(" ")
    return first, last


def as_mobile(text: str, time_zone: str) -> str | None:
    """A phone number as E.164; one without country code is read as of the zone's country. None for what is none."""
    try:
        number = parse(text, _countries().get(time_zone))
    except NumberParseException:
        return None
    return format_number(number, PhoneNumberFormat.E164) if is_possible_number(number) else None


@cache
def _countries() -> dict[str, str]:
    """Time zone to country, from the time zone database."""
    rows = (files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8").splitlines()
    return {zone: country for country, _, zone, *_ in (row.split("\t") for row in rows if not row.startswith("#"))}
