"""The clock of events: months ahead get their partition, old months and attempt ids are forgotten."""

import logging
from datetime import timedelta
from time import monotonic
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accesscontrol.access import contact, counting, partitions, patterns, telling, watching
from accesscontrol.access.models import Attempt
from accounts.rounds import go_round

ATTEMPTS_KEPT = timedelta(hours=24)
_began = monotonic()
_log = logging.getLogger(__name__)


@shared_task
def make_partitions(**unknown: Any) -> None:
    """Keep partitions ready for this month and the next."""
    partitions.make(timezone.now().date(), partitions.MONTHS_AHEAD)


@shared_task
def drop_partitions(**unknown: Any) -> None:
    """Forget events of months that are older than the installation keeps, where it names a number."""
    if partitions.kept() != settings.EVENTS_KEPT_MONTHS:
        _log.warning("EVENTS_KEPT_MONTHS was changed: run migrate, so that the database keeps to it")
    if settings.EVENTS_KEPT_MONTHS:
        partitions.drop(settings.EVENTS_KEPT_MONTHS, timezone.now().date())


@shared_task
def tell_alarms(**unknown: Any) -> None:
    """Tell of alarms, tenant by tenant, until nobody is left to be told."""
    go_round("Alarms", telling.tenants_with_untold(), lambda: telling.tell_due(timezone.now()) >= telling.BATCH)


@shared_task
def watch_sites(**unknown: Any) -> None:
    """Look for guessing that is spread over the doors of a site, tenant by tenant."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_recent_failures(%s)", [now - watching.WITHIN])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    go_round("Guessing", tenant_ids, lambda: watching.watch_sites(now))


@shared_task
def watch_patterns(**unknown: Any) -> None:
    """Look for suspicious patterns in what is new, tenant by tenant, until nothing is."""
    go_round("Patterns", patterns.tenants_with_new_events(), lambda: patterns.watch(timezone.now()) >= patterns.BATCH)


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
    go_round("Silence", tenant_ids, lambda: contact.watch(now))


@shared_task
def count_events(**unknown: Any) -> None:
    """Count what is new at the doors, tenant by tenant."""
    go_round("Counts", counting.tenants_with_uncounted(), lambda: counting.count_new(timezone.now()))


@shared_task
def forget_attempts(**unknown: Any) -> None:
    """Forget attempt ids after a day, tenant by tenant."""
    before = timezone.now() - ATTEMPTS_KEPT
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_old_attempts(%s)", [before])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]

    def forget() -> None:
        Attempt.objects.filter(occurred_at__lte=before).delete()

    go_round("Attempts", tenant_ids, forget)
