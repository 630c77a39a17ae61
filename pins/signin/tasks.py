"""The clock of PIN sign-in. Late or twice does no harm: rows decide, and what is over is over without it."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.rounds import go_round, turn
from pins.signin import erasing
from pins.signin.resetting import forgetting


@shared_task
def tell_forgotten(**unknown: Any) -> None:
    """Send links and codes to those who asked for them, tenants taking turns."""
    turns = erasing.tenants_with_forgotten_pins(timezone.now())
    while turns:
        turns = [tenant_id for tenant_id in turns if turn("Forgotten PINs", tenant_id, _tell)]


def _tell() -> bool:
    return forgetting.work_off(by=SYSTEM, now=timezone.now()) == forgetting.BATCH


@shared_task
def erase_over(**unknown: Any) -> None:
    """Erase what is over, tenant by tenant."""
    go_round(
        "Sign-ins",
        erasing.tenants_with_sign_ins_over(timezone.now()),
        lambda: erasing.erase_over(timezone.now()) >= erasing.BATCH,
    )
