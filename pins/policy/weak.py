"""Which PINs are weak: those that a rule or a list names, and those that tell something of their holder.

Every rule generates its PINs; the sorted union is the one truth, so `weakness`, `weak_pins` and the generator
cannot disagree. A PIN is 4 to 12 digits; anything else is refused without being repeated in the message.
The first rule in `_RULES` that yields a PIN names it. POLICY_VERSION changes whenever a rule or a list does.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from pins.policy import dates, keypad, known, patterns

POLICY_VERSION = "2026.1"
SHORTEST, LONGEST = 4, 12
_RISING = "012345678901234567890"


@dataclass(frozen=True, slots=True)
class Weakness:
    """Why a PIN is weak: a code for machines, and words that complete "this PIN is ..."."""

    code: str
    words: str


def _halves(length: int) -> Iterator[str]:
    # Below ten digits the rules for patterns cover all halves, weak or not.
    if length in (10, 12):
        for number in _index(length // 2)[0]:
            half = f"{number:0{length // 2}d}"
            yield half + half
            yield half + half[::-1]
            yield "".join(digit * 2 for digit in half)


_RULES: tuple[tuple[Weakness, Callable[[int], Iterator[str]]], ...] = (
    (Weakness("repeated", "one digit repeated"), patterns.repeated),
    (Weakness("run", "a run of digits"), patterns.runs),
    (Weakness("step", "a row of equal steps"), patterns.steps),
    (Weakness("well_known", "a well-known number"), known.well_known),
    (Weakness("year", "a year"), dates.years),
    (Weakness("block", "a short group of digits repeated"), patterns.blocks),
    (Weakness("mirror", "the same forwards and backwards"), patterns.mirrors),
    (Weakness("doubled", "made of doubled digits"), patterns.doubled),
    (Weakness("date", "a date"), dates.dates),
    (Weakness("keypad", "a line or shape on the keypad"), keypad.lines),
    (Weakness("keypad", "a line or shape on the keypad"), keypad.paths),
    (Weakness("keypad", "a line or shape on the keypad"), keypad.corners),
    (Weakness("joined_runs", "two runs of digits joined"), patterns.joined_runs),
    (Weakness("counting", "pairs of digits that count on"), patterns.counted_pairs),
    (Weakness("round", "a round number"), patterns.round_numbers),
    (Weakness("ordered", "digits in order"), patterns.ordered),
    (Weakness("two_digits", "only two different digits"), patterns.two_digits),
    (Weakness("two_digits", "only two different digits"), patterns.lone_digit),
    (Weakness("halves", "an easily guessed half used twice"), _halves),
    (Weakness("joined", "a very common choice made longer"), known.joined),
)
_COMMON = Weakness("common", "one of the most common choices")


def ruled(length: int) -> dict[int, int]:
    """The PINs of one length that rules name, as numbers, with the place of the first rule; lists apart."""
    named: dict[int, int] = {}
    for place, (_, rule) in enumerate(_RULES):
        for pin in rule(length):
            named.setdefault(int(pin), place)
    return named


@cache
def _index(length: int) -> tuple[Sequence[int], bytes]:
    named = ruled(length)
    for pin in known.listed(f"common_{length}") if length in known.LISTED else ():
        named.setdefault(int(pin), len(_RULES))
    numbers = sorted(named)
    return array("Q", numbers), bytes(named[number] for number in numbers)


def _checked(pin: str) -> int:
    if not (pin.isascii() and pin.isdecimal() and SHORTEST <= len(pin) <= LONGEST):
        raise ValueError(f"A PIN is {SHORTEST} to {LONGEST} digits.")
    return int(pin)


def weak_pins(length: int) -> Sequence[int]:
    """The weak PINs of 4 to 12 digits as numbers, ascending, each once; built on first use (0.2 s at 6)."""
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"A PIN is {SHORTEST} to {LONGEST} digits.")
    return _index(length)[0]


def weakness(pin: str) -> Weakness | None:
    """Why anyone might guess this PIN, or None; for PINs people choose and for those that are drawn."""
    number = _checked(pin)
    numbers, rules = _index(len(pin))
    place = bisect_left(numbers, number)
    if place < len(numbers) and numbers[place] == number:
        return _RULES[rules[place]][0] if rules[place] < len(_RULES) else _COMMON
    return None


def single_run(pin: str) -> bool:
    """Whether the PIN is one run up or down, wrapping at 9 and 0: what `exclude_sequential` removes."""
    _checked(pin)
    return pin in _RISING or pin in _RISING[::-1]


def all_same(pin: str) -> bool:
    """Whether the PIN is one digit repeated: what `exclude_repeated` removes."""
    _checked(pin)
    return len(set(pin)) == 1


def _holds(pin: str, number: str, least: int) -> bool:
    digits = "".join(character for character in number if character in patterns.DIGITS)
    if len(digits) < least:
        return bool(digits) and pin.lstrip("0") == digits.lstrip("0")
    return pin in digits or digits[-least:] in pin


def personal(
    pin: str, *, birthdays: Iterable[date] = (), phones: Iterable[str] = (), numbers: Iterable[str] = ()
) -> Weakness | None:
    """Why someone who knows the holder might guess this PIN, or None: a date or number of theirs is in it."""
    # Four digits tell: a date in any usual spelling, the end of a number, or any stretch of it as the PIN.
    _checked(pin)
    if any(text in pin for day in birthdays for text in dates.spellings(day)):
        return Weakness("birthday", "the holder's birthday or part of it")
    if any(_holds(pin, phone, 4) for phone in phones):
        return Weakness("phone", "part of the holder's phone number")
    if any(_holds(pin, number, 4) for number in numbers):
        return Weakness("number", "part of one of the holder's own numbers")
    return None
