"""How big each tenant is and how well it runs, counted by a tick into one row each: numbers, and nothing of anybody.

The platform owner reads these rows alone. Health is counted every few minutes, size once an hour; events are those
that charts have counted already.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Min, Q

from accesscontrol.access import counting
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Person
from accesscontrol.webhooks.models import Dispatch, Subscription
from accounts.models import TenantFigures
from pins.deliveries.models import Delivery

HEALTH_EVERY: Final = timedelta(minutes=5)
SIZE_EVERY: Final = timedelta(hours=1)
DAYS: Final = 30
QUARTER: Final = 15 * 60
FAILED_WITHIN: Final = timedelta(days=7)
MOST_FAILED: Final = 1000
# Whatever waits longer than this has somebody or something in its way.
LATE: Final = timedelta(minutes=10)
UNERASED: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Glance:
    """One tenant as the platform owner sees it; numbers are None before the first count."""

    id: int
    name: str
    slug: str
    created_at: datetime
    suspended_at: datetime | None
    people: int | None
    doors: int | None
    pins: int | None
    events: int | None
    failed_deliveries: int | None
    silent_doors: int | None
    paused_webhooks: int | None
    oldest_undone_at: datetime | None
    counted_at: datetime | None


def all_tenants() -> list[Glance]:
    """Every tenant by name; asked with none set, by platform owners alone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM finder.figures_of_all()")
        names = [column.name for column in cursor.description or ()]
        return [Glance(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


@transaction.atomic
def count(now: datetime) -> bool:
    """Count the current tenant anew where its figures are too old; returns whether anything was counted."""
    held = TenantFigures.objects.select_for_update().first()
    if held is not None and now - held.counted_at < HEALTH_EVERY:
        return False
    figures = held or TenantFigures(sized_at=now - SIZE_EVERY)
    if now - figures.sized_at >= SIZE_EVERY:
        _count_size(figures, now)
    _count_health(figures, now)
    figures.counted_at = now
    figures.save()
    return True


def _count_size(figures: TenantFigures, now: datetime) -> None:
    figures.people = Person.objects.filter(deleted_at=None).count()
    figures.doors = Channel.objects.count()
    pins = Credential.objects.filter(type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None)
    figures.pins = pins.count()
    # As charts count them, up to the quarter of an hour that is going on.
    end = datetime.fromtimestamp(now.timestamp() // QUARTER * QUARTER, UTC)
    counts = counting.read([end - timedelta(days=DAYS), end])
    figures.events = sum(count.total for of_channel in counts.values() for count in of_channel.values())
    figures.sized_at = now


def _count_health(figures: TenantFigures, now: datetime) -> None:
    failed = Delivery.objects.undelivered().filter(queued_at__gt=now - FAILED_WITHIN)
    figures.failed_deliveries = failed.order_by()[:MOST_FAILED].count()
    silent = Alarm.objects.filter(kind=Alarm.Kind.SILENCE, ended_at=None, raised_at__gt=now - timedelta(days=DAYS))
    figures.silent_doors = silent.count()
    figures.paused_webhooks = Subscription.objects.filter(state=Subscription.State.FAILING).count()
    waiting = Q(state__in=["queued", "sending"], next_attempt_at__lte=now)
    due = Delivery.objects.filter(waiting, next_attempt_at__isnull=False).aggregate(oldest=Min("next_attempt_at"))
    told = Dispatch.objects.filter(waiting, subscription__state=Subscription.State.ACTIVE)
    # Whoever should have been erased and was not, for whatever reason; an hour is many ticks.
    erased = Person.objects.filter(retention_at__lte=now - UNERASED).aggregate(oldest=Min("retention_at"))
    dues = [due["oldest"], told.aggregate(oldest=Min("next_attempt_at"))["oldest"], erased["oldest"]]
    figures.oldest_undone_at = min((moment for moment in dues if moment is not None), default=None)
