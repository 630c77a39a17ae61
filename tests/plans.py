"""How PostgreSQL would find rows, whatever figures about its tables the tests before left behind.

To an almost empty table one index is as good as another, and reading all of it as good as any.
"""

import os
from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection, transaction

from tests.conftest import _admin


def plan_of(sql: str, values: Sequence[object] = (), *, without: str = "seqscan", analyze: bool = False) -> str:
    """The plan in the test's own transaction, if the ways named could be avoided at any cost."""
    with transaction.atomic(), connection.cursor() as cursor:
        for way in without.split():
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"EXPLAIN (ANALYZE {analyze}) {sql}", values or None)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        transaction.set_rollback(True)
    return plan


def plan_with(index: str, sql: str, values: Sequence[object] = (), *, role: str = "gatehouse") -> str:
    """The plan if its table had this index alone: the others are invalid until the transaction ends."""
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin, admin.transaction(force_rollback=True):
        admin.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid <> %(index)s::regclass AND indrelid = "
            "(SELECT indrelid FROM pg_index WHERE indexrelid = %(index)s::regclass)",
            {"index": index},
        )
        admin.execute(f"SET LOCAL ROLE {role}")
        for way in ("seqscan", "bitmapscan", "sort"):
            admin.execute(f"SET LOCAL enable_{way} = off")
        admin.execute("SET LOCAL app.tenant_id = '1'")
        asked: Any = psycopg.ClientCursor(admin).execute(f"EXPLAIN {sql}", values or None)
        return "\n".join(line for (line,) in asked)
