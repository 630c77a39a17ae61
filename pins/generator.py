"""Draws PINs uniformly from exactly what the policy allows.

The allowed PINs of a space are ranked 0 to n-1; a draw is `secrets.randbelow(n)` turned back into digits.
Nothing is repaired or folded, so no allowed PIN is likelier than another, and entropy is log2 n exactly.
Unique issuing belongs to the caller: it takes PINs from `shuffled` until one is free, which is uniform over
the free ones and ends without a PIN only when none is free.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import log2, prod
from secrets import randbelow

from pins.policy import LONGEST, SHORTEST, weak_pins
from pins.policy.patterns import repeated, runs


class SpaceTooSmall(ValueError):
    """More distinct PINs are wanted than the space holds; a longer PIN is the remedy."""


@cache
def _excluded(length: int, sequential: bool, repeats: bool, weak: bool) -> tuple[Sequence[int], Sequence[int]]:
    """The excluded PINs ascending, and beside each the number of allowed PINs below it."""
    numbers = {int(pin) for pin in (*(runs(length) if sequential else ()), *(repeated(length) if repeats else ()))}
    if weak:
        numbers.update(weak_pins(length))
    ordered = array("Q", sorted(numbers))
    # Objects, not an array: every bisection of a draw would box its numbers anew.
    return ordered, tuple(number - place for place, number in enumerate(ordered))


@dataclass(frozen=True, slots=True)
class Space:
    """The PINs of `length` digits, 4 to 12, less what the flags exclude."""

    length: int
    exclude_sequential: bool = False
    exclude_repeated: bool = False
    exclude_weak: bool = False

    def __post_init__(self) -> None:
        if not SHORTEST <= self.length <= LONGEST:
            raise ValueError(f"A PIN is {SHORTEST} to {LONGEST} digits.")

    @property
    def _gaps(self) -> tuple[Sequence[int], Sequence[int]]:
        return _excluded(self.length, self.exclude_sequential, self.exclude_repeated, self.exclude_weak)

    @property
    def allowed_count(self) -> int:
        """How many PINs could come out, exactly."""
        return int(10**self.length) - len(self._gaps[0])

    @property
    def entropy_bits(self) -> float:
        """log2 of `allowed_count`: the bits of one draw."""
        return log2(self.allowed_count)

    def unrank(self, rank: int) -> str:
        """The allowed PIN with exactly `rank` allowed PINs below it; IndexError from allowed_count on."""
        number = rank + bisect_right(self._gaps[1], rank)
        if rank < 0 or number >= 10**self.length:
            raise IndexError("No allowed PIN has this rank.")
        return f"{number:0{self.length}d}"

    def rank(self, pin: str) -> int:
        """How many allowed PINs are below this one; ValueError when it is not allowed itself."""
        if not self.allows(pin):
            raise ValueError("This PIN is not in the space.")
        return int(pin) - bisect_left(self._gaps[0], int(pin))

    def allows(self, pin: str) -> bool:
        """Whether this PIN could come out."""
        if not (len(pin) == self.length and pin.isascii() and pin.isdecimal()):
            return False
        excluded = self._gaps[0]
        place = bisect_left(excluded, int(pin))
        return place == len(excluded) or excluded[place] != int(pin)


def draw(space: Space) -> str:
    """One PIN, uniform over the allowed ones."""
    return space.unrank(randbelow(space.allowed_count))


def draw_distinct(space: Space, count: int) -> list[str]:
    """`count` different PINs in random order, every such list equally likely; refuses with SpaceTooSmall."""
    if count < 0:
        raise ValueError("A count of PINs cannot be negative.")
    if count > space.allowed_count:
        raise SpaceTooSmall(f"{count:,} different PINs are wanted, {space.allowed_count:,} are allowed.")
    return list(islice(shuffled(space), count))


def shuffled(space: Space) -> Iterator[str]:
    """Every allowed PIN once, in uniformly random order, lazily: memory grows only with the PINs taken."""
    below = space._gaps[1]
    written = f"%0{space.length}d"
    for rank in _shuffled_ranks(space.allowed_count):
        yield written % (rank + bisect_right(below, rank))


def _shuffled_ranks(count: int) -> Iterator[int]:
    # Fisher-Yates from the top: `moved` holds only the ranks that an earlier draw displaced.
    moved: dict[int, int] = {}
    left = count
    while left:
        # One draw below the product of sixteen sizes is sixteen independent uniform draws in a mixed radix:
        # exact, and it asks the operating system a sixteenth as often.
        sizes = range(left, max(left - 16, 0), -1)
        drawn = randbelow(prod(sizes))
        for size in sizes:
            drawn, place = divmod(drawn, size)
            last = moved.pop(size - 1, size - 1)
            if place == size - 1:
                yield last
            else:
                yield moved.get(place, place)
                moved[place] = last
        left -= len(sizes)
