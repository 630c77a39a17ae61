"""How rows are followed in the order in which they became visible, with none skipped.

Rows carry the number of the transaction that wrote them and are read only below the oldest one that is still open:
what commits late is read later. A cursor of ids alone would pass it by.
"""

from django.db import connection
from django.db.models import BigIntegerField, Func, Q

HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# (xact_id, id) of a row; the next one is greater.
Position = tuple[int, int]


def horizon() -> int:
    """The oldest transaction that is still open: all before it are visible to everybody."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {HORIZON}")
        return int(cursor.fetchone()[0])


def begin_now() -> Position:
    """Before everything that is not visible to all yet."""
    return horizon(), 0


def after(position: Position) -> Q:
    """The condition for rows past a position that everybody can see, as an index on (tenant, xact_id, id) reads it."""
    xact_id, row_id = position
    below = Func(template=HORIZON, output_field=BigIntegerField())
    return Q(xact_id__gte=xact_id, xact_id__lt=below) & (Q(xact_id__gt=xact_id) | Q(id__gt=row_id))
