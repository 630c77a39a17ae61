"""What can be followed. A source reads one tenant's rows in the order in which they became visible.

Rows are ordered by (`xact_id`, `id`) and read only below the oldest transaction that is still open: one that commits
late is read later, never skipped. Both functions run in a thread, in a transaction of the tenant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import BigIntegerField, Func, Q

from accesscontrol.access.api.events import EventOutput
from accesscontrol.access.models import Event
from accounts.rights import Right

HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# (xact_id, id) of a row; the next one is greater.
Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One row for those who follow: what it is called, its JSON, and whom it concerns."""

    position: Position
    event: str
    data: Any
    channel_id: int | None = None
    site_id: int | None = None
    person_id: int | None = None


@dataclass(frozen=True)
class Source:
    """`start` is where a follower that begins now begins; `read` gives up to so many items after a position."""

    name: str
    right: Right
    start: Callable[[], Position]
    read: Callable[[Position, int], Sequence[Item]]


def begin_now() -> Position:
    """Before everything that is not visible to all yet."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {HORIZON}")
        return int(cursor.fetchone()[0]), 0


def after(position: Position) -> Q:
    """The condition for rows past a position that everybody can see, as an index on (tenant, xact_id, id) reads it."""
    xact_id, row_id = position
    return Q(xact_id__gte=xact_id, xact_id__lt=Func(template=HORIZON, output_field=BigIntegerField())) & (
        Q(xact_id__gt=xact_id) | Q(id__gt=row_id)
    )


def _events(position: Position, most: int) -> list[Item]:
    rows = Event.objects.filter(after(position)).select_related("channel", "person", "credential")
    events = list(rows.order_by("xact_id", "id")[:most])
    return [
        Item(
            (event.xact_id, event.pk),
            shown["event_type"],
            shown,
            channel_id=event.channel_id,
            site_id=event.channel.site_id,
            person_id=event.person_id,
        )
        for event, shown in zip(events, EventOutput(events, many=True).data, strict=True)
    ]


EVENTS = Source("events", Right.EVENTS_READ, begin_now, _events)
