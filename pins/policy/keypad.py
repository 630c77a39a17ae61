"""Keypad shapes: what a finger draws without thinking.

Two layouts count: the telephone's (0 below 8) and the number block's (0 below 1 and 2). That the block has
789 on top adds no shapes: upside down, every shape is still one.
A shape is a path over neighbouring keys that visits none twice, straight lines one after the other, or the
four corners or the four mid-sides in any order.
"""

from collections.abc import Iterator
from itertools import permutations, product

_ROWS = ("123", "456", "789")
_TELEPHONE = (("8", "0"),)
_NUMBER_BLOCK = (("1", "0"), ("2", "0"))
_STRAIGHT = ("123", "456", "789", "147", "258", "369", "159", "357", "580", "410", "520", "2580", "7410")
LINES = tuple(sorted({*_STRAIGHT, *(line[::-1] for line in _STRAIGHT)}))


def _neighbours(zero: tuple[tuple[str, str], ...]) -> dict[str, set[str]]:
    near: dict[str, set[str]] = {digit: set() for digit in "0123456789"}
    columns = ["".join(column) for column in zip(*_ROWS, strict=True)]
    pairs = [(line[place], line[place + 1]) for line in (*_ROWS, *columns) for place in (0, 1)]
    for one, other in (*pairs, *zero):
        near[one].add(other)
        near[other].add(one)
    return near


def _walk(path: str, length: int, near: dict[str, set[str]]) -> Iterator[str]:
    if len(path) == length:
        yield path
        return
    for key in sorted(near[path[-1]] - set(path)):
        yield from _walk(path + key, length, near)


def paths(length: int) -> Iterator[str]:
    """Paths over keys that touch by a side, none twice, up to 10 digits: 1478, 123654, 147896325."""
    if length <= 10:
        for zero in (_TELEPHONE, _NUMBER_BLOCK):
            near = _neighbours(zero)
            for start in near:
                yield from _walk(start, length, near)


def lines(length: int) -> Iterator[str]:
    """Up to three straight lines, the last perhaps cut: 147258, 14725; at 4 digits one, with or without 0."""
    if length == 4:
        for line in LINES:
            yield from (line + "0", "0" + line) if len(line) == 3 else (line,)
        return
    for parts in (2, 3):
        for drawn in product(LINES, repeat=parts):
            if len("".join(drawn[:-1])) < length <= len("".join(drawn)):
                yield "".join(drawn)[:length]


def corners(length: int) -> Iterator[str]:
    """The four corners or the four mid-sides, in any order: 1379, 2486."""
    if length == 4:
        for keys in ("1379", "2468"):
            yield from map("".join, permutations(keys))
