"""Every table, by raw SQL as the application's role: from its own tenant, from another one and from none.

The tables are those that the database names, so that a new one is tested before anybody remembers it.
"""

import json
import os
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, connections, models, transaction

from accesscontrol.access import attempts, commands, contact
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Role, Shift
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import batches, belonging, group_reserving
from accesscontrol.visits.models import RevealLink
from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Dispatch, Try
from accounts import keys
from accounts.checks import tenant_models
from accounts.models import ApiKey, IdempotentAnswer, Membership, Tenant, User
from accounts.rights import StaffRole
from accounts.rls import APPLICATION, FINDER, GLOBAL_TABLES
from accounts.tenancy import TenantForeignKey, TenantModel, tenant_transaction
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.signin.models import SecurityAnswer, SignInSettings
from pins.signin.staff.models import StaffSettings
from tests import world
from tests.conftest import _admin, _empty
from tests.world import BY, NOW

APPEND_ONLY = {"access_event", "accounts_auditevent"}

FINDER_FUNCTIONS = {
    "finder.all_tenants()",
    "finder.application_by_client_id(text)",
    "finder.caller_by_token(text,timestamp with time zone)",
    "finder.tenant_of_oauth_token(text)",
    "finder.caller_by_key(bytea[],timestamp with time zone)",
    "finder.invitation_by_digest(bytea[])",
    "finder.places_of_user(bigint)",
    "finder.reveal_link(bytea[])",
    "finder.figures_of_all()",
    "finder.tenants_with_people_due(timestamp with time zone)",
    "finder.tenants_with_batches(timestamp with time zone)",
    "finder.tenant_of_reset_link(bytea[])",
    "finder.tenants_with_codes_over(timestamp with time zone)",
    "finder.tenants_with_due_credentials(timestamp with time zone)",
    "finder.tenants_with_due_deliveries(timestamp with time zone)",
    "finder.tenants_with_due_rotations(timestamp with time zone)",
    "finder.tenants_with_forgotten_pins(timestamp with time zone)",
    "finder.tenants_with_no_shows(timestamp with time zone)",
    "finder.tenants_with_old_answers(timestamp with time zone)",
    "finder.tenants_with_old_tokens(timestamp with time zone)",
    "finder.tenants_with_old_dispatches(timestamp with time zone)",
    "finder.webhooks_due(timestamp with time zone)",
    "finder.webhooks_with_news()",
    "finder.tenants_with_old_attempts(timestamp with time zone)",
    "finder.tenants_with_recent_failures(timestamp with time zone)",
    "finder.tenants_with_sign_ins_over(timestamp with time zone)",
    "finder.tenants_with_silent_channels(timestamp with time zone)",
    "finder.tenants_with_stale_deliveries(timestamp with time zone)",
    "finder.tenants_with_uncounted_events()",
    "finder.tenants_with_unwatched_events()",
    "finder.tenants_with_untold_alarms()",
    "finder.tenants_with_untold_hosts()",
}
OWNERS_FUNCTIONS = {"drop_event_partitions(date)", "make_event_partitions(date,integer)"}
FINDER_MAY = {
    "access_event": {"SELECT (tenant_id)", "SELECT (xact_id)"},
    "accounts_auditevent": {"SELECT (tenant_id)", "SELECT (xact_id)"},
    "webhooks_dispatch": {
        "SELECT (next_attempt_at)",
        "SELECT (settled_at)",
        "SELECT (state)",
        "SELECT (subscription_id)",
        "SELECT (tenant_id)",
    },
    "webhooks_replay": {"SELECT (done_at)", "SELECT (subscription_id)", "SELECT (tenant_id)"},
    "webhooks_subscription": {
        "SELECT (id)",
        "SELECT (lease_until)",
        "SELECT (rest_until)",
        "SELECT (state)",
        "SELECT (tenant_id)",
        "SELECT (xact_id)",
    },
    "access_alarm": {"SELECT (tenant_id)", "SELECT (told_at)", "SELECT (xact_id)"},
    "access_attempt": {"SELECT (occurred_at)", "SELECT (tenant_id)"},
    "access_channelcontact": {"SELECT (last_contact_at)", "SELECT (silence_id)", "SELECT (tenant_id)"},
    "access_eventcountposition": {"SELECT (tenant_id)", "SELECT (xact_id)"},
    "access_patternplace": {"SELECT (tenant_id)", "SELECT (xact_id)"},
    "accounts_apikey": {"SELECT", "UPDATE (last_used_at)"},
    "accounts_apikeysite": {"SELECT"},
    "accounts_idempotentanswer": {"SELECT (created_at)", "SELECT (tenant_id)"},
    "accounts_membership": {"SELECT"},
    "accounts_membershipsite": {"SELECT"},
    "accounts_oauthaccesstoken": {
        f"SELECT ({column})"
        for column in ("application_id", "expires", "scope", "tenant_id", "token_checksum", "user_id")
    },
    "accounts_oauthapplication": {"SELECT"},
    "accounts_oauthconsent": {"SELECT"},
    "accounts_oauthgrant": {"SELECT (code)", "SELECT (expires)", "SELECT (tenant_id)"},
    "accounts_oauthrefreshtoken": {"SELECT (revoked)", "SELECT (tenant_id)", "SELECT (token_checksum)"},
    "accounts_user": {"SELECT (id)", "SELECT (is_active)"},
    "accounts_tenant": {"SELECT"},
    "accounts_tenantfigures": {"SELECT"},
    "people_person": {"SELECT (retention_at)", "SELECT (tenant_id)"},
    "codes_addressday": {"SELECT (day)", "SELECT (tenant_id)"},
    "codes_code": {"SELECT (expires_at)", "SELECT (tenant_id)"},
    "credentials_credential": {"SELECT (due_at)", "SELECT (rotate_at)", "SELECT (tenant_id)"},
    "deliveries_delivery": {
        "SELECT (content)",
        "SELECT (failed_at)",
        "SELECT (next_attempt_at)",
        "SELECT (state)",
        "SELECT (tenant_id)",
    },
    "doors_channel": {"SELECT (rotate_after_days)", "SELECT (rotation_applied_days)", "SELECT (tenant_id)"},
    "signin_forgottenpin": {"SELECT (asked_at)", "SELECT (tenant_id)"},
    "signin_resetcode": {"SELECT (expires_at)", "SELECT (tenant_id)"},
    "signin_token": {"SELECT (digest)", "SELECT (expires_at)", "SELECT (kind)", "SELECT (tenant_id)"},
    "reservations_reservation": {
        "SELECT (arrived_at)",
        "SELECT (cancelled_at)",
        "SELECT (checked_in_at)",
        "SELECT (end_time)",
        "SELECT (host_id)",
        "SELECT (host_told_at)",
        "SELECT (no_show_at)",
        "SELECT (tenant_id)",
    },
    "staff_invitation": {"SELECT (digest)", "SELECT (id)", "SELECT (tenant_id)"},
    "throttle_throttle": {"SELECT (quiet_since)", "SELECT (subject_kind)", "SELECT (tenant_id)"},
    "visits_reveallink": {"SELECT (digest)", "SELECT (id)", "SELECT (tenant_id)"},
    "doors_role": {"SELECT (rotate_after_days)", "SELECT (rotation_applied_days)", "SELECT (tenant_id)"},
    "visits_batch": {
        "SELECT (created_at)",
        "SELECT (finished_at)",
        "SELECT (started_at)",
        "SELECT (tenant_id)",
    },
    "visits_import": {"SELECT (created_at)", "SELECT (state)", "SELECT (tenant_id)"},
}
# A row refers to one of these and not to the others.
EITHER = {
    "signin_signinpin": ("membership_id", "subscriber_id"),
    "visits_batchitem": ("person_id", "reservation_id", "row_id"),
}


