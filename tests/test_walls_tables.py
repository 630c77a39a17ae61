"""Every table, by raw SQL as the application's role: from its own tenant, from another one and from none.

The tables are those that the database names, so that a new one is tested before anybody remembers it.
"""

import json

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from accounts.checks import tenant_models
from accounts.models import Tenant, User
from accounts.rls import APPLICATION, FINDER, GLOBAL_TABLES
from accounts.tenancy import TenantForeignKey, TenantModel
from tests.walled import (  # noqa: F401
    a_row,
    admin_fixture,
    as_tenant,
    count,
    insert,
    key_of,
    made_fixture,
    refused,
    sql_fixture,
    walled,
)

APPEND_ONLY = {"access_event", "accounts_auditevent"}
# A row refers to one of these and not to the others.
EITHER = {
    "signin_signinpin": ("membership_id", "subscriber_id"),
    "visits_batchitem": ("person_id", "reservation_id", "row_id"),
}
NOT_ALLOWED = "42501"


def test_every_table_is_global_for_a_reason_or_walled(admin):
    tables = {
        name: rest
        for name, *rest in admin.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity, relkind FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 'I', 'S') AND NOT relispartition"
        )
    }
    assert set(GLOBAL_TABLES) <= set(tables), "a global table is gone: take it off the list"
    assert all(GLOBAL_TABLES.values())
    assert {kind for _, _, kind in tables.values()} == {"r", "p"}, "a view would be asked with its owner's rights"
    for name, (secured, forced, _) in tables.items():
        assert (secured, forced) == ((False, False) if name in GLOBAL_TABLES else (True, True)), name
    assert {model._meta.db_table for model in tenant_models()} | {"accounts_tenant"} == set(walled(admin))
    outside = admin.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace "
        "NOT IN ('public'::regnamespace, 'pg_catalog'::regnamespace, 'information_schema'::regnamespace, "
        "'pg_toast'::regnamespace)"
    ).fetchall()
    assert outside == []


def test_each_walled_table_is_guarded_by_one_policy_for_the_application(admin):
    policies = admin.execute(
        "SELECT polrelid::regclass::text, polname, polroles::regrole[]::text[], polcmd, polpermissive, "
        "pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy"
    ).fetchall()
    assert {roles[0] for _, _, roles, *_ in policies} == {APPLICATION, FINDER}
    assert all(len(roles) == 1 for _, _, roles, *_ in policies)
    for table in walled(admin):
        [(name, command, permissive, using, check)] = [
            (name, *rest) for where, name, roles, *rest in policies if (where, roles) == (table, [APPLICATION])
        ]
        expected = f"({key_of(table)} = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::bigint)"
        assert (name, command, permissive, using, check) == ("tenant_only", "*", True, expected, expected), table


def test_each_tenant_sees_its_own_rows_and_nobody_elses(made, sql):
    for tenant in (made.acme, made.globex):
        as_tenant(sql, tenant)
        for table in walled(sql):
            sql.execute(f'SELECT DISTINCT {key_of(table)} FROM "{table}"')
            assert sql.fetchall() == [(tenant.pk,)], table


def test_without_a_tenant_nothing_is_seen(made, sql):
    as_tenant(sql, None)
    fresh = connection.get_new_connection(connection.get_connection_params())
    try:
        for table in walled(sql):
            sql.execute(f'SELECT count(*) FROM "{table}"')
            assert sql.fetchone() == (0,), table
            # A connection on which no tenant was ever set, not even an empty one.
            assert fresh.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (0,), table
    finally:
        fresh.close()


def test_neither_another_tenant_nor_none_can_add_a_row(made, sql, admin):
    for table in walled(sql):
        theirs = a_row(admin, table, made.globex)
        for tenant in (made.acme, None):
            as_tenant(sql, tenant)
            assert refused(sql, insert(table), [theirs]) == NOT_ALLOWED, table
        # What refuses is the wall: the owner of the row meets its unique key instead.
        as_tenant(sql, made.globex)
        assert refused(sql, insert(table), [theirs]) == "23505", table


