"""Migration operations that build the wall underneath: what PostgreSQL itself enforces between tenants.

Every tenant table gets forced row security, UNIQUE (tenant_id, id) and same-tenant foreign keys that are checked
at once. What happened (events, audit) can be added and read, never changed. What must be found before a tenant is
known is asked through functions of the NOLOGIN role `gatehouse_finder`, which sees exactly the tables named here.
"""

from typing import Any

from django.db import models
from django.db.migrations.operations.base import Operation

from accounts.tenancy import TenantForeignKey

APPLICATION = "gatehouse"
FINDER = "gatehouse_finder"

# Every table without a wall, and why it has none; a table that is neither here nor walled stops the start.
GLOBAL_TABLES = {
    "accounts_user": "One person may be staff of several tenants; what they may do there is in Membership.",
    "auth_group": "Django's; empty, because rights stand in accounts/rights.py.",
    "auth_group_permissions": "Django's; empty, likewise.",
    "auth_permission": "Django's names of permissions, the same for every tenant.",
    "django_admin_log": "Django's; never written, because its text would cross tenants.",
    "django_content_type": "Django's names of models, the same for every tenant.",
    "django_migrations": "Which migrations ran; the application only reads it.",
    "django_session": "A sign-in comes before its tenant; it holds ids of a user and the chosen tenant.",
    "staff_staffsession": "Likewise, and when its screen was used; a session is locked in whatever tenant it acts.",
    "otp_static_staticdevice": "A second factor belongs to a user, not to a tenant.",
    "otp_static_statictoken": "Likewise.",
    "otp_totp_totpdevice": "Likewise.",
}

_THIS_TENANT = "nullif(current_setting('app.tenant_id', true), '')::bigint"
_DEFAULT = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
_ON_DELETE = {models.CASCADE: "CASCADE", models.PROTECT: "RESTRICT", models.RESTRICT: "RESTRICT"}


class _Statements(Operation):
    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing that Django's picture of the models knows about."""

    def forwards(self, app_label: str, state: Any) -> list[str]:
        raise NotImplementedError

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        # Foreign keys and indexes that Django has put off would otherwise come after ours.
        for statement in self.forwards(app_label, to_state):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """The table goes, and takes its policies and constraints with it."""


class OpenSchema(_Statements):
    """The application may use the tables that migrations make; the finder has a schema for its functions."""

    def forwards(self, app_label: str, state: Any) -> list[str]:
        return [
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APPLICATION}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APPLICATION}",
            f"{_DEFAULT} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APPLICATION}",
            f"{_DEFAULT} USAGE, SELECT ON SEQUENCES TO {APPLICATION}",
            # Only migrations write down which of them ran.
            f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {APPLICATION}",
            f"CREATE SCHEMA finder AUTHORIZATION {FINDER}",
            f"GRANT USAGE ON SCHEMA finder TO {APPLICATION}",
        ]


class SecureTable(_Statements):
    """Wall off one tenant table: row security, grants, and same-tenant foreign keys.

    `append_only` leaves INSERT and SELECT. `key` is the column that says whose row it is (the tenant's own table
    has `id`).
    """

    def __init__(self, model: str, *, append_only: bool = False, key: str = "tenant_id") -> None:
        self.model, self.append_only, self.key = model, append_only, key

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.model], {"append_only": self.append_only, "key": self.key}

    def describe(self) -> str:
        return f"Wall off {self.model} between tenants"

    def forwards(self, app_label: str, state: Any) -> list[str]:
        model = state.apps.get_model(app_label, self.model)
        table = model._meta.db_table
        own = f"{self.key} = {_THIS_TENANT}"
        statements = [
            f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
            f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
            f'CREATE POLICY tenant_only ON "{table}" TO {APPLICATION} USING ({own}) WITH CHECK ({own})',
        ]
        if self.key == "tenant_id" and not self.append_only:
            statements.append(f'ALTER TABLE "{table}" ADD CONSTRAINT "{table}_tenant" UNIQUE (tenant_id, id)')
        if self.append_only:
            statements.append(f'REVOKE UPDATE, DELETE ON "{table}" FROM {APPLICATION}')
        references = [field for field in model._meta.local_fields if isinstance(field, TenantForeignKey)]
        return statements + [
            same_tenant_key(table, field.column, field.related_model._meta.db_table, field) for field in references
        ]


