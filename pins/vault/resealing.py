"""Values that another key than the current one seals: found, sealed anew, counted.

A model names the column that it keeps sealed in its class attribute `sealed_column`; `columns` finds them all.

The version stands in clear in the second and third byte of a sealed value. Rows that another transaction holds are
passed over and found again in the next round, so that nobody ever waits here with locks in hand.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.apps import apps
from django.db import connection

from accounts.tenancy import current_tenant_id
from pins.vault.keyring import keyring
from pins.vault.sealing import Tampered, key_version_of, open_sealed, seal

BATCH = 200


@dataclass
class Batch:
    """One round: up to which row it looked (None: there was none), how many are done, what is wrong with others."""

    last_id: int | None = None
    done: int = 0
    faults: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of sealed values that nothing but their row depends on; `name` and `plural` are what rows are called."""

    name: str
    plural: str
    table: str
    column: str

    def reseal(self, version: int, *, after: int) -> Batch:
        """Seal up to 200 rows past `after` under this, the current key."""
        batch, anew = Batch(), {}
        for row_id, content in lock_behind(self.table, self.column, after=after, version=version):
            batch.last_id = row_id
            try:
                _, sealed = reopened(content or b"", table=self.table, row_id=row_id)
            except Tampered as fault:
                batch.faults[row_id] = str(fault)
                continue
            if sealed:
                anew[row_id] = sealed
        write(self.table, self.column, anew)
        batch.done = len(anew)
        return batch

    def count_behind(self, version: int) -> int:
        """How many rows of the current tenant another key seals."""
        return sum(count for other, count in self.count_by_version().items() if other != version)

    def count_by_version(self) -> dict[int, int]:
        """How many rows of the current tenant each key seals."""
        return count_by_version(self.table, self.column)


def columns() -> list[Column]:
    """Every sealed column that a model names, of whatever room."""
    return [
        Column(
            str(model._meta.verbose_name),
            str(model._meta.verbose_name_plural),
            model._meta.db_table,
            model.sealed_column,
        )
        for model in apps.get_models()
        if hasattr(model, "sealed_column")
    ]


def is_behind(column: str) -> str:
    """The SQL condition for a value that the key `%(head)s` does not seal."""
    return f"substring({column} FROM 2 FOR 2) <> %(head)s"


def head_of(version: int) -> bytes:
    """A key version as it stands in a sealed value."""
    return struct.pack(">H", version)


def lock_behind(
    table: str, column: str, *, needs_more: str = "false", after: int, version: int
) -> list[tuple[int, bytes | None]]:
    """Lock up to 200 rows of the current tenant past `after` that the key does not seal, or that `needs_more`."""
    sql = (
        f"SELECT c.id, c.{column} FROM {table} c WHERE c.tenant_id = %(tenant)s AND c.id > %(after)s "
        f"AND ({is_behind('c.' + column)} OR {needs_more}) "
        # Not FOR UPDATE: rows that only refer to these can still be written.
        "ORDER BY c.id LIMIT %(limit)s FOR NO KEY UPDATE OF c SKIP LOCKED"
    )
    values = {"tenant": current_tenant_id(), "after": after, "limit": BATCH, "version": version}
    with connection.cursor() as cursor:
        cursor.execute(sql, {**values, "head": head_of(version)})
        return [(row_id, None if sealed is None else bytes(sealed)) for row_id, sealed in cursor.fetchall()]


def reopened(sealed: bytes, *, table: str, row_id: int) -> tuple[str, bytes | None]:
    """The value, and the same sealed under the current key where another seals it now; raises Tampered."""
    tenant_id = current_tenant_id()
    value = open_sealed(sealed, tenant_id=tenant_id, table=table, row_id=row_id)
    if key_version_of(sealed) == keyring().current:
        return value, None
    return value, seal(value, tenant_id=tenant_id, table=table, row_id=row_id)


def write(table: str, column: str, sealed: Mapping[int, bytes]) -> None:
    """Put sealed values into locked rows of the current tenant."""
    sql = (
        f"UPDATE {table} c SET {column} = n.sealed FROM unnest(%s::bigint[], %s::bytea[]) AS n (id, sealed) "
        "WHERE c.tenant_id = %s AND c.id = n.id"
    )
    if sealed:
        with connection.cursor() as cursor:
            cursor.execute(sql, [list(sealed), list(sealed.values()), current_tenant_id()])


def count_by_version(table: str, column: str) -> dict[int, int]:
    """How many values of the current tenant each key seals; 0 for what is no sealed value."""
    sql = (
        f"SELECT CASE WHEN length({column}) > 2 THEN get_byte({column}, 1) * 256 + get_byte({column}, 2) ELSE 0 END, "
        f"count(*) FROM {table} WHERE tenant_id = %s AND {column} IS NOT NULL GROUP BY 1"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [current_tenant_id()])
        return dict(cursor.fetchall())
