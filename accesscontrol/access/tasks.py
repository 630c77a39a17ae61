"""The clock of events: months ahead get their partition, old months and attempt ids are forgotten."""

from datetime import timedelta
from time import monotonic
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accesscontrol.access import contact, counting, partitions, patterns, telling, watching
from accesscontrol.access.models import Attempt
from accounts.tenancy import tenant_transaction

ATTEMPTS_KEPT = timedelta(hours=24)
_began = monotonic()


@shared_task
def make_partitions(**unknown: Any) -> None:
    """Keep partitions ready for this month and the next."""
    partitions.make(timezone.now().date(), partitions.MONTHS_AHEAD)


@shared_task
def drop_partitions(**unknown: Any) -> None:
    """Forget events of months that are older than the installation keeps, where it names a number."""
    if settings.EVENTS_KEPT_MONTHS:
        partitions.drop(settings.EVENTS_KEPT_MONTHS, timezone.now().date())


@shared_task
def tell_alarms(**unknown: Any) -> None:
    """Tell of alarms, tenant by tenant, until nobody is left to be told."""
    for tenant_id in telling.tenants_with_untold():
        while True:
            with tenant_transaction(tenant_id):
                looked_at = telling.tell_due(timezone.now())
            if looked_at < telling.BATCH:
                break


@shared_task
def watch_sites(**unknown: Any) -> None:
    """Look for guessing that is spread over the doors of a site, tenant by tenant."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_recent_failures(%s)", [now - watching.WITHIN])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    for tenant_id in tenant_ids:
        with tenant_transaction(tenant_id):
            watching.watch_sites(now)


@shared_task
def watch_patterns(**unknown: Any) -> None:
    """Look for suspicious patterns in what is new, tenant by tenant, until nothing is."""
    for tenant_id in patterns.tenants_with_new_events():
        while True:
            with tenant_transaction(tenant_id):
                looked_at = patterns.watch(timezone.now())
            if looked_at < patterns.BATCH:
                break


@shared_task
def watch_contact(**unknown: Any) -> None:
    """Look for controllers that have fallen silent, tenant by tenant."""
    if monotonic() - _began < contact.SILENCE.total_seconds():
        # The product itself was away: its doors could not be heard, and get as long to come back.
        return
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_silent_channels(%s)", [now - contact.SILENCE])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    for tenant_id in tenant_ids:
        with tenant_transaction(tenant_id):
            contact.watch(now)


@shared_task
def count_events(**unknown: Any) -> None:
    """Count what is new at the doors, tenant by tenant."""
    for tenant_id in counting.tenants_with_uncounted():
        while True:
            with tenant_transaction(tenant_id):
                has_more = counting.count_new(timezone.now())
            if not has_more:
                break


@shared_task
def forget_attempts(**unknown: Any) -> None:
    """Forget attempt ids after a day, tenant by tenant."""
    before = timezone.now() - ATTEMPTS_KEPT
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_old_attempts(%s)", [before])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    for tenant_id in tenant_ids:
        with tenant_transaction(tenant_id):
            Attempt.objects.filter(occurred_at__lte=before).delete()
