"""How often each door let in and not, by quarters of an hour: charts of a month without reading a month of events.

A tick counts what is new in the order of recording (see `following`), each event once. Readers add what it has not
counted yet, in one statement, so that a number is always that of the list behind it. Every time zone in use begins
its hours and days at a quarter of an hour.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from accesscontrol.access.following import HORIZON
from accesscontrol.access.models import EventCountPosition
from accounts.tenancy import current_tenant_id

KEPT = timedelta(days=40)
BATCH = 20_000

_END = f"""
SELECT {HORIZON},
    (SELECT xact_id FROM access_event WHERE tenant_id = %(tenant)s AND xact_id >= %(begin)s AND xact_id < {HORIZON}
     ORDER BY xact_id, id OFFSET %(batch)s LIMIT 1)
"""
_COUNT = """
INSERT INTO access_eventcount AS known (tenant_id, channel_id, begins_at, let_in, not_let_in)
SELECT tenant_id, channel_id, date_bin('15 minutes', occurred_at, '2000-01-01 00:00+00'),
       count(*) FILTER (WHERE admitted), count(*) FILTER (WHERE NOT admitted)
FROM access_event
WHERE tenant_id = %(tenant)s AND xact_id >= %(begin)s AND xact_id < %(end)s AND occurred_at > %(oldest)s
GROUP BY 1, 2, 3
ON CONFLICT (tenant_id, channel_id, begins_at) DO UPDATE
SET let_in = known.let_in + EXCLUDED.let_in, not_let_in = known.not_let_in + EXCLUDED.not_let_in
"""
_FORGET = "DELETE FROM access_eventcount WHERE tenant_id = %(tenant)s AND begins_at <= %(oldest)s"

# The number of the tick's position stands in the text, not in a join: only so is it known how little is left.
_READ = """
SELECT -1, NULL, COALESCE((SELECT xact_id FROM access_eventcountposition WHERE tenant_id = %(tenant)s), 0), 0
UNION ALL
SELECT period, channel_id, sum(let_in)::bigint, sum(not_let_in)::bigint FROM (
    SELECT width_bucket(begins_at, %(bounds)s::timestamptz[]) - 1 AS period, channel_id, let_in, not_let_in
    FROM access_eventcount
    WHERE tenant_id = %(tenant)s AND begins_at >= %(first)s AND begins_at < %(last)s {at_channels}
    UNION ALL
    SELECT width_bucket(occurred_at, %(bounds)s::timestamptz[]) - 1, channel_id, admitted::int, (NOT admitted)::int
    FROM access_event
    WHERE tenant_id = %(tenant)s AND xact_id >= {position} AND occurred_at >= %(first)s AND occurred_at < %(last)s
      {at_channels}) AS found
GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Count:
    """How often somebody was let in, and how often not."""

    let_in: int = 0
    not_let_in: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.let_in + other.let_in, self.not_let_in + other.not_let_in)

    @property
    def total(self) -> int:
        return self.let_in + self.not_let_in


# The number of a period -> channel id -> how often.
Counts = dict[int, dict[int, Count]]


@transaction.atomic
def count_new(now: datetime) -> bool:
    """Count a batch of what is new in the current tenant; says whether there may be more."""
    EventCountPosition.objects.bulk_create([EventCountPosition()], ignore_conflicts=True)
    position = EventCountPosition.objects.select_for_update(skip_locked=True).first()
    if position is None:
        return False
    given: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "begin": position.xact_id,
        "batch": BATCH,
        "oldest": now - KEPT,
    }
    with connection.cursor() as cursor:
        cursor.execute(_END, given)
        horizon, next_batch = cursor.fetchone()
        # What one transaction wrote is counted at once, however much it is.
        end = horizon if next_batch is None else max(next_batch, position.xact_id + 1)
        cursor.execute(_COUNT, given | {"end": end})
        cursor.execute(_FORGET, given)
    EventCountPosition.objects.filter(pk=position.pk).update(xact_id=end)
    return next_batch is not None


def read(bounds: Sequence[datetime], *, channel_ids: Collection[int] | None = None) -> Counts:
    """How often in each period between these instants (quarters, none before KEPT), at these channels or all."""
    given: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "bounds": list(bounds),
        "first": bounds[0],
        "last": bounds[-1],
        "channels": None if channel_ids is None else list(channel_ids),
    }
    at_channels = "" if channel_ids is None else "AND channel_id = ANY(%(channels)s)"
    position = EventCountPosition.objects.values_list("xact_id", flat=True).first() or 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_READ.format(position=int(position), at_channels=at_channels), given)
            rows = cursor.fetchall()
        [seen] = [row[2] for row in rows if row[0] == -1]
        if seen == position:
            break
        # The tick came in between: what it has just counted would be counted twice.
        position = seen
    counts: Counts = defaultdict(dict)
    for period, channel_id, let_in, not_let_in in rows:
        if period >= 0:
            counts[period][channel_id] = Count(let_in, not_let_in)
    return counts


def tenants_with_uncounted() -> list[int]:
    """The tenants in which something is new; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_uncounted_events()")
        return [tenant_id for (tenant_id,) in cursor.fetchall()]
