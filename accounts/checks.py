"""Refuses to start where a wall between tenants is missing.

Asks the database, not the models: a table that no list names and no policy guards is found whoever made it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from accounts.models import Tenant
from accounts.rls import APPLICATION, GLOBAL_TABLES
from accounts.tenancy import TenantModel

# A role that does not inherit may still SET ROLE: what counts is membership, not use.
_ROLE = """
    SELECT me.rolsuper OR me.rolbypassrls,
           ARRAY(SELECT other.rolname FROM pg_roles other
                 WHERE other.oid <> me.oid AND pg_has_role(me.oid, other.oid, 'MEMBER'))
    FROM pg_roles me WHERE me.rolname = current_user
"""
_TABLES = """
    SELECT c.relname, c.relispartition, c.relrowsecurity AND c.relforcerowsecurity,
           pg_has_role(c.relowner, 'MEMBER'),
           has_table_privilege(c.oid, 'TRUNCATE'),
           has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
               OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE'),
           ARRAY(SELECT p.polcmd = '*' AND pg_get_expr(p.polqual, p.polrelid) LIKE '%app.tenant_id%'
                        AND pg_get_expr(p.polqual, p.polrelid) = pg_get_expr(p.polwithcheck, p.polrelid)
                 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive
                   AND EXISTS (SELECT FROM unnest(p.polroles) AS r WHERE r = 0 OR pg_has_role(r, 'MEMBER')))
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'f')
"""
_VIEWS = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
"""


@checks.register(checks.Tags.database)
def walls_stand(app_configs: Any, databases: Sequence[str] | None = None, **options: Any) -> list[checks.CheckMessage]:
    """The application's own connection must be bound by row security on every table that is not global."""
    return list(_problems()) if databases else []


def _problems() -> Iterator[checks.CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute(_ROLE)
        [(bypasses, others)] = cursor.fetchall()
        cursor.execute(_TABLES)
        tables = {name: rest for name, *rest in cursor.fetchall()}
        cursor.execute(_VIEWS)
        views = [name for (name,) in cursor.fetchall()]
    hint = f"Connect as the plain role “{APPLICATION}”, as in deploy/."
    if bypasses:
        yield checks.Error(
            "The database role of the application passes row security by.", hint=hint, id="gatehouse.E001"
        )
        return
    if others:
        yield checks.Error(
            f"The database role of the application may become {', '.join(sorted(others))}.",
            hint=hint,
            id="gatehouse.E005",
        )
    for table in sorted({model._meta.db_table for model in (Tenant, *tenant_models())} - set(tables)):
        yield checks.Error(f"Table {table} is missing.", hint="Run migrate.", id="gatehouse.E002")
    for table in sorted(tables):
        is_partition, is_secured, is_owned, may_truncate, is_reachable, policies = tables[table]
        if is_owned:
            yield checks.Error(f"The application's database role owns table {table}.", hint=hint, id="gatehouse.E004")
        elif may_truncate:
            yield checks.Error(f"The application may empty table {table}.", id="gatehouse.E006")
        elif is_partition:
            # Row security is that of the table which is asked: a partition must not be asked at all.
            if is_reachable:
                yield checks.Error(f"Partition {table} can be reached past its table.", id="gatehouse.E007")
        elif table not in GLOBAL_TABLES:
            if not is_secured:
                yield checks.Error(f"Table {table} has no forced row security.", id="gatehouse.E003")
            elif policies != [True]:
                yield checks.Error(
                    f"Table {table} is not limited to one tenant by exactly one policy.", id="gatehouse.E008"
                )
    for view in sorted(views):
        yield checks.Error(f"View {view} is asked with its owner's rights, past row security.", id="gatehouse.E009")


def tenant_models() -> list[Any]:
    """Every model whose rows belong to one tenant."""
    return [model for model in apps.get_models(include_auto_created=True) if issubclass(model, TenantModel)]


def refuse_unsafe_start() -> None:
    """Called before the first request is served; raises with every problem in one text."""
    errors = [message for message in checks.run_checks(databases=["default"]) if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(str(error) for error in errors))
