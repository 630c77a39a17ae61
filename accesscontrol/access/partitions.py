"""Events by month: the table is partitioned from its first migration, so that old months can be dropped whole.

Partitions are made by a function of the owner and carry no grants of their own; a default partition catches
whatever falls outside.
"""

from datetime import date
from typing import Any

from django.db import connection, migrations

MONTHS_AHEAD = 3

FUNCTION = """
CREATE OR REPLACE FUNCTION make_event_partitions(first_month date, months integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    month date;
    name text;
BEGIN
    FOR number IN 0 .. LEAST(months, 36) - 1 LOOP
        month := date_trunc('month', first_month)::date + make_interval(months => number);
        name := 'access_event_' || to_char(month, 'YYYYMM');
        IF to_regclass(name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF access_event FOR VALUES FROM (%L) TO (%L)', name,
                               month::timestamp AT TIME ZONE 'UTC',
                               (month + interval '1 month') AT TIME ZONE 'UTC');
                EXECUTE format('REVOKE ALL ON %I FROM gatehouse', name);
            EXCEPTION
                -- The default partition holds events of that month already, or another worker was first.
                WHEN check_violation OR duplicate_table THEN NULL;
            END;
        END IF;
    END LOOP;
END $body$
"""


# How many whole months must be kept, as the owner was told by `migrate`; 0 keeps all. The application only reads it.
KEPT = """
CREATE OR REPLACE FUNCTION events_kept_months() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS 'SELECT {:d}'
"""

# The application cannot empty events by calling it: what the installation keeps stays, by the server's clock.
DROPPING = """
CREATE OR REPLACE FUNCTION drop_event_partitions(before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    kept integer := events_kept_months();
    edge timestamptz := LEAST(date_trunc('month', before::timestamp),
                              date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => kept))
                        AT TIME ZONE 'UTC';
    dropped integer := 0;
    name text;
BEGIN
    IF kept < 1 THEN
        RETURN 0;
    END IF;
    PERFORM set_config('lock_timeout', '2s', true);
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'access_event'::regclass AND c.relname ~ '^access_event_[0-9]{6}$'
          AND to_date(right(c.relname, 6), 'YYYYMM')::timestamp AT TIME ZONE 'UTC' < edge
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM access_event_default WHERE ctid = ANY (
        ARRAY(SELECT ctid FROM access_event_default WHERE occurred_at < edge LIMIT 50000));
    RETURN dropped;
EXCEPTION
    -- Somebody reads a long list: doors must not wait behind us, the next tick tries again.
    WHEN lock_not_available THEN RETURN 0;
END $body$
"""


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel for a table that is partitioned by the range of `occurred_at`."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        table = model._meta.db_table
        sql, params = schema_editor.table_sql(model)
        # A partitioned table's key must contain what it is partitioned by.
        sql = sql.replace(" PRIMARY KEY ", " ", 1).rstrip()
        sql = f"{sql.removesuffix(')')}, PRIMARY KEY (id, occurred_at)) PARTITION BY RANGE (occurred_at)"
        schema_editor.execute(sql, params or None)
        for statement in schema_editor._model_indexes_sql(model):
            schema_editor.execute(statement)
        schema_editor.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        schema_editor.execute(f"REVOKE ALL ON {table}_default FROM gatehouse")
        schema_editor.execute(FUNCTION, params=None)
        schema_editor.execute("REVOKE ALL ON FUNCTION make_event_partitions FROM PUBLIC")
        schema_editor.execute("GRANT EXECUTE ON FUNCTION make_event_partitions TO gatehouse")
        schema_editor.execute(KEPT.format(0), params=None)
        schema_editor.execute("REVOKE ALL ON FUNCTION events_kept_months FROM PUBLIC")
        schema_editor.execute("GRANT EXECUTE ON FUNCTION events_kept_months TO gatehouse")
        schema_editor.execute(DROPPING, params=None)
        schema_editor.execute("REVOKE ALL ON FUNCTION drop_event_partitions FROM PUBLIC")
        schema_editor.execute("GRANT EXECUTE ON FUNCTION drop_event_partitions TO gatehouse")
        # Once this month's events stand in the default partition, it can have none of its own.
        schema_editor.execute(f"SELECT make_event_partitions(current_date, {MONTHS_AHEAD})", params=None)


def make(first_month: date, months: int) -> None:
    """Make the partitions of so many months; those that exist stay as they are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT make_event_partitions(%s, %s)", [first_month, months])


def keep(months: int) -> None:
    """Have the database itself keep so many whole months, all of them with 0; the owner alone may say so."""
    with connection.cursor() as cursor:
        cursor.execute(KEPT.format(months), None)


def kept() -> int:
    """How many whole months the database keeps; 0 for all."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT events_kept_months()")
        return int(cursor.fetchone()[0])


def drop(months: int, today: date) -> int:
    """Drop whole months that ended more than so many months ago, for every tenant; returns how many partitions.

    What the database was told to keep stays, whatever is asked for.
    """
    number = today.year * 12 + today.month - 1 - months
    with connection.cursor() as cursor:
        cursor.execute("SELECT drop_event_partitions(%s)", [date(number // 12, number % 12 + 1, 1)])
        return int(cursor.fetchone()[0])
