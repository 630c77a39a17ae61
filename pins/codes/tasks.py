"""The clock of one-time codes. Late or twice does no harm: an expired code is dead without it."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accounts.rounds import go_round
from pins.codes import erasing


@shared_task
def erase_codes(**unknown: Any) -> None:
    """Erase what is over, tenant by tenant."""
    go_round(
        "Codes",
        erasing.tenants_with_codes_over(timezone.now()),
        lambda: erasing.erase_over(timezone.now()) >= erasing.BATCH,
    )
