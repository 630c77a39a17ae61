"""The clock of PIN sign-in. Late or twice does no harm: rows decide, and what is over is over without it."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.tenancy import tenant_transaction
from pins.signin import erasing
from pins.signin.resetting import forgetting


@shared_task
def tell_forgotten(**unknown: Any) -> None:
    """Send links and codes to those who asked for them, tenants taking turns."""
    turns = erasing.tenants_with_forgotten_pins(timezone.now())
    while turns:
        left = []
        for tenant_id in turns:
            with tenant_transaction(tenant_id):
                if forgetting.work_off(by=SYSTEM, now=timezone.now()) == forgetting.BATCH:
                    left.append(tenant_id)
        turns = left


@shared_task
def erase_over(**unknown: Any) -> None:
    """Erase what is over, tenant by tenant."""
    for tenant_id in erasing.tenants_with_sign_ins_over(timezone.now()):
        while True:
            with tenant_transaction(tenant_id):
                erased = erasing.erase_over(timezone.now())
            if erased < erasing.BATCH:
                break
