"""One run: collect what is new, send what is due. Subscriptions side by side, so that none waits for a slow one.

No transaction is open while a receiver is asked. A run ends well before the broker would hand it to a second worker,
and only one goes on at a time: webhooks never take every worker from the messages that carry PINs.
"""

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Final

from django.db import connection

from accesscontrol.webhooks import claiming, collecting, gateways, notices, signing
from accesscontrol.webhooks.models import Dispatch, Subscription
from accounts.rounds import turn
from accounts.tenancy import tenant_transaction
from pins.vault.sealing import Tampered

SIDE_BY_SIDE: Final = 8
AT_ONCE: Final = 4
RUN_SECONDS: Final = 20.0

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Place = tuple[int, int]


def run(*, clock: Clock, seconds: float = RUN_SECONDS) -> None:
    """Collect and send for all tenants until nothing is due or the time is over."""
    until = monotonic() + seconds
    _collect(clock, until)
    busy: dict[Future[None], Place] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="webhooks") as threads:
        while monotonic() < until:
            _collect(clock, until)
            due = [place for place in _places("webhooks_due", [clock()]) if place not in busy.values()]
            for tenant_id, subscription_id in due[: SIDE_BY_SIDE - len(busy)]:
                future = threads.submit(_send_all, tenant_id, subscription_id, clock, until)
                busy[future] = (tenant_id, subscription_id)
            if not busy:
                return
            done, _ = wait(busy, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                del busy[future]
                future.result()


def _collect(clock: Clock, until: float) -> None:
    """Take turns, so that one tenant's bulk does not hold up the others'."""
    turns = _places("webhooks_with_news", [])
    while turns and monotonic() < until:
        turns = [
            (tenant_id, subscription_id)
            for tenant_id, subscription_id in turns
            if turn("Webhooks", tenant_id, partial(collecting.collect, subscription_id, now=clock()))
        ]


def _places(function: str, values: list[datetime]) -> list[Place]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM finder.{function}({', '.join(['%s'] * len(values))})", values)
        return [(tenant_id, subscription_id) for tenant_id, subscription_id in cursor.fetchall()]


def _send_all(tenant_id: int, subscription_id: int, clock: Clock, until: float) -> None:
    """Send what is due for one subscription, a few at once, until nothing is, it rests, or the time is over."""
    try:
        with tenant_transaction(tenant_id):
            subscription = claiming.take(subscription_id, now=clock())
        if subscription is None:
            return
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhooks-post") as threads:
                while monotonic() < until and _send_some(tenant_id, subscription, threads, clock):
                    pass
        finally:
            with tenant_transaction(tenant_id):
                claiming.leave(subscription)
    except Exception as error:  # noqa: BLE001  # one subscription's trouble is not another's
        _log.error("Webhook %s cannot be served: %s", subscription_id, type(error).__name__)
    finally:
        connection.close()


def _send_some(tenant_id: int, subscription: Subscription, threads: ThreadPoolExecutor, clock: Clock) -> bool:
    """Claim, send and settle one handful; says whether to go on."""
    with tenant_transaction(tenant_id):
        current = Subscription.objects.get(pk=subscription.pk)
        now = clock()
        if current.state != Subscription.State.ACTIVE or (current.rest_until and now < current.rest_until):
            return False
        try:
            valid = signing.secrets_of(current, now)
        except Tampered:
            _log.error("The secret of webhook %s does not open.", current.pk)
            return False
        claimed = claiming.claim(current, now=now, limit=AT_ONCE)
        claiming.keep(current, now=now)
    outcomes = threads.map(lambda dispatch: _post(dispatch, current, valid, clock), claimed)
    for dispatch, outcome in zip(claimed, outcomes, strict=True):
        with tenant_transaction(tenant_id):
            paused = claiming.settle(dispatch, outcome, now=clock())
            if paused is not None:
                notices.tell_owners(paused, now=clock())
    return bool(claimed)


def _post(dispatch: Dispatch, subscription: Subscription, valid: list[str], clock: Clock) -> gateways.Outcome:
    headers = signing.headers_of(dispatch, subscription.form, valid, clock())
    return gateways.post(subscription.url, dispatch.body.encode(), headers, whole_seconds=gateways.WHOLE_SECONDS)
