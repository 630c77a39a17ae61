"""The clock of expiry, rotation, visits and bulk steps. Late or twice does no harm."""

from time import monotonic
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from accesscontrol.visits import arriving, batches, expiry, host_notice, rotation
from accesscontrol.visits.importing import checking
from accounts.tenancy import tenant_transaction

# A run ends well before the broker would hand it to a second worker.
_RUN_SECONDS: Final = 30.0


@shared_task
def expire_due(**unknown: Any) -> None:
    """Look at what is due, tenant by tenant, until nothing is."""
    for tenant_id in expiry.tenants_with_due(timezone.now()):
        while True:
            with tenant_transaction(tenant_id):
                looked_at = expiry.expire_due(timezone.now())
            if looked_at < expiry.BATCH:
                break


@shared_task
def rotate_due(**unknown: Any) -> None:
    """Replace PINs ahead of their end and bury those whose overlap is over, tenant by tenant, until none is due."""
    for tenant_id in rotation.tenants_with_due(timezone.now()):
        while True:
            with tenant_transaction(tenant_id):
                looked_at = rotation.rotate_due(timezone.now())
            if looked_at < rotation.BATCH:
                break


@shared_task
def clear_no_shows(**unknown: Any) -> None:
    """Clear visits that are over and that nobody came to, tenant by tenant."""
    for tenant_id in arriving.tenants_with_no_shows(timezone.now()):
        while True:
            with tenant_transaction(tenant_id):
                cleared = arriving.clear_no_shows(timezone.now())
            if cleared < arriving.BATCH:
                break


@shared_task
def tell_hosts(**unknown: Any) -> None:
    """Tell hosts that their visitors are here, tenant by tenant."""
    for tenant_id in host_notice.tenants_with_untold_hosts():
        while True:
            with tenant_transaction(tenant_id):
                looked_at = host_notice.tell_hosts(timezone.now())
            if looked_at < host_notice.BATCH:
                break


@shared_task
def work_off(**unknown: Any) -> None:
    """Go on with bulk steps and files, tenants taking turns, for half a minute: then the next tick goes on."""
    until = monotonic() + _RUN_SECONDS
    turns = batches.tenants_with_work(timezone.now())
    for tenant_id in turns:
        with tenant_transaction(tenant_id):
            batches.discard_stale(timezone.now())
    while turns and monotonic() < until:
        turns = [tenant_id for tenant_id in turns if _worked(tenant_id)]


def _worked(tenant_id: int) -> int:
    with tenant_transaction(tenant_id):
        checked = checking.work(timezone.now())
    with tenant_transaction(tenant_id):
        return batches.work(timezone.now()) or checked
