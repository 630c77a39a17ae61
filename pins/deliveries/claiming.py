"""Which worker has which message, and how it ended. Each step is one short statement of its own transaction.

A claim lasts 60 s; when a worker dies, the next one finds the row due again. Whoever sends asks `still_ours`
right before, and only the holder of the lease records an outcome. A failed try is repeated after 30 s, 2 min,
10 min, 30 min, 2 h and 6 h; after that, or when the receiver is refused for good, the message has failed.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.db.models.functions import Coalesce

from accounts import audit
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery, DeliveryQuerySet

LEASE: Final = timedelta(seconds=60)
BACK_OFF: Final = (
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)
MOST_ATTEMPTS: Final = len(BACK_OFF) + 1

# ARRAY(…) runs once; under a plain IN the planner may repeat the sub-select and claim more than `limit`.
_CLAIM = """
    UPDATE deliveries_delivery
       SET state = 'sending', attempts = attempts + 1, lease_until = %(until)s, next_attempt_at = %(until)s
     WHERE tenant_id = %(tenant)s AND id = ANY (ARRAY(
           SELECT id FROM deliveries_delivery
            WHERE tenant_id = %(tenant)s AND state IN ('queued', 'sending') AND next_attempt_at <= %(now)s
            ORDER BY next_attempt_at LIMIT %(limit)s
              FOR UPDATE SKIP LOCKED))
    RETURNING *
"""


def claim(*, now: datetime, limit: int = 1) -> list[Delivery]:
    """Take up to `limit` due messages of the current tenant for 60 s, the ones of a lost worker included."""
    values = {"tenant": current_tenant_id(), "now": now, "until": now + LEASE, "limit": limit}
    return list(Delivery.objects.raw(_CLAIM, values))


def still_ours(delivery: Delivery, *, now: datetime) -> bool:
    """Whether a claimed message may go out now: not cancelled, nobody else has it. Its lease starts anew."""
    until = now + LEASE
    if not _leased(delivery).update(lease_until=until, next_attempt_at=until):
        return False
    delivery.lease_until = delivery.next_attempt_at = until
    return True


def record_sent(delivery: Delivery, *, now: datetime) -> None:
    """It went out, even if it was cancelled while it was on the wire; its content is erased."""
    state = Q(state__in=[Delivery.State.SENDING, Delivery.State.CANCELLED])
    sent = Delivery.objects.filter(state, id=delivery.id, lease_until=delivery.lease_until).update(
        state=Delivery.State.SENT,
        content=None,
        sent_at=now,
        next_attempt_at=None,
        lease_until=None,
        last_error="",
    )
    if sent:
        audit.record("send", "delivery", delivery.id, by=audit.SYSTEM, now=now)


def record_failure(delivery: Delivery, *, error: str, for_good: bool, now: datetime) -> None:
    """It did not go out: due again after the back-off, or failed. `error` is a code, no address, no PIN."""
    if for_good or delivery.attempts >= MOST_ATTEMPTS:
        outcome = {"state": Delivery.State.FAILED, "failed_at": now, "next_attempt_at": None}
    else:
        outcome = {"state": Delivery.State.QUEUED, "next_attempt_at": now + BACK_OFF[delivery.attempts - 1]}
    recorded = _leased(delivery).update(lease_until=None, last_error=error[:60], **outcome)
    if recorded and outcome["state"] == Delivery.State.FAILED:
        audit.record("fail", "delivery", delivery.id, by=audit.SYSTEM, now=now)


def record_bounce(delivery_id: int, *, reason: str, now: datetime) -> bool:
    """It was handed over and did not arrive; False where that is known or it was taken back. `reason` is a code.

    A report may be faster than the worker that handed the message over: then nothing is left for that to record.
    """
    handed_over = Q(state__in=[Delivery.State.SENDING, Delivery.State.SENT])
    recorded = Delivery.objects.filter(handed_over, id=delivery_id, medium=Delivery.Medium.EMAIL).update(
        state=Delivery.State.BOUNCED,
        content=None,
        sent_at=Coalesce("sent_at", now),
        failed_at=now,
        next_attempt_at=None,
        lease_until=None,
        last_error=reason[:60],
    )
    if recorded:
        audit.record("bounce", "delivery", delivery_id, by=audit.SYSTEM, now=now)
    return bool(recorded)


def _leased(delivery: Delivery) -> DeliveryQuerySet:
    return Delivery.objects.filter(id=delivery.id, state=Delivery.State.SENDING, lease_until=delivery.lease_until)
