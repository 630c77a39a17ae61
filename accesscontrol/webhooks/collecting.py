"""Turns happenings into messages, subscription by subscription, each from its own position.

Position and messages move in one transaction: nothing is told twice or not at all. While a subscription has very much
unsettled it collects no more; its position stands, and the rows are kept.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Q

from accesscontrol.access.following import horizon
from accesscontrol.webhooks import happenings, payloads
from accesscontrol.webhooks.happenings import Happening
from accesscontrol.webhooks.models import Dispatch, Replay, Subscription

BATCH: Final = 200
MOST_UNSETTLED: Final = 10_000


@transaction.atomic
def collect(subscription_id: int, *, now: datetime) -> bool:
    """Collect one batch for a subscription of the current tenant; says whether there may be more at once."""
    rows = Subscription.objects.filter(pk=subscription_id, state=Subscription.State.ACTIVE)
    # Whoever settles a message waits for this, so that none is held with nothing left to release it.
    subscription = rows.select_for_update(of=("self",), no_key=True).first()
    if subscription is None or _is_full(subscription):
        return False
    end = horizon()
    position = (subscription.xact_id, subscription.source, subscription.row_id)
    found, has_more = happenings.collect(subscription.kinds, position, BATCH, of_events=_wanted(subscription))
    _queue(subscription, found, now)
    # Past the last one; or past everything that was visible before the rows were read.
    position = found[-1].position if has_more else max(position, (end, -1, 0))
    subscription.xact_id, subscription.source, subscription.row_id = position
    subscription.save(update_fields=["xact_id", "source", "row_id"])
    return has_more or _replay(subscription, now)


def _replay(subscription: Subscription, now: datetime) -> bool:
    asked = Replay.objects.filter(subscription=subscription, done_at=None).order_by("id").first()
    if asked is None:
        return False
    begin = (asked.occurred_at, asked.source, asked.row_id)
    wanted = _wanted(subscription)
    found, has_more = happenings.collect_period(subscription.kinds, begin, asked.ends_at, BATCH, of_events=wanted)
    _queue(subscription, found, now, is_replay=True)
    if found:
        last = found[-1]
        asked.occurred_at, asked.source, asked.row_id = last.occurred_at, last.source, last.row.pk
        asked.collected += len(found)
    asked.done_at = None if has_more else now
    asked.save(update_fields=["occurred_at", "source", "row_id", "collected", "done_at"])
    return True


def _wanted(subscription: Subscription) -> Q:
    """Which Events it is told of: of some codes, at some doors."""
    wanted = Q()
    if subscription.event_codes:
        wanted &= Q(code__in=subscription.event_codes)
    if subscription.channel_ids:
        wanted &= Q(channel_id__in=subscription.channel_ids)
    return wanted


def _queue(subscription: Subscription, found: Sequence[Happening], now: datetime, *, is_replay: bool = False) -> None:
    told = payloads.tell(found)
    busy = _busy(subscription, {each.subject for each in told.values()})
    queued = []
    for happening in found:
        each = told[happening.message_id]
        is_first = each.subject not in busy
        busy.add(each.subject)
        queued.append(
            Dispatch(
                subscription=subscription,
                message_id=happening.message_id,
                type=happening.type,
                subject=each.subject,
                body=payloads.body_of(happening, each, subscription),
                state=Dispatch.State.QUEUED if is_first else Dispatch.State.HELD,
                next_attempt_at=now if is_first else None,
                is_replay=is_replay,
                occurred_at=happening.occurred_at,
                collected_at=now,
            )
        )
    Dispatch.objects.bulk_create(queued, ignore_conflicts=True)


def _busy(subscription: Subscription, subjects: Iterable[str]) -> set[str]:
    unsettled = Dispatch.objects.filter(
        subscription=subscription, subject__in=list(subjects), state__in=Dispatch.UNSETTLED
    )
    return set(unsettled.order_by().values_list("subject", flat=True).distinct())


def _is_full(subscription: Subscription) -> bool:
    unsettled = Dispatch.objects.filter(subscription=subscription, state__in=Dispatch.UNSETTLED)
    return unsettled.order_by()[:MOST_UNSETTLED].count() >= MOST_UNSETTLED
