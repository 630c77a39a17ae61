"""Refuses to start where a wall between tenants is missing."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from accounts.rls import APPLICATION
from accounts.tenancy import TenantModel


@checks.register(checks.Tags.database)
def walls_stand(
    app_configs: Any, databases: Sequence[str] | None = None, **options: Any
) -> list[checks.CheckMessage]:
    """The application's own connection must be bound by row security on every tenant table."""
    if not databases:
        return []
    problems: list[checks.CheckMessage] = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        superuser, bypasses = cursor.fetchone()
        if superuser or bypasses:
            problems.append(
                checks.Error(
                    "The database role of the application passes row security by.",
                    hint=f"Connect as the plain role “{APPLICATION}”, as in deploy/.",
                    id="gatehouse.E001",
                )
            )
        cursor.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity, pg_has_role(relowner, 'USAGE') "
            "FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
        tables = {name: (secured, owned) for name, secured, owned in cursor.fetchall()}
    for model in tenant_models():
        table = model._meta.db_table
        if table not in tables:
            problems.append(
                checks.Error(f"Table {table} is missing.", hint="Run migrate.", id="gatehouse.E002")
            )
        elif not tables[table][0]:
            problems.append(checks.Error(f"Table {table} has no forced row security.", id="gatehouse.E003"))
        elif tables[table][1]:
            problems.append(
                checks.Error(f"The application's database role owns table {table}.", id="gatehouse.E004")
            )
    return problems


def tenant_models() -> list[type[TenantModel]]:
    """Every model whose rows belong to one tenant."""
    return [model for model in apps.get_models(include_auto_created=True) if issubclass(model, TenantModel)]


def refuse_unsafe_start() -> None:
    """Called before the first request is served; raises with every problem in one text."""
    errors = [message for message in checks.run_checks(databases=["default"]) if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(str(error) for error in errors))
