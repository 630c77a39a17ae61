"""Rows with `started_at` and `ended_at`: what held, from when until when. An open row holds now.

Rights are never overwritten and never deleted: "who could open this door on that day" has an answer.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

OPEN = Q(ended_at=None)


def follow(rows: QuerySet[Any], column: str, wanted: Iterable[int], *, now: datetime, **values: Any) -> set[str]:
    """End the open rows whose `column` is no longer wanted and open those that are missing.

    `values` fills the other columns of new rows. Returns "added" and "removed" for what was done.
    """
    wanted = set(wanted)
    current = set(rows.filter(OPEN).values_list(column, flat=True))
    done = set()
    if gone := current - wanted:
        rows.filter(OPEN, **{f"{column}__in": gone}).update(ended_at=now)
        done.add("removed")
    if missing := wanted - current:
        rows.bulk_create(rows.model(**{column: key}, started_at=now, **values) for key in sorted(missing))
        done.add("added")
    return done
