"""What a rule finds, and how it looks around an event: at what was recorded before it and happened near it."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from accesscontrol.access.models import Alarm, Event
from accesscontrol.doors.spans import union
from accounts.tenancy import current_tenant_id

# Of a subject: up to when what happened was acknowledged.
Since = dict[str, datetime]
Place = tuple[int, int]


@dataclass(frozen=True)
class Hit:
    """An event that completes a pattern of a subject; `count` is how many belong to it when it is new."""

    kind: Alarm.Kind
    subject: str
    event: Event
    count: int = 1


@dataclass(frozen=True, order=True)
class Near:
    """Something that happened near an event."""

    occurred_at: datetime
    place: Place
    site_id: int


_NEAR = """
SELECT asked.subject, e.occurred_at, e.xact_id, e.id, c.site_id
FROM unnest(%(subjects)s::bigint[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS asked (subject, begin, stop)
CROSS JOIN LATERAL (
    SELECT e.occurred_at, e.xact_id, e.id, e.channel_id FROM access_event e
    WHERE e.tenant_id = %(tenant)s AND e.{column} = asked.subject {condition}
      AND e.occurred_at > asked.begin AND e.occurred_at < asked.stop) e
JOIN doors_channel c ON c.tenant_id = %(tenant)s AND c.id = e.channel_id
"""


def near(
    events: Iterable[Event],
    column: str,
    before: timedelta,
    ahead: timedelta = timedelta(0),
    condition: str = "",
) -> dict[int, list[Near]]:
    """What happened around these events, by the value of this column, in the order in which it happened."""
    asked = defaultdict(list)
    for event in events:
        subject = getattr(event, column)
        asked[subject].append((event.occurred_at - before, event.occurred_at + ahead + timedelta(microseconds=1)))
    spans = [(subject, *span) for subject, found in asked.items() for span in union(found)]
    rows: dict[int, list[Near]] = {}
    if not spans:
        return rows
    subjects, begins, ends = (list(part) for part in zip(*spans, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            _NEAR.format(column=column, condition=condition),
            {"tenant": current_tenant_id(), "subjects": subjects, "begins": begins, "ends": ends},
        )
        for subject, occurred_at, xact_id, row_id, site_id in cursor.fetchall():
            insort(rows.setdefault(subject, []), Near(occurred_at, (xact_id, row_id), site_id))
    return rows


def place_of(event: Event) -> Place:
    return event.xact_id, event.pk


def known_before(rows: list[Near], event: Event, since: datetime | None, *, itself: bool = True) -> list[Near]:
    """Of these rows those that were recorded when the event was, and were not acknowledged already."""
    place = place_of(event)
    return [
        row
        for row in rows
        if (row.place < place or (itself and row.place == place)) and (since is None or row.occurred_at > since)
    ]


def most_around(moments: list[datetime], moment: datetime, within: timedelta) -> int:
    """How many of these moments, in order, lie in the fullest stretch of this length that holds the moment."""
    best, first = 0, 0
    for last, end in enumerate(moments):
        while end - moments[first] >= within:
            first += 1
        if moments[first] <= moment <= end:
            best = max(best, last - first + 1)
    return best