def test_neither_another_tenant_nor_none_can_change_or_delete_a_row(made, sql, admin):
    for table in walled(sql):
        own = f"WHERE {key_of(table)} = {made.globex.pk}"
        for tenant in (made.acme, None):
            as_tenant(sql, tenant)
            for statement in (f'UPDATE "{table}" SET id = id {own}', f'DELETE FROM "{table}" {own}'):
                outcome = refused(sql, statement)
                assert outcome == (NOT_ALLOWED if table in APPEND_ONLY else 0), statement
            assert refused(sql, f'SELECT 1 FROM "{table}" {own} FOR UPDATE') in (0, NOT_ALLOWED), table
    assert all(count(admin, table, made.globex) for table in walled(admin))


def test_a_row_cannot_be_handed_to_another_tenant(made, sql):
    as_tenant(sql, made.acme)
    for table in walled(sql):
        statement = f'UPDATE "{table}" SET {key_of(table)} = {made.globex.pk}'
        assert refused(sql, statement) == NOT_ALLOWED, table


def test_an_upsert_does_not_reach_over_the_wall(made, sql, admin):
    as_tenant(sql, made.acme)
    for table in walled(sql):
        if table in APPEND_ONLY | {"accounts_tenant"}:
            continue
        # As a row of Acme with the number of a row of Globex.
        theirs = json.loads(a_row(admin, table, made.globex)) | {"tenant_id": made.acme.pk}
        statement = f"{insert(table)} ON CONFLICT (id) DO UPDATE SET id = EXCLUDED.id"
        outcome = refused(sql, statement, [json.dumps(theirs)])
        # Refused by the wall, or before that by a reference to what this tenant does not have.
        assert outcome in (NOT_ALLOWED, "23503", "23505"), table


def test_what_happened_can_be_added_and_read_and_nothing_else(made, sql):
    as_tenant(sql, made.acme)
    for table in APPEND_ONLY:
        assert refused(sql, f'SELECT 1 FROM "{table}"') > 0
        assert refused(sql, f'UPDATE "{table}" SET id = id') == NOT_ALLOWED
        assert refused(sql, f'DELETE FROM "{table}"') == NOT_ALLOWED


def test_partitions_are_reached_through_their_table_only(made, sql, admin):
    partitions = [
        name
        for (name,) in admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relispartition "
            "AND relkind IN ('r', 'p')"
        )
    ]
    assert "access_event_default" in partitions
    row = a_row(admin, "access_event", made.acme)
    with transaction.atomic():
        sql.execute("SELECT make_event_partitions('2031-01-01', 2)")
        partitions += ["access_event_203101", "access_event_203102"]
        as_tenant(sql, made.acme)
        for table in partitions:
            for statement in (
                f'SELECT 1 FROM "{table}"',
                f'UPDATE "{table}" SET id = id',
                f'DELETE FROM "{table}"',
                f'TRUNCATE "{table}"',
                f'DROP TABLE "{table}"',
                f'ALTER TABLE access_event DETACH PARTITION "{table}"',
            ):
                assert refused(sql, statement) == NOT_ALLOWED, statement
            assert refused(sql, insert(table), [row]) == NOT_ALLOWED, table
        transaction.set_rollback(True)


def test_only_migrations_write_down_which_of_them_ran(sql):
    for statement in (
        "INSERT INTO django_migrations (app, name, applied) VALUES ('a', 'b', now())",
        "UPDATE django_migrations SET name = name",
        "DELETE FROM django_migrations",
    ):
        assert refused(sql, statement) == NOT_ALLOWED


def test_no_table_can_be_emptied_or_changed_by_the_application(made, sql):
    as_tenant(sql, made.acme)
    for table in [*walled(sql), *GLOBAL_TABLES]:
        for statement in (
            f'TRUNCATE "{table}"',
            f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY',
            f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY',
            f'CREATE POLICY mine ON "{table}" USING (true)',
            f'DROP POLICY tenant_only ON "{table}"',
            f'ALTER TABLE "{table}" DISABLE TRIGGER ALL',
            f'DROP TABLE "{table}"',
        ):
            outcome = refused(sql, statement)
            # A table without a policy by that name is not asked for rights.
            assert outcome in (NOT_ALLOWED, "42704"), statement


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE gatehouse_owner",
        "SET ROLE gatehouse_finder",
        "SET SESSION AUTHORIZATION gatehouse_owner",
        "SET session_replication_role = replica",
        "CREATE TABLE public.mine (id int)",
        "CREATE TABLE finder.mine (id int)",
        "CREATE TEMPORARY TABLE accounts_apikey (id int)",
        "CREATE SCHEMA mine",
        "CREATE VIEW public.mine AS SELECT 1",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION finder.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER ROLE gatehouse BYPASSRLS",
        "ALTER ROLE gatehouse SUPERUSER",
        "CREATE ROLE mine",
        "GRANT gatehouse_owner TO gatehouse",
        "CREATE EXTENSION dblink",
        "COPY accounts_user TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "CREATE PUBLICATION mine FOR ALL TABLES",
    ],
)
def test_the_application_is_a_plain_role(sql, statement):
    assert refused(sql, statement) == NOT_ALLOWED


