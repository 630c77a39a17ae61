"""The product does not start where a wall between tenants is missing."""

import os
import re
from contextlib import contextmanager
from pathlib import Path
from subprocess import run
from sys import executable

import environ
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from accounts.checks import refuse_unsafe_start, walls_stand
from accounts.rls import GLOBAL_TABLES
from tests.conftest import _admin


@pytest.fixture
def admin(django_db_setup, django_db_blocker):
    """The administrator, and Django outside any transaction: a check must see what was committed."""
    with django_db_blocker.unblock(), _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        admin.execute("SET lock_timeout = '5s'")
        connection.close()
        try:
            yield admin
        finally:
            connection.close()


@contextmanager
def broken(admin, statement, mend):
    admin.execute(statement)
    try:
        yield
    finally:
        connection.close()
        admin.execute(mend)


def problems():
    return {message.id.removeprefix("gatehouse.") for message in walls_stand(None, databases=["default"])}


def test_the_walls_of_this_database_stand(admin):
    assert problems() == set()
    refuse_unsafe_start()
    call_command("check", databases=["default"])


def test_without_a_database_nothing_is_asked():
    assert walls_stand(None) == []


OPEN = "CREATE POLICY open ON {table} USING (true)"
NEW = "CREATE TABLE forgotten (id bigint, tenant_id bigint)"


@pytest.mark.parametrize(
    ("statement", "mend", "found"),
    [
        *[
            (
                f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                "E003",
            )
            for table in ("people_person", "accounts_tenant", "access_event")
        ],
        (
            "ALTER TABLE vault_fingerprint NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE vault_fingerprint FORCE ROW LEVEL SECURITY",
            "E003",
        ),
        (NEW, "DROP TABLE forgotten", "E003"),
        ("ALTER TABLE people_person RENAME TO people", "ALTER TABLE people RENAME TO people_person", "E002"),
        (f"{NEW}; ALTER TABLE forgotten OWNER TO gatehouse", "DROP TABLE forgotten", "E004"),
        ("GRANT TRUNCATE ON access_event TO gatehouse", "REVOKE TRUNCATE ON access_event FROM gatehouse", "E006"),
        (
            "GRANT SELECT ON access_event_default TO gatehouse",
            "REVOKE SELECT ON access_event_default FROM gatehouse",
            "E007",
        ),
        (
            "GRANT SELECT (person_id) ON access_event_default TO gatehouse",
            "REVOKE SELECT (person_id) ON access_event_default FROM gatehouse",
            "E007",
        ),
        (OPEN.format(table="people_person"), "DROP POLICY open ON people_person", "E008"),
        (
            OPEN.format(table="people_person").replace("USING", "TO gatehouse USING"),
            "DROP POLICY open ON people_person",
            "E008",
        ),
        ("CREATE VIEW everybody AS SELECT * FROM people_person", "DROP VIEW everybody", "E009"),
    ],
)
def test_a_missing_wall_stops_the_start(admin, statement, mend, found):
    with broken(admin, statement, mend):
        assert found in problems()
        with pytest.raises(ImproperlyConfigured, match=f"gatehouse.{found}"):
            refuse_unsafe_start()
        with pytest.raises(SystemCheckError, match=f"gatehouse.{found}"):
            call_command("check", databases=["default"])
    assert problems() == set()


def test_a_policy_that_does_not_ask_for_the_tenant_stops_the_start(admin):
    using = admin.execute(
        "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 'people_group'::regclass"
    ).fetchone()[0]
    with broken(
        admin,
        "ALTER POLICY tenant_only ON people_group USING (true)",
        f"ALTER POLICY tenant_only ON people_group USING ({using})",
    ):
        assert problems() == {"E008"}


@contextmanager
def connected_as(**values):
    before = connection.settings_dict.copy()
    connection.settings_dict.update(values)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ("SUPERUSER", "E001"),
        ("BYPASSRLS", "E001"),
        # Without INHERIT it has the other role's rights only after SET ROLE: a way all the same.
        ("NOINHERIT IN ROLE gatehouse_owner", "E005"),
        ("NOINHERIT IN ROLE gatehouse_finder", "E005"),
        ("IN ROLE pg_read_all_data", "E005"),
    ],
)
def test_a_role_that_is_too_strong_stops_the_start(admin, attributes, found):
    # Roles are the whole server's: the one of the application is in use by other tests.
    role = f"strong_{os.environ['GATEHOUSE_TEST_DATABASE']}"
    admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'strong' {attributes}")
    try:
        with connected_as(USER=role, PASSWORD="strong"):
            assert found in problems()
    finally:
        admin.execute(f"DROP ROLE {role}")


def owners_settings():
    owner = environ.Env.db_url_config(settings.DATABASE_OWNER_URL)
    return {name: owner[name] for name in ("USER", "PASSWORD", "HOST", "PORT") if name in owner}


def test_the_owner_of_the_tables_may_not_serve(admin):
    with connected_as(**owners_settings()):
        assert {"E004", "E005"} <= problems()


def test_every_reason_for_a_global_table_is_a_sentence():
    assert all(len(reason) > 5 and reason.endswith(".") for reason in GLOBAL_TABLES.values())


def serve(database_url):
    """What granian does first, in a process of its own."""
    root = Path(settings.BASE_DIR)
    environment = os.environ | {"DATABASE_URL": database_url}
    return run(
        [executable, "-c", "from accesscontrol.wsgi import application; print('serves', application is not None)"],
        env=environment,
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_wsgi_serves_behind_walls_and_not_without(admin):
    name = os.environ["GATEHOUSE_TEST_DATABASE"]
    url = re.sub(r"/gatehouse(?=\?|$)", f"/{name}", os.environ["DATABASE_URL"])
    assert name in url
    served = serve(url)
    assert "serves True" in served.stdout, served.stderr
    with broken(
        admin,
        "ALTER TABLE people_person DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE people_person ENABLE ROW LEVEL SECURITY",
    ):
        refused = serve(url)
    assert refused.returncode != 0
    assert "gatehouse.E003" in refused.stderr
    assert "people_person" in refused.stderr
