"""What somebody may type to find a person: starts of words, with accents, case and spelling given way to. Pure.

“Müller” is found as muller and as mueller, a telephone number by its first or its last digits, however it is written.
Scripts without spaces are found from any of their signs on.
"""

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress

from phonenumbers import NumberParseException, national_significant_number, parse

LONGEST = 60
# Fewer digits are in too many numbers to mean one.
FEWEST_DIGITS = 3
# Marks the digits of a number read from the end.
FROM_THE_END = "~"
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})
_PLAIN = str.maketrans({"ø": "o", "æ": "ae", "đ": "d", "ł": "l", "ı": "i", "œ": "oe"})
_NUMBER = re.compile(r"\+?[\d\s()/.-]+", re.ASCII)
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]")


def of_person(names: Iterable[str], email: str, phones: Iterable[str]) -> set[str]:
    """All words that a person is found by."""
    words = {start for text in names for spelled in _spellings(text) for start in _starts(spelled)}
    if email:
        words |= {_fold(email), *_split(_fold(email))}
    for phone in phones:
        words |= _of_number(phone)
    return {word[:LONGEST] for word in words if word}


def of_search(text: str) -> list[set[str]]:
    """What must each be found, the longest first: any of the spellings of one typed word."""
    digits = re.sub(r"\D", "", text)
    if _NUMBER.fullmatch(text.strip()) and len(digits) >= FEWEST_DIGITS:
        # Dialled from inside or outside the country, a number begins with zeros that are not kept.
        return [{digits.lstrip("0") or digits, FROM_THE_END + digits[::-1]}]
    if "@" in text.strip() and " " not in text.strip():
        return [{_fold(text.strip())[:LONGEST]}]
    typed = {frozenset(spelled) for spelled in zip(*(_split(one) for one in _spellings(text)), strict=False)}
    terms = [{word[:LONGEST] for word in spelled} for spelled in typed]
    return sorted(terms, key=lambda spelled: (-min(map(len, spelled)), sorted(spelled)))


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).casefold().translate(_PLAIN))
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def _spellings(text: str) -> tuple[str, str]:
    """As it is without its accents, and with the letters that stand for them."""
    lowered = unicodedata.normalize("NFC", text).casefold()
    return _fold(lowered), _fold(lowered.translate(_SPELLED))


def _split(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _starts(text: str) -> Iterable[str]:
    for word in _split(text):
        yield word
        if _UNSPACED.search(word):
            yield from (word[start:] for start in range(1, min(len(word), LONGEST)))


def _of_number(phone: str) -> set[str]:
    digits = re.sub(r"\D", "", phone)
    if len(digits) < FEWEST_DIGITS:
        return set()
    words = {digits.lstrip("0") or digits, FROM_THE_END + digits[::-1]}
    with suppress(NumberParseException):
        words.add(national_significant_number(parse(phone)))
    return words
