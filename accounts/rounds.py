"""The round of a tick: tenant by tenant, each in its own transactions. What fails in one stops none of the others."""

import logging
import traceback
from collections.abc import Callable, Iterable

from django.db import connection

from accounts.tenancy import tenant_transaction

_log = logging.getLogger(__name__)


def go_round(what: str, tenant_ids: Iterable[int], deed: Callable[[], object]) -> None:
    """Do this in each tenant, again and again until it answers that nothing is left; `what` names it in the log."""
    for tenant_id in tenant_ids:
        while turn(what, tenant_id, deed):
            pass


def turn(what: str, tenant_id: int, deed: Callable[[], object]) -> bool:
    """Do this once in a transaction of one tenant; says whether more is left. What fails is logged, and is no more."""

    def within() -> object:
        with tenant_transaction(tenant_id):
            return deed()

    return guarded(what, tenant_id, within)


def guarded(what: str, tenant_id: int, deed: Callable[[], object]) -> bool:
    """The same for what opens its own transactions."""
    try:
        return bool(deed())
    except Exception as error:  # noqa: BLE001  # whatever it is, the other tenants have their turn
        told(f"{what} failed in tenant {tenant_id}", error)
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        return False


def told(what: str, error: Exception) -> None:
    """Log where something failed, without the error's text: it may hold a name or a PIN."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s (%s)\n%s", what, type(error).__name__, where)
