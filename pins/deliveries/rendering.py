"""Words from a template, in the receiver's language: a subject, a text and an HTML part, or a text message.

A subject never gets to see a PIN. Instants arrive as text in their zone; only the PIN is grouped here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation.trans_real import get_supported_language_variant

from accounts.colours import STANDARD, ink_on
from accounts.models import TenantLogo
from pins.deliveries.sms import plain

# Mail servers log subjects, and locked phones show them.
_NEVER_IN_A_SUBJECT: Final = frozenset({"pin", "code", "link"})


@dataclass(frozen=True, repr=False)
class Email:
    """One rendered e-mail; without a repr, since the text holds the PIN."""

    subject: str
    text: str
    html: str
    sender_name: str
    files: tuple["File", ...] = field(default=())
    # A PNG that stands in the HTML as cid:logo.
    logo: bytes | None = None


@dataclass(frozen=True, repr=False)
class File:
    """What is attached to an e-mail."""

    name: str
    content: str
    type: str


def render_email(template: str, *, language: str, context: Mapping[str, Any], logo: TenantLogo | None = None) -> Email:
    """The parts of one e-mail, from templates/deliveries/<template>.subject.txt, .txt and .html."""
    # Half of its dots: fine screens show all.
    shown = _shown(context) | ({"logo": {"width": logo.width // 2, "height": logo.height // 2}} if logo else {})
    with translation.override(known_language(language)):
        shown["language"], shown["is_rtl"] = translation.get_language(), translation.get_language_bidi()
        subject = {key: value for key, value in shown.items() if key not in _NEVER_IN_A_SUBJECT}
        return Email(
            # A line break in a name must not become a header of its own.
            subject=" ".join(render_to_string(f"deliveries/{template}.subject.txt", subject).split()),
            text=_tidy(render_to_string(f"deliveries/{template}.txt", shown)),
            html=render_to_string(f"deliveries/{template}.html", shown),
            sender_name=str(context.get("tenant_name", "")),
            files=tuple(_files(context)),
            logo=bytes(logo.image) if logo else None,
        )


def render_sms(template: str, *, language: str, context: Mapping[str, Any]) -> str:
    """One text message, from templates/deliveries/<template>.sms.txt."""
    with translation.override(known_language(language)):
        return plain(" ".join(render_to_string(f"deliveries/{template}.sms.txt", _shown(context)).split()))


def known_language(language: str) -> str:
    """The nearest language this product speaks: "de-CH" is "de", what nobody knows is English."""
    try:
        return get_supported_language_variant(language.lower())
    except LookupError:
        return str(settings.LANGUAGE_CODE)


def grouped(pin: str) -> str:
    """A PIN as it is read aloud: 8 digits as 00-00-0000, others in threes, the last group up to four."""
    if len(pin) == 8:
        return f"{pin[:2]}-{pin[2:4]}-{pin[4:]}"
    if len(pin) < 6:
        return pin
    groups = [pin[at : at + 3] for at in range(0, len(pin), 3)]
    if len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return " ".join(groups)


def _shown(context: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in context.items() if name != "calendar"}
    colour = str(shown.get("colour") or STANDARD)
    shown["colour"], shown["ink"] = colour, ink_on(colour)
    if shown.get("pin"):
        shown["pin"] = grouped(str(shown["pin"]))
    return shown


def _files(context: Mapping[str, Any]) -> Iterator[File]:
    """An entry for the receiver's calendar, where whoever queued has brought one."""
    if entry := context.get("calendar"):
        yield File("visit.ics", entry["text"], f"text/calendar; method={entry['method']}")


def _tidy(text: str) -> str:
    """Lines without trailing blanks, and never two empty ones in a row, where a template had tags."""
    lines: list[str] = []
    for line in (line.rstrip() for line in text.strip().splitlines()):
        if line or lines[-1:] != [""]:
            lines.append(line)
    return "\n".join(lines) + "\n"