class Made:
    """Two tenants with at least one row in every walled table, and the keys of machines in the clear."""

    def __init__(self):
        self.acme, self.globex = world.tenants_named("Acme", "Globex")
        self.keys = {tenant.pk: fill(tenant) for tenant in (self.acme, self.globex)}
        with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
            for table in walled(admin):
                for tenant in (self.acme, self.globex):
                    if not count(admin, table, tenant):
                        copy_shape(admin, table, tenant)
            admin.execute("ANALYZE")


@pytest.fixture(scope="module")
def made(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        try:
            yield Made()
        finally:
            connections.close_all()
            _empty()


@pytest.fixture
def admin(made):
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        # A lock that a test holds in its own transaction must fail the test, not hang it.
        admin.execute("SET lock_timeout = '5s'")
        yield admin


@pytest.fixture
def sql(made, db):
    """A cursor of the application's role, as Django gives it to anybody."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (APPLICATION,)
        yield cursor


def fill(tenant):
    with tenant_transaction(tenant.pk):
        site = world.a_site()
        front = world.a_door(site=site, is_visitor_door=True)
        shift = Shift.objects.create(name="Nights")
        granting.set_times(shift, [Stretch(0, NOW.time(), NOW.time())], by=BY, now=NOW)
        role = world.a_role("Staff", front, shift=shift)
        group = world.a_group("All", role)
        ann = world.a_person("Ann", email="ann@example.com", site=site)
        belonging.set_groups(ann, [group], by=BY, now=NOW)
        belonging.set_roles(ann, [role], by=BY, now=NOW)
        issued = world.a_pin(ann)
        reservation = world.a_reservation(ann, front, shift=shift)
        group_reserving.reserve(ann, [group], start_time=NOW, end_time=NOW + timedelta(days=1), by=BY, now=NOW)
        reader = world.a_reader_key(front)
        for value in (issued.value, "nothing", "0000", "0001"):
            attempts.attempt(
                front.pk, value, type=CredentialType.PIN, now=NOW, reader_key_id=reader.api_key.pk, attempt_id=value
            )
        Alarm.objects.create(kind=Alarm.Kind.GUESSING, site=site, channel=front, raised_at=NOW)
        contact.seen(front.pk, now=NOW)
        world.a_member(StaffRole.HOST, f"host@{tenant.slug}.example", sites=[site])
        delivery = queueing.queue(
            medium="email",
            address="ann@example.com",
            template="pin",
            language="en",
            context={},
            about=[("person", ann.pk)],
            now=NOW,
        )
        RevealLink.objects.create(
            digest=keys.digest(keys.random_token()),
            delivery=delivery,
            credential=issued.credential,
            reservation=reservation,
            created_at=NOW,
        )
        batches.choose("issue", Person.objects.filter(pk=ann.pk), by=BY, now=NOW)
        IdempotentAnswer.objects.create(
            caller="api:1", key_digest=b"k", request_digest=b"r", status=201, body={}, created_at=NOW
        )
        ann_online = world.a_subscriber(pin="805294", now=NOW)
        SecurityAnswer.objects.create(subscriber=ann_online, question_id="q", question="?", answer="!")
        SignInSettings.objects.create()
        StaffSettings.objects.create()
        commands.admit(front, by=BY, now=NOW)
        commands.hold_open([front], by=BY, now=NOW)
        later = NOW + timedelta(days=1)
        group_reserving.reserve(ann, [group], start_time=NOW, end_time=later, by=BY, now=NOW)
        hook = subscribing.subscribe("Hook", "https://a.example", kinds=["person"], form="standard", by=BY, now=NOW)
        dispatch = subscribing.test(hook.subscription, by=BY, now=NOW)
        Try.objects.create(dispatch=dispatch, number=1, status=200, milliseconds=9, tried_at=NOW)
        subscribing.replay(hook.subscription, NOW - timedelta(days=1), NOW, by=BY, now=NOW)
        return world.an_api_key("account.person", sites=[site]), reader.value


def walled(cursor):
    """Every table that is not global, partitions aside: they are no way in."""
    rows = cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
    )
    names = [name for (name,) in (rows or cursor).fetchall()]
    return [name for name in names if name not in GLOBAL_TABLES]


def key_of(table):
    return "id" if table == Tenant._meta.db_table else "tenant_id"


def count(admin, table, tenant):
    return admin.execute(f'SELECT count(*) FROM "{table}" WHERE {key_of(table)} = %s', [tenant.pk]).fetchone()[0]


def copy_shape(admin, table, tenant):
    """A row made from the columns alone; what it refers to is any row of the same tenant."""
    references = dict(
        admin.execute(
            "SELECT a.attname, k.confrelid::regclass::text FROM pg_constraint k JOIN pg_attribute a "
            "ON a.attrelid = k.conrelid AND a.attnum = k.conkey[array_length(k.conkey, 1)] "
            "WHERE k.contype = 'f' AND k.conrelid = %s::regclass",
            [f'public."{table}"'],
        ).fetchall()
    )
    columns = admin.execute(
        "SELECT attname, atttypid::regtype::text, atttypmod FROM pg_attribute WHERE attrelid = %s::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = ''",
        [f'public."{table}"'],
    ).fetchall()
    values = {}
    for name, kind, modifier in columns:
        if name == "tenant_id":
            values[name] = tenant.pk
        elif name in references:
            target = references[name]
            own = "" if target in GLOBAL_TABLES else f" WHERE {key_of(target)} = {tenant.pk}"
            row = admin.execute(f'SELECT id FROM "{target}"{own} LIMIT 1').fetchone()
            if row is None:
                copy_shape(admin, target, tenant)
                row = admin.execute(f'SELECT id FROM "{target}"{own} LIMIT 1').fetchone()
            values[name] = row[0]
        elif kind in ("character varying", "text"):
            values[name] = f"{table}-{tenant.pk}"[: modifier - 4 if modifier > 0 else None]
        elif kind == "uuid":
            values[name] = f"00000000-0000-4000-8000-{tenant.pk:012}"
        elif kind == "bytea":
            values[name] = tenant.pk.to_bytes(32)
        elif kind == "jsonb":
            values[name] = "[]"
        elif kind == "date":
            values[name] = NOW.date()
        elif kind.startswith("timestamp"):
            values[name] = NOW
        elif kind == "boolean":
            values[name] = True
        elif kind in ("bigint", "integer", "smallint"):
            values[name] = tenant.pk
        elif kind.endswith("[]"):
            values[name] = []
        else:
            pytest.fail(f"{table}.{name} is a {kind}: say in copy_shape or fill what a row holds")
    names = ", ".join(f'"{name}"' for name in values)
    admin.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join(["%s"] * len(values))})', list(values.values()))


def as_tenant(sql, tenant):
    sql.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant.pk) if tenant else ""])


def refused(sql, statement, params=()):
    """The SQLSTATE with which a statement is refused; otherwise how many rows it touched."""
    try:
        with transaction.atomic():
            sql.execute(statement, params)
            return sql.rowcount
    except DatabaseError as error:
        return error.__cause__.sqlstate


def a_row(admin, table, tenant):
    """One row as JSON."""
    return admin.execute(
        f'SELECT to_jsonb(t)::text FROM "{table}" t WHERE {key_of(table)} = %s ORDER BY id LIMIT 1', [tenant.pk]
    ).fetchone()[0]


@cache
def insert(table):
    """Adds a row that is given as JSON."""
    with connection.cursor() as cursor:
        # What the database computes itself cannot be given.
        cursor.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            [f'public."{table}"'],
        )
        columns = cursor.fetchone()[0]
    return f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::"{table}", %s::jsonb)'


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


def test_the_finder_is_asked_by_these_functions_only(admin):
    functions = admin.execute(
        "SELECT p.oid::regprocedure::text, proowner::regrole::text, prosecdef, proconfig, "
        "has_function_privilege('public', p.oid, 'EXECUTE'), has_function_privilege(%s, p.oid, 'EXECUTE') "
        "FROM pg_proc p WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
        [APPLICATION],
    ).fetchall()
    assert {name for name, *_ in functions} == FINDER_FUNCTIONS | OWNERS_FUNCTIONS
    for name, owner, definer, options, everybody, application in functions:
        assert owner == (FINDER if name in FINDER_FUNCTIONS else "gatehouse_owner")
        # Without a fixed path whoever calls could put a table of their own in the way.
        assert options == ["search_path=public, pg_temp"], name
        assert (definer, everybody, application) == (True, False, True), name


def test_the_finder_has_rights_to_what_it_looks_up_only(admin):
    granted = {}
    for table, right in admin.execute(
        "SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = %s::regrole "
        "UNION ALL SELECT c.relname, format('%%s (%%s)', a.privilege_type, t.attname) FROM pg_class c "
        "JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a WHERE a.grantee = %s::regrole",
        [FINDER, FINDER],
    ):
        granted.setdefault(table, set()).add(right)
    assert granted == FINDER_MAY
    assert admin.execute(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = %s", [FINDER]
    ).fetchone() == (False, False, False, False)
    everybody = admin.execute(
        "SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a "
        "WHERE a.grantee = 0 AND c.relnamespace IN ('public'::regnamespace, 'finder'::regnamespace)"
    ).fetchall()
    assert everybody == []


def ask(sql, function, *values):
    sql.execute(f"SELECT * FROM finder.{function}({', '.join(['%s'] * len(values))})", values)
    return sql.fetchall()


def test_a_key_leads_to_its_own_tenant_and_to_nothing_else(made, sql):
    for tenant in (made.acme, made.globex):
        for value in made.keys[tenant.pk]:
            [row] = ask(sql, "caller_by_key", keys.digests(value), NOW)
            assert row[1] == tenant.pk
            sql.execute("SELECT current_setting('app.tenant_id')")
            assert sql.fetchone() == (str(tenant.pk),)
    as_tenant(sql, None)
    for unknown in (keys.digests("ghk_" + "a" * 32), [], [b""], [None]):
        assert ask(sql, "caller_by_key", unknown, NOW) == []
    sql.execute("SELECT current_setting('app.tenant_id')")
    assert sql.fetchone() == ("",)


@contextmanager
def changed(tenant, model, **values):
    with transaction.atomic():
        with tenant_transaction(tenant.pk):
            assert model._base_manager.update(**values)
        yield
        transaction.set_rollback(True)


def test_a_dead_key_and_a_suspended_tenant_lead_nowhere(made, sql):
    acme, (key, _) = made.acme, made.keys[made.acme.pk]
    for model, values in (
        (ApiKey, {"revoked_at": NOW}),
        (ApiKey, {"expires_at": NOW}),
        (Tenant, {"suspended_at": NOW}),
    ):
        with changed(acme, model, **values):
            assert ask(sql, "caller_by_key", keys.digests(key), NOW) == []
    with changed(acme, ApiKey, expires_at=NOW):
        assert len(ask(sql, "caller_by_key", keys.digests(key), NOW - timedelta(seconds=1))) == 1


def test_a_user_is_led_to_their_own_places_only(made, sql):
    for tenant in (made.acme, made.globex):
        user = User.objects.get(email=f"host@{tenant.slug}.example")
        [(place, name, _, role, all_sites, site_ids)] = ask(sql, "places_of_user", user.pk)
        assert (place, name, role, all_sites) == (tenant.pk, tenant.name, "host", False)
        assert len(site_ids) == 1
        for model, values in ((Membership, {"ended_at": NOW}), (Tenant, {"suspended_at": NOW})):
            with changed(tenant, model, **values):
                assert ask(sql, "places_of_user", user.pk) == []
    assert ask(sql, "places_of_user", 0) == []


@pytest.mark.parametrize(
    "function",
    sorted(
        name.split("(")[0].removeprefix("finder.")
        for name in FINDER_FUNCTIONS
        # What was typed lately, or is told or counted at any time, is no work that is due; tests/test_watching.py,
        # tests/test_alarms.py, tests/test_counting.py and tests/test_patterns.py ask for it.
        if "tenants_" in name
        and "recent" not in name
        and "untold" not in name
        and "uncounted" not in name
        and "unwatched" not in name
    ),
)
def test_due_work_is_told_by_tenant_and_nothing_more(made, sql, function):
    with transaction.atomic():
        for tenant in (made.acme, made.globex):
            with tenant_transaction(tenant.pk):
                Credential.objects.update(due_at=NOW, rotate_at=NOW)
                Role.objects.update(rotation_applied_days=0)
                Reservation.objects.update(start_time=NOW - timedelta(hours=1), end_time=NOW)
                if "dispatches" in function:
                    Dispatch.objects.update(state="sent", next_attempt_at=None, settled_at=NOW)
                if "stale" in function:
                    Delivery.objects.update(state="failed", failed_at=NOW, next_attempt_at=None)
        both = {(made.acme.pk,), (made.globex.pk,)}
        assert set(ask(sql, function, NOW)) == both
        assert ask(sql, function, NOW - timedelta(days=1)) == []
        assert len(ask(sql, function, NOW)) == 2
        transaction.set_rollback(True)