class SameTenantKey(_Statements):
    """A same-tenant foreign key for one column, where Django's model has none or gets it later."""

    def __init__(self, table: str, column: str, to: str, *, on_delete: str = "RESTRICT") -> None:
        self.table, self.column, self.to, self.on_delete = table, column, to, on_delete

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.table, self.column, self.to], {"on_delete": self.on_delete}

    def forwards(self, app_label: str, state: Any) -> list[str]:
        return [_foreign_key(self.table, self.column, self.to, self.on_delete)]


class FinderMayRead(_Statements):
    """The finder sees every row of these tables (and nothing of any other), to answer its functions."""

    def __init__(self, *models: str, columns: str = "", update: str = "") -> None:
        self.models, self.columns, self.update = models, columns, update

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, list(self.models), {"columns": self.columns, "update": self.update}

    def forwards(self, app_label: str, state: Any) -> list[str]:
        statements = []
        for name in self.models:
            table = state.apps.get_model(app_label, name)._meta.db_table
            columns = f" ({self.columns})" if self.columns else ""
            statements += [
                f'GRANT SELECT{columns} ON "{table}" TO {FINDER}',
                f'CREATE POLICY finder_reads ON "{table}" FOR SELECT TO {FINDER} USING (true)',
            ]
            if self.update:
                everything = "USING (true) WITH CHECK (true)"
                statements += [
                    f'GRANT UPDATE ({self.update}) ON "{table}" TO {FINDER}',
                    f'CREATE POLICY finder_updates ON "{table}" FOR UPDATE TO {FINDER} {everything}',
                ]
        return statements


class FinderFunction(_Statements):
    """A SECURITY DEFINER function of the finder that the application may call.

    `signature` is the name with typed arguments, `returns` the result, `body` one SQL or PL/pgSQL text.
    """

    def __init__(self, signature: str, returns: str, body: str, *, language: str = "sql", volatility: str = "STABLE"):
        self.signature, self.returns, self.body = signature, returns, body
        self.language, self.volatility = language, volatility

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        options = {"language": self.language, "volatility": self.volatility}
        return type(self).__name__, [self.signature, self.returns, self.body], options

    def forwards(self, app_label: str, state: Any) -> list[str]:
        how = f"LANGUAGE {self.language} {self.volatility} SECURITY DEFINER SET search_path = public, pg_temp AS"
        return [
            f"SET ROLE {FINDER}",
            f"CREATE OR REPLACE FUNCTION finder.{self.signature} RETURNS {self.returns} {how} $body${self.body}$body$",
            f"REVOKE ALL ON FUNCTION finder.{self.signature} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION finder.{self.signature} TO {APPLICATION}",
            "RESET ROLE",
        ]


def same_tenant_key(table: str, column: str, to: str, field: Any) -> str:
    """The composite constraint of a TenantForeignKey, with the deletion rule that the field states."""
    on_delete = field.remote_field.on_delete
    if on_delete is models.SET_NULL:
        return _foreign_key(table, column, to, f'SET NULL ("{column}")')
    return _foreign_key(table, column, to, _ON_DELETE[on_delete])


def _foreign_key(table: str, column: str, to: str, on_delete: str) -> str:
    return (
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{table}_{column}_same_tenant" FOREIGN KEY (tenant_id, "{column}") '
        f'REFERENCES "{to}" (tenant_id, id) ON DELETE {on_delete} NOT DEFERRABLE'
    )
