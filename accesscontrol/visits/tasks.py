"""The clock of expiry and rotation. Late or twice does no harm."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accesscontrol.visits import expiry, rotation
from accounts.tenancy import tenant_transaction


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
