"""Two tenants with a row in every walled table, and ways to ask as the application."""

import os
from datetime import timedelta
from functools import cache

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accesscontrol.access import attempts, commands, contact
from accesscontrol.access.models import Alarm, PatternRules
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Shift
from accesscontrol.people.models import Person
from accesscontrol.visits import batches, belonging, group_reserving
from accesscontrol.visits.models import RevealLink
from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Try
from accounts import keys
from accounts.models import IdempotentAnswer, Tenant
from accounts.rights import StaffRole
from accounts.rls import APPLICATION, GLOBAL_TABLES
from accounts.tenancy import tenant_transaction
from pins.deliveries import queueing
from pins.signin.models import SecurityAnswer, SignInSettings
from pins.signin.staff.models import StaffSettings
from tests import world
from tests.conftest import _admin, _empty
from tests.world import BY, NOW


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


@pytest.fixture(scope="module", name="made")
def made_fixture(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        try:
            yield Made()
        finally:
            connections.close_all()
            _empty()


@pytest.fixture(name="admin")
def admin_fixture(made):
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        # A lock that a test holds in its own transaction must fail the test, not hang it.
        admin.execute("SET lock_timeout = '5s'")
        yield admin


@pytest.fixture(name="sql")
def sql_fixture(made, db):
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
        PatternRules.objects.create()
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
