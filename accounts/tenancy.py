"""Which tenant the running code works for: the wall in Python; row-level security is the wall underneath.

A query on a tenant table outside a tenant raises NoTenant. Inside, every query is limited to that tenant, and
PostgreSQL is told the same for this transaction only. The tenant always comes from who is calling.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.db import connection, models, transaction
from django.forms import ModelChoiceField

_tenant_id: ContextVar[int | None] = ContextVar("tenant_id", default=None)
_M = TypeVar("_M", bound=models.Model)


class NoTenant(RuntimeError):
    """A tenant table was asked for before it was known for whom."""


def current_tenant_id() -> int:
    """The tenant the running code works for; raises NoTenant when there is none."""
    tenant_id = _tenant_id.get()
    if tenant_id is None:
        raise NoTenant("no tenant is set: open tenant_context() first")
    return tenant_id


def tenant_of_new_row() -> int | None:
    """The default of a row's tenant; without one PostgreSQL refuses the row."""
    return _tenant_id.get()


@contextmanager
def tenant_context(tenant_id: int) -> Iterator[None]:
    """Work for one tenant inside an open transaction; restores the tenant that was set before."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("tenant_context() needs an open transaction")
    before = _tenant_id.get()
    _announce(tenant_id)
    with remembered_tenant(tenant_id):
        try:
            yield
        finally:
            if not _is_broken():
                _announce(before)


@contextmanager
def tenant_transaction(tenant_id: int) -> Iterator[None]:
    """One transaction of work for one tenant."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if not outermost:
            with tenant_context(tenant_id):
                yield
            return
        # COMMIT and ROLLBACK forget the setting by themselves: no statement is spent on restoring it.
        _announce(tenant_id)
        with remembered_tenant(tenant_id):
            yield


@contextmanager
def remembered_tenant(tenant_id: int) -> Iterator[None]:
    """The wall in Python alone, for a transaction in which PostgreSQL was told the tenant already."""
    token = _tenant_id.set(tenant_id)
    try:
        yield
    finally:
        _tenant_id.reset(token)


def _announce(tenant_id: int | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant_id or "")])


def _is_broken() -> bool:
    """After a database error nothing more can be said, and the setting goes with the (sub)transaction."""
    status = connection.connection.info.transaction_status
    return connection.needs_rollback or status.name not in ("INTRANS", "ACTIVE")


class TenantManager(models.Manager[_M]):
    """Rows of the current tenant; raises NoTenant when there is none."""

    def get_queryset(self) -> models.QuerySet[_M]:
        return super().get_queryset().filter(tenant_id=current_tenant_id())

    def none(self) -> models.QuerySet[_M]:
        """No rows of no tenant: forms are declared before a tenant is known."""
        return super().get_queryset().none()


class TenantModel(models.Model):
    """A row that belongs to one tenant; its migration makes the table safe with `rls.SecureTable`."""

    tenant = models.ForeignKey(
        "accounts.Tenant",
        on_delete=models.PROTECT,
        default=tenant_of_new_row,
        editable=False,
        related_name="+",
        # Every index that is any use begins with the tenant. One of the tenant alone is kept for nothing, and the plans
        # that PostgreSQL makes for references while a table is young go by it, through all rows of the tenant.
        db_index=False,
    )

    objects: ClassVar[TenantManager[Self]] = TenantManager()

    class Meta:
        abstract = True

    def validate_constraints(self, exclude: Any = None) -> None:
        """Model forms leave the tenant out of their fields; constraints that name it must still be checked."""
        super().validate_constraints(exclude={name for name in exclude or () if name != "tenant"})


if TYPE_CHECKING:
    # The checker's Django plugin knows what an attribute holds from Django's own class only.
    TenantForeignKey = models.ForeignKey
else:

    class TenantForeignKey(models.ForeignKey):
        """A reference within the tenant: `rls.SecureTable` gives it a composite constraint that is checked at once.

        Django's own constraint would neither compare tenants nor be checked before COMMIT.
        """

        def __init__(self, to: Any, on_delete: Any, **options: Any) -> None:
            options["db_constraint"] = False
            super().__init__(to, on_delete, **options)

        def formfield(self, **kwargs: Any) -> Any:
            """Forms are declared before a tenant is known: they offer nothing until they are made for a request."""
            if _tenant_id.get() is not None:
                return super().formfield(**kwargs)
            choices = {
                "form_class": ModelChoiceField,
                "queryset": self.related_model._default_manager.none(),
                "to_field_name": self.remote_field.field_name,
            }
            return models.Field.formfield(self, **{**choices, **kwargs, "blank": self.blank})
