"""Rows with `started_at` and `ended_at`: what held, from when until when. An open row holds now.

Rights are never overwritten and never deleted: "who could open this door on that day" has an answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

OPEN = Q(ended_at=None)


def follow(
    rows: QuerySet[Any], owner: str, column: str, wanted: Mapping[int, Iterable[int]], *, now: datetime, **values: Any
) -> dict[int, set[str]]:
    """End the open rows of each `owner` whose `column` is no longer wanted and open those that are missing.

    `values` fills the other columns of new rows. Returns "added" and "removed" for whom that was done.
    """
    missing = {(number, key) for number, keys in wanted.items() for key in keys}
    done: dict[int, set[str]] = defaultdict(set)
    gone = []
    held = rows.filter(OPEN, **{f"{owner}__in": list(wanted)})
    for row, number, key in held.values_list("pk", owner, column):
        if (number, key) in missing:
            missing.discard((number, key))
        else:
            gone.append(row)
            done[number].add("removed")
    if gone:
        rows.filter(OPEN, pk__in=gone).update(ended_at=now)
    if missing:
        rows.bulk_create(
            rows.model(**{owner: number, column: key}, started_at=now, **values) for number, key in sorted(missing)
        )
        for number, _ in missing:
            done[number].add("added")
    return dict(done)
