"""The clock of retention and of the platform's figures. Late or twice does no harm."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accesscontrol.overview import figures, retention
from accounts import tenants
from accounts.tenancy import tenant_transaction


@shared_task
def erase_due(**unknown: Any) -> None:
    """Erase whose time is over, tenant by tenant, until nobody is."""
    for tenant_id in retention.tenants_with_due(timezone.now()):
        while True:
            with tenant_transaction(tenant_id):
                looked_at = retention.erase_due(timezone.now())
            if looked_at < retention.BATCH:
                break


@shared_task
def count_tenants(**unknown: Any) -> None:
    """Count whose figures are too old, each tenant for itself."""
    for tenant_id in tenants.all_ids():
        with tenant_transaction(tenant_id):
            figures.count(timezone.now())
