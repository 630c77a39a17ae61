"""When to look at the queue: a tick for whatever is due, a nudge for one tenant. A task carries ids only.

Run twice or at once they do no harm: the rows decide who sends what.
"""

from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, Final

from celery import shared_task
from django.db import connection
from django.utils import timezone

from accounts.rounds import go_round, guarded
from pins.deliveries import queueing
from pins.deliveries.sending import send_next

# A run ends well before the broker would hand it to a second worker; the next tick goes on.
_RUN_SECONDS: Final = 30.0


@shared_task
def send_due(**kwargs: Any) -> None:
    """The tick: send what is due, tenants taking turns, so that none waits behind another's bulk."""
    _take_turns(_tenants("tenants_with_due_deliveries", timezone.now()))


@shared_task
def send_one_tenant(*, tenant_id: int, **kwargs: Any) -> None:
    """The nudge: send what is due for one tenant."""
    _take_turns([tenant_id])


@shared_task
def erase_failed(**kwargs: Any) -> None:
    """Erase the content of messages that failed more than a week ago."""
    now = timezone.now()

    def erase() -> None:
        queueing.erase_failed(now=now)

    go_round("Failed messages", _tenants("tenants_with_stale_deliveries", now - queueing.KEEP_FAILED), erase)


def _take_turns(turns: list[int]) -> None:
    until = monotonic() + _RUN_SECONDS
    while turns and monotonic() < until:
        turns = [tenant_id for tenant_id in turns if guarded("Messages", tenant_id, _sending(tenant_id))]


def _sending(tenant_id: int) -> partial[bool]:
    return partial(send_next, tenant_id, clock=timezone.now)


def _tenants(function: str, instant: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM finder.{function}(%s)", [instant])
        return [row[0] for row in cursor.fetchall()]
