"""The clock of webhooks: tell what is due, forget what is old. Run twice or at once they do no harm."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from accesscontrol.webhooks import running
from accesscontrol.webhooks.models import Dispatch
from accounts.rounds import go_round

KEPT = timedelta(days=30)
BATCH = 5000
_TURN = "gatehouse:webhooks:run"
# Longer than a run with its last requests.
_TURN_SECONDS = 60


@shared_task
def tell(**unknown: Any) -> None:
    """Collect what is new and send what is due, unless somebody is at it."""
    redis = Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    try:
        with redis:
            if not redis.set(_TURN, "1", nx=True, ex=_TURN_SECONDS):
                return
            try:
                running.run(clock=timezone.now)
            finally:
                redis.delete(_TURN)
    except RedisError:
        # The claims keep two runs apart; the turn only saves workers.
        running.run(clock=timezone.now)


@shared_task
def forget(**unknown: Any) -> None:
    """Delete what was settled more than 30 days ago, with its tries."""
    before = timezone.now() - KEPT
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM finder.tenants_with_old_dispatches(%s)", [before])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]

    def forget_some() -> bool:
        old = Dispatch.objects.filter(settled_at__lte=before).order_by("settled_at")
        ids = list(old.values_list("pk", flat=True)[:BATCH])
        Dispatch.objects.filter(pk__in=ids).delete()
        return len(ids) == BATCH

    go_round("Webhook log", tenant_ids, forget_some)
