"""The clock of PIN sign-in. Late or twice does no harm: rows decide, and what is over is over without it."""

from functools import partial
from typing import Any

from celery import shared_task
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.rounds import go_round
from pins.signin import erasing
from pins.signin.resetting import forgetting


@shared_task
def tell_forgotten(**unknown: Any) -> None:
    """Send links and codes to those who asked for them, tenants taking turns."""
    turns = erasing.tenants_with_forgotten_pins(timezone.now())
    while turns:
        left: list[int] = []
        for tenant_id in turns:
            go_round("Forgotten PINs", [tenant_id], partial(_tell, tenant_id, left))
        turns = left


def _tell(tenant_id: int, left: list[int]) -> None:
    if forgetting.work_off(by=SYSTEM, now=timezone.now()) == forgetting.BATCH:
        left.append(tenant_id)


@shared_task
def erase_over(**unknown: Any) -> None:
    """Erase what is over, tenant by tenant."""
    go_round(
        "Sign-ins",
        erasing.tenants_with_sign_ins_over(timezone.now()),
        lambda: erasing.erase_over(timezone.now()) >= erasing.BATCH,
    )
