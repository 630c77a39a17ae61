"""Well-known numbers and the most common choices.

The lists in `pins/blocklists/` name their origin in their first lines: one is written by hand, the others are
built from published counts by `python -m pins.blocklists.build`. At 4 and 5 digits they block whole PINs; the
most common three and four digits also block longer PINs made from them, since that is how people lengthen a
short favourite.
"""

from collections.abc import Iterator
from functools import cache
from itertools import permutations, product
from pathlib import Path

from pins.policy.dates import years
from pins.policy.keypad import LINES
from pins.policy.patterns import stepped

_LISTS = Path(__file__).parent.parent / "blocklists"
LISTED = (4, 5)


@cache
def listed(name: str) -> tuple[str, ...]:
    """The PINs of one packaged list, most common first; lines that start with # say where it comes from."""
    lines = (_LISTS / f"{name}.txt").read_text(encoding="ascii").splitlines()
    return tuple(pin for line in lines if not line.startswith("#") for pin in line.split())


def well_known(length: int) -> Iterator[str]:
    """Numbers that mean something to many people: pi, love in Chinese, telephone words, songs."""
    return (number for number in listed("well_known") if len(number) == length)


def joined(length: int) -> Iterator[str]:
    """The commonest three or four digits joined, or four with one or two more: 123786, 19867, 123498."""
    if length == 5:
        for part, digit in product(listed("parts_4"), "0123456789"):
            yield part + digit
            yield digit + part
    if length == 6:
        favourites = [part for part in listed("parts_4") if part not in set(years(4))][:16]
        yield from (part + f"{more:02d}" for part, more in product(favourites, range(100)))
        yield from (f"{more:02d}1234" for more in range(100))
        triples = [*LINES, *(stepped(start, step, 3) for start in range(10) for step in (2, -2))]
        yield from (first + second for first, second in product(triples, repeat=2) if len(first + second) == 6)
        yield from ("".join(first + second) for first, second in product(permutations("123"), repeat=2))
    if 6 <= length <= 8:
        for head, tail in product((3, 4), repeat=2):
            if head + tail == length:
                pairs = product(listed(f"parts_{head}"), listed(f"parts_{tail}"))
                yield from (first + second for first, second in pairs)
