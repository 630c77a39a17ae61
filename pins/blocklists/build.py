"""Builds the packaged lists from published counts, or measures what the policy leaves to a guesser.

`python -m pins.blocklists.build COUNTS` writes the lists for the length of the PINs in that file. Build 3, 4
and 5 digits in this order, one run each: a list leaves out what rules name, and rules read shorter lists.
With `--measure` it takes one or more files, writes nothing and prints figures.
A counts file holds lines `PIN : count`, all PINs of one length.
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from math import log1p
from pathlib import Path

from pins.policy.weak import ruled, weak_pins

BUDGET_4 = 1500
COMMON_5 = 1500
PARTS = {3: 60, 4: 100}
# One breach put these among the favourites: listed whole, never taken for a habit that makes longer PINs.
ARTEFACTS = frozenset({"1342", "12413"})
HERE = Path(__file__).parent
ORIGIN = """\
# {what}
# From {name} (sha256 {digest}...): passwords seen by Have I Been Pwned, 2024-08-14,
# as published in Slon104/Common-PIN-Analysis-from-haveibeenpwned.com at 0a6a90c.
# MIT, Copyright (c) 2024 Slon104; see LICENSE-counts.txt.
"""


def read(path: Path) -> dict[str, int]:
    """Counts by PIN, most common first."""
    rows = (line.split(" : ") for line in path.read_text(encoding="ascii").splitlines() if line)
    counts = {pin: int(count) for pin, count in rows}
    return dict(sorted(counts.items(), key=lambda row: (-row[1], row[0])))


def unruled(ranked: Iterable[str], length: int) -> list[str]:
    """The PINs that no rule names, in the order given."""
    named = ruled(length)
    return [pin for pin in ranked if int(pin) not in named]


def write(path: Path, name: str, what: str, pins: Iterable[str]) -> None:
    digest = sha256(path.read_bytes()).hexdigest()[:16]
    text = ORIGIN.format(what=what, name=path.name, digest=digest) + "".join(f"{pin}\n" for pin in pins)
    (HERE / f"{name}.txt").write_text(text, encoding="ascii")


def build(path: Path) -> None:
    """Write the lists for the length of the PINs in one counts file."""
    counts = read(path)
    ranked = list(counts)
    length = len(ranked[0])
    if length in PARTS:
        parts = [pin for pin in ranked if pin not in ARTEFACTS][: PARTS[length]]
        write(
            path,
            f"parts_{length}",
            f"The {len(parts)} most common {length} digits, which begin longer PINs.",
            parts,
        )
    if length == 4:
        fill = unruled(ranked, 4)[: BUDGET_4 - len(ruled(4))]
        write(
            path,
            "common_4",
            f"The {len(fill)} most common PINs that no rule names: {BUDGET_4} with the rules.",
            fill,
        )
    if length == 5:
        fill = unruled(ranked[:COMMON_5], 5)
        write(path, "common_5", f"Of the {COMMON_5} most common PINs the {len(fill)} that no rule names.", fill)


def left(counts: dict[str, int], blocked: Collection[int]) -> str:
    """What the best 3, 10 and 100 guesses hit of the choices that remain, in percent of these choices."""
    rest = sorted((count for pin, count in counts.items() if int(pin) not in blocked), reverse=True)
    return " / ".join(f"{100 * sum(rest[:guesses]) / sum(rest):.2f}" for guesses in (3, 10, 100))


def measured(paths: list[Path]) -> Iterator[str]:
    """What is left to a guesser, in lines: rules alone, a list that never saw these counts, as shipped."""
    tables = {len(next(iter(counts))): counts for counts in map(read, paths)}
    for length, counts in sorted(tables.items()):
        if length not in (4, 5):
            continue
        named: set[int] = set(ruled(length))
        genuine = {pin: count for pin, count in counts.items() if pin not in ARTEFACTS}
        yield f"{length} digits: % of the remaining choices hit by the best 3 / 10 / 100 guesses"
        blocklists: dict[str, set[int]] = {
            "nothing blocked": set(),
            "rules alone": named,
            "as shipped": set(weak_pins(length)),
        }
        if length == 4 and 5 in tables:
            blocklists["rules and a list from the 5-digit counts"] = named | projected(tables[5], len(named))
        for name, blocked in blocklists.items():
            yield f"  {name} ({len(blocked)}): {left(counts, blocked)}"
            yield f"    without the artefact: {left(genuine, blocked)}"


def projected(fives: dict[str, int], ruled_count: int) -> set[int]:
    """A 4-digit list from 5-digit choices alone: PINs whose ten longer forms at either end are common."""
    weight = {pin: log1p(count) for pin, count in fives.items()}
    score = {
        pin: sum(weight.get(pin + digit, 0) + weight.get(digit + pin, 0) for digit in "0123456789")
        for pin in (f"{number:04d}" for number in range(10_000))
    }
    ranked = sorted(score, key=score.__getitem__, reverse=True)
    return set(map(int, unruled(ranked, 4)[: BUDGET_4 - ruled_count]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="+", type=Path)
    parser.add_argument("--measure", action="store_true", help="print what the policy leaves to a guesser")
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.writelines(f"{line}\n" for line in measured(arguments.counts))
    elif len(arguments.counts) == 1:
        build(arguments.counts[0])
    else:
        parser.error("build one counts file at a time")


if __name__ == "__main__":
    main()
