"""Digit patterns: PINs that follow from a few of their own digits.

Each rule yields the PINs of one length (4 to 12) that it calls weak, as digit strings; rules may overlap.
A rule is left out at lengths where it would block more than it protects: 4 digits have 1,500 PINs to spend.
Arithmetic on digits is modulo 10, because people who count past 9 go on with 0.
"""

from collections.abc import Iterator
from itertools import combinations, permutations, product

DIGITS = "0123456789"


def stepped(start: int, step: int, length: int) -> str:
    return "".join(DIGITS[(start + step * place) % 10] for place in range(length))


def repeated(length: int) -> Iterator[str]:
    """One digit only: 10 PINs."""
    return (digit * length for digit in DIGITS)


def runs(length: int) -> Iterator[str]:
    """One run up or down, wrapping at 9 and 0: 20 PINs."""
    return (stepped(start, step, length) for start in range(10) for step in (1, -1))


def steps(length: int) -> Iterator[str]:
    """Equal steps, 1357 or 9630: 100 PINs with the runs and the repeats."""
    return (stepped(start, step, length) for start in range(10) for step in range(10))


def blocks(length: int) -> Iterator[str]:
    """A short block over and over, the last one perhaps cut: 1212, 123123, 1231231."""
    for size in range(2, min(length // 2, 4) + 1):
        for block in product(DIGITS, repeat=size):
            yield ("".join(block) * length)[:length]
    if length == 5:
        for block in product(DIGITS, repeat=3):
            yield ("".join(block) * 2)[:5]


def mirrors(length: int) -> Iterator[str]:
    """The same read from either end, up to 8 digits: 1221, 12321."""
    if length <= 8:
        for half in product(DIGITS, repeat=(length + 1) // 2):
            text = "".join(half)
            yield text[: length // 2] + text[::-1]


def doubled(length: int) -> Iterator[str]:
    """Every digit two, three or four times in a row: 1122, 112233, 111222333, and steps cut short: 11223."""
    for times in (2, 3, 4):
        if length % times == 0 and length // times <= 4:
            for word in map("".join, product(DIGITS, repeat=length // times)):
                yield "".join(digit * times for digit in word)
        elif length > 4:
            for word in steps(-(-length // times)):
                yield "".join(digit * times for digit in word)[:length]


def two_digits(length: int) -> Iterator[str]:
    """Only two different digits, from 5 to 8 digits: 11211, 100100."""
    if 5 <= length <= 8:
        for pair in combinations(DIGITS, 2):
            yield from map("".join, product(pair, repeat=length))


def joined_runs(length: int) -> Iterator[str]:
    """Two pieces, each a run or one digit repeated, from 5 digits: 123321, 123000, 111112, 456123."""
    if length >= 5:
        for cut in range(1, length):
            heads = [stepped(start, step, cut) for start in range(10) for step in (-1, 0, 1)]
            tails = [stepped(start, step, length - cut) for start in range(10) for step in (-1, 0, 1)]
            yield from (head + tail for head in heads for tail in tails)


def ordered(length: int) -> Iterator[str]:
    """Digits that only rise or fall, from 5 digits: 124578, 97531; at 6 digits also 123456 in any order."""
    if length >= 5:
        for rising in combinations(DIGITS, length):
            yield "".join(rising)
            yield "".join(reversed(rising))
    if length == 6:
        yield from map("".join, permutations("123456"))


def round_numbers(length: int) -> Iterator[str]:
    """One digit and zeros: 5000."""
    return (digit + "0" * (length - 1) for digit in DIGITS)


def counted_pairs(length: int) -> Iterator[str]:
    """Pairs of digits that count on: 1415, 102030, 121314, 192837, 142536; at 4 digits only up by one."""
    if length == 4:
        yield from (f"{pair:02d}{(pair + 1) % 100:02d}" for pair in range(100))
        return
    reach = range(-1, 2) if length == 5 else range(-2, 3)
    by_digit = [*product(reach, reach), (3, 3), (-3, -3)]
    for tens, ones in product(range(10), repeat=2):
        for up, across in by_digit:
            pairs = (DIGITS[(tens + up * n) % 10] + DIGITS[(ones + across * n) % 10] for n in range(6))
            yield "".join(pairs)[:length]
        for step in (1, 2, 5, 11, -1, -2, -5, -11):
            yield "".join(f"{(10 * tens + ones + step * n) % 100:02d}" for n in range(6))[:length]


def lone_digit(length: int) -> Iterator[str]:
    """All digits equal but one, from 9 digits (shorter ones fall to the rule of two digits)."""
    if length >= 9:
        for most, other in product(DIGITS, repeat=2):
            yield from (most * place + other + most * (length - place - 1) for place in range(length))
