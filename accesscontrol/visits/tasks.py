"""The clock of expiry, rotation, visits and bulk steps. Late or twice does no harm."""

from time import monotonic
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from accesscontrol.visits import arriving, batches, expiry, host_notice, rotation
from accesscontrol.visits.importing import checking
from accounts.rounds import go_round, turn

# A run ends well before the broker would hand it to a second worker.
_RUN_SECONDS: Final = 30.0


@shared_task
def expire_due(**unknown: Any) -> None:
    """Look at what is due, tenant by tenant, until nothing is."""
    go_round(
        "Expiry", expiry.tenants_with_due(timezone.now()), lambda: expiry.expire_due(timezone.now()) >= expiry.BATCH
    )


@shared_task
def rotate_due(**unknown: Any) -> None:
    """Replace PINs ahead of their end and bury those whose overlap is over, tenant by tenant, until none is due."""
    go_round(
        "Rotation",
        rotation.tenants_with_due(timezone.now()),
        lambda: rotation.rotate_due(timezone.now()) >= rotation.BATCH,
    )


@shared_task
def clear_no_shows(**unknown: Any) -> None:
    """Clear visits that are over and that nobody came to, tenant by tenant."""
    go_round(
        "No-shows",
        arriving.tenants_with_no_shows(timezone.now()),
        lambda: arriving.clear_no_shows(timezone.now()) >= arriving.BATCH,
    )


@shared_task
def tell_hosts(**unknown: Any) -> None:
    """Tell hosts that their visitors are here, tenant by tenant."""
    go_round(
        "Host notices",
        host_notice.tenants_with_untold_hosts(),
        lambda: host_notice.tell_hosts(timezone.now()) >= host_notice.BATCH,
    )


@shared_task
def work_off(**unknown: Any) -> None:
    """Go on with bulk steps and files, tenants taking turns, for half a minute: then the next tick goes on."""
    until = monotonic() + _RUN_SECONDS
    turns = batches.tenants_with_work(timezone.now())
    go_round("Stale bulk steps", turns, lambda: batches.discard_stale(timezone.now()))
    while turns and monotonic() < until:
        checked = {tenant_id for tenant_id in turns if turn("Files", tenant_id, lambda: checking.work(timezone.now()))}
        worked = {
            tenant_id for tenant_id in turns if turn("Bulk steps", tenant_id, lambda: batches.work(timezone.now()))
        }
        turns = [tenant_id for tenant_id in turns if tenant_id in checked | worked]
