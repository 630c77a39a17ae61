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
        try:
            has_more = True
            while has_more:
                with tenant_transaction(tenant_id):
                    has_more = bool(deed())
        except Exception as error:  # noqa: BLE001  # whatever it is, the other tenants have their turn
            told(f"{what} failed in tenant {tenant_id}", error)
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()


def told(what: str, error: Exception) -> None:
    """Log where something failed, without the error's text: it may hold a name or a PIN."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s (%s)\n%s", what, type(error).__name__, where)
