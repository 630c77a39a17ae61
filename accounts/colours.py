"""A tenant's colour on messages and public pages, and the text that can be read on it. Pure."""

import re
from typing import Final

from django.core.exceptions import ValidationError

STANDARD: Final = "#1f5f8b"
DARK_INK: Final = "#000000"
LIGHT_INK: Final = "#ffffff"


def known_colour(value: str) -> None:
    """Refuse what is not a colour of six hexadecimal digits."""
    if not re.fullmatch(r"#[0-9a-f]{6}", value, re.ASCII):
        raise ValidationError("Write the colour as # and six digits from 0 to f, such as #1f5f8b.")


def ink_on(colour: str) -> str:
    """Dark or light text, whichever reads better on this colour: at least 4.5 to 1 on any (WCAG 2.2, 1.4.3)."""
    return max((LIGHT_INK, DARK_INK), key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21, as WCAG defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