def test_switching_row_security_off_is_an_error_and_no_way_past(made, sql):
    as_tenant(sql, made.acme)
    for table in walled(sql):
        with transaction.atomic():
            sql.execute("SET LOCAL row_security = off")
            assert refused(sql, f'SELECT 1 FROM "{table}"') == NOT_ALLOWED, table
            transaction.set_rollback(True)


def test_the_planners_samples_hold_nothing_of_walled_tables(made, sql):
    """pg_stats quotes the most common values of a column."""
    as_tenant(sql, made.acme)
    sql.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
    seen = {name for (name,) in sql.fetchall()}
    assert seen <= set(GLOBAL_TABLES)


def test_an_untidy_tenant_is_an_error_and_never_another_tenant(made, sql):
    for value in ("x", "1 OR true", "1,2", "%", "-", "9" * 30):
        sql.execute("SELECT set_config('app.tenant_id', %s, true)", [value])
        assert refused(sql, "SELECT 1 FROM people_person") in ("22P02", "22003")
    for value in ("0", "-1", f"-{made.acme.pk}"):
        sql.execute("SELECT set_config('app.tenant_id', %s, true)", [value])
        assert refused(sql, "SELECT 1 FROM people_person") == 0


def references():
    """Every column that points from one walled table to another, by the models."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if not isinstance(field, models.ForeignKey) or not issubclass(model, TenantModel):
                continue
            if issubclass(field.related_model, TenantModel):
                yield model._meta.db_table, field.column, field.related_model._meta.db_table
            else:
                assert field.related_model in (Tenant, User), f"{field} must be a TenantForeignKey"
                assert not isinstance(field, TenantForeignKey)
    yield "vault_fingerprint", "holder_id", "credentials_credential"


def _others(table, column):
    """What must be empty where this column is not."""
    either = EITHER.get(table, ())
    return [name for name in either if name != column] if column in either else []


def test_every_reference_to_another_tenants_row_is_refused_at_once(made, sql, admin):
    as_tenant(sql, made.acme)
    # Even then: a violation that came with COMMIT would be past every Refusal.
    sql.execute("SET CONSTRAINTS ALL DEFERRED")
    found = list(references())
    assert len(found) > 30
    for table, column, target in found:
        theirs = json.loads(a_row(admin, target, made.globex))["id"]
        own = json.loads(a_row(admin, table, made.acme))
        if table in APPEND_ONLY:
            statement = insert(table), [json.dumps(own | {"id": 10**9, column: theirs})]
        else:
            others = "".join(f', "{name}" = NULL' for name in _others(table, column))
            statement = f'UPDATE "{table}" SET "{column}" = %s{others} WHERE id = %s', [theirs, own["id"]]
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            sql.execute(*statement)
        cause = caught.value.__cause__
        assert cause.sqlstate == "23503", f"{table}.{column}"
        # PostgreSQL cuts names at 63 bytes.
        assert cause.diag.constraint_name == f"{table}_{column}_same_tenant"[:63]


def test_every_reference_within_a_tenant_is_a_composite_one(admin):
    constraints = set(
        admin.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text, (SELECT attname FROM pg_attribute "
            "WHERE attrelid = conrelid AND attnum = conkey[2]) FROM pg_constraint WHERE contype = 'f' "
            "AND array_length(conkey, 1) = 2 AND NOT condeferrable AND convalidated AND conparentid = 0"
        ).fetchall()
    )
    assert constraints == {(table, target, column) for table, column, target in references()}
