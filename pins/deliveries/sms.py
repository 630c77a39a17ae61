"""How long a text message is: the GSM alphabet has room for 160 characters, any other sign leaves 70. Pure.

The alphabet and the numbers are those of 3GPP TS 23.038.
"""

from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each takes two places.
_EXTENDED: Final = frozenset("^{}\\[~]|€\f")
# Typographic signs that say the same in the alphabet: one of them would cost more than half of the room.
_PLAINER: Final = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u202f": " "}
)


def plain(text: str) -> str:
    """The same text with plain quotation marks, dashes and blanks."""
    return text.translate(_PLAINER)


def parts(text: str) -> int:
    """How many messages the network makes of it, and charges."""
    if set(text) <= _BASIC | _EXTENDED:
        room, each = 160, 153
        length = len(text) + sum(sign in _EXTENDED for sign in text)
    else:
        room, each = 70, 67
        length = len(text.encode("utf-16-be")) // 2
    return 1 if length <= room else -(-length // each)
