"""The clock of retention and of the platform's figures. Late or twice does no harm."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accesscontrol.overview import figures, retention
from accounts import tenants
from accounts.rounds import go_round


@shared_task
def erase_due(**unknown: Any) -> None:
    """Erase whose time is over, tenant by tenant, until nobody is."""
    failed: set[int] = set()
    go_round(
        "Retention",
        retention.tenants_with_due(timezone.now()),
        lambda: retention.erase_due(timezone.now(), failed) >= retention.BATCH,
    )


@shared_task
def count_tenants(**unknown: Any) -> None:
    """Count whose figures are too old, each tenant for itself."""

    def count() -> None:
        figures.count(timezone.now())

    go_round("Counting", tenants.all_ids(), count)
