"""Stretches of time `[start, end)` and what they have in common. Pure; lists are in order and do not touch."""

from collections.abc import Iterable
from datetime import datetime

Span = tuple[datetime, datetime]


def union(spans: Iterable[Span]) -> list[Span]:
    """Every instant of any of them."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def common(first: list[Span], second: list[Span]) -> list[Span]:
    """The instants that are in both."""
    found, one, other = [], 0, 0
    while one < len(first) and other < len(second):
        start, end = max(first[one][0], second[other][0]), min(first[one][1], second[other][1])
        if start < end:
            found.append((start, end))
        if first[one][1] < second[other][1]:
            one += 1
        else:
            other += 1
    return found


def without(spans: list[Span], taken: list[Span]) -> list[Span]:
    """The instants that are in none of those taken away."""
    found = []
    for start, end in spans:
        rest = start
        for begin, stop in taken:
            if stop <= rest or begin >= end:
                continue
            if rest < begin:
                found.append((rest, begin))
            rest = stop
        if rest < end:
            found.append((rest, end))
    return found
