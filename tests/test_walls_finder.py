"""The one way past row security: what may be looked up before a tenant is known, and what it tells."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction

from accesscontrol.credentials.models import Credential
from accesscontrol.doors.models import Role
from accesscontrol.reservations.models import Reservation
from accesscontrol.webhooks.models import Dispatch
from accounts import keys
from accounts.models import ApiKey, Membership, Tenant, User
from accounts.rls import APPLICATION, FINDER
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from tests.finder_rights import FINDER_FUNCTIONS, FINDER_MAY, OWNERS_FUNCTIONS
from tests.walled import admin_fixture, as_tenant, made_fixture, sql_fixture  # noqa: F401
from tests.world import NOW


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
