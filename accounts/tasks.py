"""The clock of what accounts keep for a while only."""

from typing import Any

from celery import shared_task
from django.db import connection
from django.utils import timezone

from accounts import applications, idempotency
from accounts.rounds import go_round


@shared_task
def forget_answers(**unknown: Any) -> None:
    """Forget kept answers after a day, tenant by tenant."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_old_answers(%s)", [now - idempotency.KEPT])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    go_round("Kept answers", tenant_ids, lambda: idempotency.forget(now))


@shared_task
def forget_tokens(**unknown: Any) -> None:
    """Delete codes and tokens of OAuth that can do nothing any more, tenant by tenant, so many at a time."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_old_tokens(%s)", [now - applications.TOKENS_KEPT])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    go_round("Tokens", tenant_ids, lambda: applications.forget_tokens(now) >= applications.BATCH)
