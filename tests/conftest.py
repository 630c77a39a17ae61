"""Real PostgreSQL as the application's role, and real Redis.

Each worker has servers of its own: no test waits for what another one holds, or counts what another one does.
One small world: tenants Acme and Globex; Ann may, Bob may not, Mallory is of the other tenant.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import django
import hypothesis
import psycopg
import pytest

from accesscontrol import embedded

_DATABASE = "test"
_running = ExitStack()

# The same examples each time, and no limit that a busy machine reaches. `--hypothesis-profile search` looks for others.
hypothesis.settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "search", max_examples=1000, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("tx", None):
        # Workers do the work.
        return
    # Before Django reads its settings.
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "PIN_KEYS_FILE", "PIN_KEYS"):
        os.environ.pop(name, None)
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-tests-"))
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GATEHOUSE_DATA"] = str(folder / "var")
    servers = _running.enter_context(embedded.servers(folder / "var", durable=False))
    servers.export()
    os.environ["GATEHOUSE_TEST_ADMIN_URL"] = servers.admin_url or ""
    os.environ["DJANGO_SETTINGS_MODULE"] = "accesscontrol.settings"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in the thread of the test
    django.setup()


def pytest_unconfigure() -> None:
    _running.close()


# Few tests of minutes each. Whoever starts them last has one worker wait for the other.
_LONG = ("test_api_conformance.py", "test_tour_browser.py", "test_walls_urls.py", "test_bulk_browser.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (item.path.name not in _LONG, item.get_closest_marker("browser") is None))


def _admin(database: str) -> psycopg.Connection[tuple[object, ...]]:
    url = os.environ["GATEHOUSE_TEST_ADMIN_URL"].replace("/postgres?", f"/{database}?")
    return psycopg.connect(url, autocommit=True)


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: object) -> Iterator[None]:
    """A database, migrated by the owner, used as the application."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    with _admin("postgres") as admin:
        admin.execute(f"CREATE DATABASE {_DATABASE} OWNER gatehouse_owner")
    with _admin(_DATABASE) as admin:
        admin.execute((settings.BASE_DIR / "deploy" / "database.sql").read_text())
    connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = _DATABASE
    os.environ["GATEHOUSE_TEST_DATABASE"] = _DATABASE
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        call_command("migrate", verbosity=0)
        connection.close()
    with _admin(_DATABASE) as admin:
        # Chance must not decide between two tests what the planner knows, or in what order a table gives its rows.
        admin.execute("""
            DO $$ DECLARE t regclass; BEGIN
            FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
                EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
            END LOOP; END $$
        """)
    yield
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connection.close()


@pytest.fixture(autouse=True)
def _plain_settings(settings: object) -> None:
    """Cheap passwords, mail that is kept in memory unless a test names a server, static files looked for when asked."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]
    # Otherwise each new client begins with a look at all of them.
    settings.WHITENOISE_AUTOREFRESH = True  # type: ignore[attr-defined]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"  # type: ignore[attr-defined]


@pytest.fixture
def acme(db: None) -> Iterator[object]:
    """Work for Acme in one transaction that is rolled back; Globex exists too."""
    from accounts.tenancy import tenant_context
    from tests import world

    acme, _ = world.tenants_named("Acme", "Globex")
    with tenant_context(acme.pk):
        yield acme


@pytest.fixture
def live(django_db_setup: None, django_db_blocker: object) -> Iterator[object]:
    """Committed data, for threads and processes; the owner empties the tables afterwards."""
    from django.db import connections

    from tests import world

    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        try:
            yield world.live()
        finally:
            connections.close_all()
            _empty()


# Emptying every table takes new files for all of them: most tests write few rows, and those go quicker one by one.
_EMPTIED = """
    DO $$ DECLARE t regclass; every text; BEGIN
    SET LOCAL session_replication_role = replica;
    IF EXISTS (SELECT FROM tables_of_tests WHERE pg_relation_size(oid) > 1000000) THEN
        SELECT string_agg(oid::regclass::text, ', ') INTO every FROM tables_of_tests;
        EXECUTE format('TRUNCATE %s CASCADE', every);
    ELSE
        FOR t IN SELECT oid FROM tables_of_tests WHERE pg_relation_size(oid) > 0 LOOP
            EXECUTE format('DELETE FROM %s', t);
        END LOOP;
    END IF; END $$
""".replace(
    "tables_of_tests",
    "(SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
    "AND relname <> 'django_migrations') AS tables",
)


def _empty() -> None:
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        admin.execute(_EMPTIED)
        admin.execute(
            "SELECT setval(format('%I', sequencename)::regclass, start_value, false) FROM pg_sequences "
            "WHERE schemaname = 'public' AND last_value IS NOT NULL"
        )
    # Numbers start anew, and what Redis counted under them must not be the next one's.
    from django.conf import settings
    from redis import Redis

    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Ids begin anew after some tests: what a process remembers of one must not meet another."""
    from django.core.cache import cache

    yield
    cache.clear()
