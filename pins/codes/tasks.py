"""The clock of one-time codes. Late or twice does no harm: an expired code is dead without it."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accounts.tenancy import tenant_transaction
from pins.codes import erasing


@shared_task
def erase_codes(**unknown: Any) -> None:
    """Erase what is over, tenant by tenant."""
    for tenant_id in erasing.tenants_with_codes_over(timezone.now()):
        while True:
            with tenant_transaction(tenant_id):
                erased = erasing.erase_over(timezone.now())
            if erased < erasing.BATCH:
                break
