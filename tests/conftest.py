"""Real PostgreSQL as the application's role, and real Redis.

The controlling process starts the servers; each worker has its own database and Redis number. One small world:
tenants Acme and Globex; Ann may, Bob may not, Mallory is of the other tenant.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest

from accesscontrol import embedded

TEMPLATE = "test_template"
_running = ExitStack()
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")

if not _worker:
    # Before Django reads its settings, and before workers inherit the environment.
    for _name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "PIN_KEYS_FILE", "PIN_KEYS"):
        os.environ.pop(_name, None)
    _folder = Path(tempfile.mkdtemp(prefix="gatehouse-tests-"))
    _running.callback(shutil.rmtree, _folder, ignore_errors=True)
    os.environ["GATEHOUSE_DATA"] = str(_folder / "var")
    _servers = _running.enter_context(embedded.servers(_folder / "var", durable=False))
    _servers.export()
    os.environ["GATEHOUSE_TEST_ADMIN_URL"] = _servers.admin_url or ""
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


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with open(Path(os.environ["GATEHOUSE_DATA"]) / "tests.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_template(connection: Any, settings: Any) -> None:
    """Migrate once, under another name until it is whole; workers copy it."""
    from django.core.management import call_command

    with _admin("postgres") as admin:
        admin.execute("DROP DATABASE IF EXISTS test_unfinished")
        admin.execute("CREATE DATABASE test_unfinished OWNER gatehouse_owner")
    with _admin("test_unfinished") as admin:
        admin.execute((settings.BASE_DIR / "deploy" / "database.sql").read_text())
    connection.settings_dict["NAME"] = "test_unfinished"
    call_command("migrate", verbosity=0)
    connection.close()
    with _admin("test_unfinished") as admin:
        # Chance must not decide between two tests what the planner knows, or in what order a table gives its rows.
        admin.execute("""
            DO $$ DECLARE t regclass; BEGIN
            FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
                EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
            END LOOP; END $$
        """)
    with _admin("postgres") as admin:
        admin.execute(f'ALTER DATABASE test_unfinished RENAME TO "{TEMPLATE}"')


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: object) -> Iterator[None]:
    """A database of this worker's own, migrated by the owner, used as the application."""
    from django.conf import settings
    from django.db import connection

    name = f"test_{_worker or 'main'}"
    with django_db_blocker.unblock(), _one_at_a_time():  # type: ignore[attr-defined]
        with _admin("postgres") as admin:
            found = admin.execute("SELECT FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
        if found is None:
            _make_template(connection, settings)
        with _admin("postgres") as admin:
            admin.execute(f'CREATE DATABASE "{name}" OWNER gatehouse_owner TEMPLATE "{TEMPLATE}"')
            # A copy takes the tables, not the rights to the database itself.
            admin.execute(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    number = int(_worker.removeprefix("gw") or 0) + 1 if _worker else 15
    settings.REDIS_URL = settings.REDIS_URL.replace("db=0", f"db={number}")
    settings.CELERY_BROKER_URL = settings.CELERY_BROKER_URL.replace("virtual_host=0", f"virtual_host={number}")
    connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = name
    os.environ["GATEHOUSE_TEST_DATABASE"] = name
    yield
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connection.close()


@pytest.fixture(autouse=True)
def _plain_settings(settings: object) -> None:
    """Cheap passwords, and mail that is kept in memory unless a test names a server."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]
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


def _empty() -> None:
    name = os.environ["GATEHOUSE_TEST_DATABASE"]
    with _admin(name) as admin:
        tables = admin.execute(
            "SELECT format('%I', relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'django_migrations'"
        ).fetchall()
        admin.execute(f"TRUNCATE {', '.join(str(table) for (table,) in tables)} RESTART IDENTITY CASCADE")
    # Numbers start anew, and what Redis counted under them must not be the next one's.
    from django.conf import settings
    from redis import Redis

    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
