"""Which worker has which message, and how it ended. Each step is one short transaction.

A lease lasts 60 s; when a worker dies, the next one finds the row due again. A failed try is repeated after 5 s,
30 s, 2, 10 and 30 min, 1, 2, 4, 6 and 11 h: a day and half an hour in all; then the message has failed and the next
of its subject goes. Where nothing at all succeeded for a day the subscription is paused and keeps what waits.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber

from accesscontrol.webhooks.gateways import Outcome
from accesscontrol.webhooks.models import Dispatch, Subscription, Try
from accounts.tenancy import current_tenant_id

LEASE: Final = timedelta(seconds=60)
BACK_OFF: Final = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=6),
    timedelta(hours=11),
)
MOST_ATTEMPTS: Final = len(BACK_OFF) + 1
PAUSED_AFTER: Final = timedelta(days=1)
# An address that gives no answer so often in a row is left alone for a while, twice as long each time.
MISSES_BEFORE_REST: Final = 4
REST: Final = timedelta(seconds=5)
LONGEST_REST: Final = timedelta(minutes=5)
_GONE: Final = 410

# ARRAY(…) runs once; under a plain IN the planner may repeat the sub-select and claim more than `limit`.
_CLAIM = """
    UPDATE webhooks_dispatch
       SET state = 'sending', attempts = attempts + 1, lease_until = %(until)s, next_attempt_at = %(until)s
     WHERE tenant_id = %(tenant)s AND id = ANY (ARRAY(
           SELECT id FROM webhooks_dispatch
            WHERE tenant_id = %(tenant)s AND subscription_id = %(subscription)s
              AND state IN ('queued', 'sending') AND next_attempt_at <= %(now)s
            ORDER BY next_attempt_at, id LIMIT %(limit)s
              FOR UPDATE SKIP LOCKED))
    RETURNING *
"""


def take(subscription_id: int, *, now: datetime) -> Subscription | None:
    """Have a subscription of the current tenant to oneself for 60 s; None where it is not active or taken."""
    free = Subscription.objects.filter(pk=subscription_id, state=Subscription.State.ACTIVE)
    if not free.exclude(lease_until__gt=now).update(lease_until=now + LEASE):
        return None
    return Subscription.objects.get(pk=subscription_id)


def keep(subscription: Subscription, *, now: datetime) -> None:
    """Begin the lease anew."""
    Subscription.objects.filter(pk=subscription.pk).update(lease_until=now + LEASE)


def leave(subscription: Subscription) -> None:
    """Let others have it."""
    Subscription.objects.filter(pk=subscription.pk).update(lease_until=None)


def claim(subscription: Subscription, *, now: datetime, limit: int) -> list[Dispatch]:
    """Take up to `limit` due messages for 60 s, those of a lost worker included; each is about another subject."""
    values = {
        "tenant": current_tenant_id(),
        "subscription": subscription.pk,
        "now": now,
        "until": now + LEASE,
        "limit": limit,
    }
    return list(Dispatch.objects.raw(_CLAIM, values))


@transaction.atomic
def settle(dispatch: Dispatch, outcome: Outcome, *, now: datetime) -> Subscription | None:
    """Record how a try ended; returns the subscription where this paused it."""
    subscription = Subscription.objects.select_for_update(of=("self",), no_key=True).get(pk=dispatch.subscription_id)
    ours = Dispatch.objects.filter(
        pk=dispatch.pk, state=Dispatch.State.SENDING, lease_until=dispatch.lease_until, attempts=dispatch.attempts
    )
    if not ours.exists():
        return None
    Try.objects.create(
        dispatch=dispatch,
        number=dispatch.attempts,
        status=outcome.status,
        error=outcome.error,
        answer=outcome.answer,
        milliseconds=outcome.milliseconds,
        tried_at=now,
    )
    if outcome.is_accepted:
        _end(dispatch, Dispatch.State.SENT, subscription, now)
        _note(subscription, failing_since=None, misses=0, rest_until=None)
        return None
    misses = subscription.misses + 1 if outcome.status is None else 0
    rest = min(REST * 2 ** min(max(0, misses - MISSES_BEFORE_REST), 10), LONGEST_REST)
    _note(
        subscription,
        failing_since=subscription.failing_since or now,
        misses=min(misses, 1000),
        rest_until=now + rest if misses >= MISSES_BEFORE_REST else None,
    )
    since = subscription.failing_since
    if outcome.status == _GONE or (since is not None and now - since >= PAUSED_AFTER):
        ours.update(state=Dispatch.State.HELD, next_attempt_at=None, lease_until=None)
        return subscription if halt(subscription, Subscription.State.FAILING, now) else None
    if dispatch.attempts >= MOST_ATTEMPTS:
        _end(dispatch, Dispatch.State.FAILED, subscription, now)
    elif subscription.state == Subscription.State.ACTIVE:
        ours.update(
            state=Dispatch.State.QUEUED, next_attempt_at=now + BACK_OFF[dispatch.attempts - 1], lease_until=None
        )
    else:
        ours.update(state=Dispatch.State.HELD, next_attempt_at=None, lease_until=None)
    return None


def _end(dispatch: Dispatch, state: str, subscription: Subscription, now: datetime) -> None:
    """Settle a message and let the next of its subject go."""
    Dispatch.objects.filter(pk=dispatch.pk).update(state=state, settled_at=now, next_attempt_at=None, lease_until=None)
    if subscription.state != Subscription.State.ACTIVE:
        return
    held = Dispatch.objects.filter(
        subscription=subscription, subject=dispatch.subject, state=Dispatch.State.HELD
    ).order_by("id")
    Dispatch.objects.filter(pk__in=list(held.values_list("pk", flat=True)[:1])).update(
        state=Dispatch.State.QUEUED, next_attempt_at=now
    )


def _note(subscription: Subscription, **values: object) -> None:
    changed = [name for name, value in values.items() if getattr(subscription, name) != value]
    for name in changed:
        setattr(subscription, name, values[name])
    if changed:
        subscription.save(update_fields=changed)


def halt(subscription: Subscription, state: str, now: datetime) -> bool:
    """Stop a locked, active subscription; what waits is held. What is on the wire right now still is recorded."""
    if subscription.state != Subscription.State.ACTIVE:
        return False
    subscription.state, subscription.updated_at = state, now
    subscription.save(update_fields=["state", "updated_at"])
    Dispatch.objects.filter(subscription=subscription, state=Dispatch.State.QUEUED).update(
        state=Dispatch.State.HELD, next_attempt_at=None
    )
    return True


def release_all(subscription: Subscription, now: datetime) -> None:
    """Queue the first of every subject, its tries counted anew; the others wait for it."""
    unsettled = Dispatch.objects.filter(subscription=subscription, state__in=Dispatch.UNSETTLED).annotate(
        place=Window(RowNumber(), partition_by="subject", order_by=F("id").asc())
    )
    first = list(unsettled.filter(place=1, state=Dispatch.State.HELD).values_list("pk", flat=True))
    Dispatch.objects.filter(pk__in=first).update(state=Dispatch.State.QUEUED, next_attempt_at=now, attempts=0)
