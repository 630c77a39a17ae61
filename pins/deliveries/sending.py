"""Send what is due for one tenant, message by message; no transaction is open while a gateway is asked.

What happens to one message is recorded on it and never stops the others, except that a gateway which does not
answer is not asked again in the same run. At least once: a worker that dies leaves its row to the next.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from traceback import extract_tb
from typing import Any

from accounts.models import TenantLogo
from accounts.tenancy import tenant_transaction
from pins.deliveries import claiming, gateways
from pins.deliveries.gateways import Unsendable
from pins.deliveries.models import Delivery
from pins.deliveries.rendering import Email, render_email, render_sms
from pins.vault.sealing import Tampered, open_json

_log = logging.getLogger(__name__)


def send_next(tenant_id: int, *, clock: Callable[[], datetime]) -> bool:
    """Claim and send one due message of the tenant; False when none is due or the gateway does not answer."""
    with tenant_transaction(tenant_id):
        claimed = claiming.claim(now=clock(), limit=1)
    for delivery in claimed:
        if not send_claimed(delivery, tenant_id, clock=clock):
            return False
    return bool(claimed)


def send_claimed(delivery: Delivery, tenant_id: int, *, clock: Callable[[], datetime]) -> bool:
    """Send one claimed message and record how it ended; False when the gateway does not answer."""
    try:
        hand_over = _prepare(delivery, tenant_id)
        with tenant_transaction(tenant_id):
            if not claiming.still_ours(delivery, now=clock()):
                return True
        hand_over()
    except Unsendable as failure:
        with tenant_transaction(tenant_id):
            claiming.record_failure(delivery, error=failure.code, for_good=failure.for_good, now=clock())
        _log.warning("Delivery %s was not sent: %s", delivery.id, failure.code)
        return not failure.gateway_is_down
    with tenant_transaction(tenant_id):
        claiming.record_sent(delivery, now=clock())
    return True


def _prepare(delivery: Delivery, tenant_id: int) -> Callable[[], None]:
    """Everything up to the gateway, done before the last look whether the message may still go."""
    if delivery.attempts > claiming.MOST_ATTEMPTS:
        # A message that takes its worker down with it every time must end too.
        raise Unsendable("worker_lost", for_good=True)
    try:
        context = _open(delivery, tenant_id)
        if delivery.medium == Delivery.Medium.SMS:
            text = render_sms(delivery.template, language=delivery.language, context=context)
            return lambda: gateways.send_sms(text, to=delivery.address)
        with tenant_transaction(tenant_id):
            logo = TenantLogo.objects.first()
        email = render_email(delivery.template, language=delivery.language, context=context, logo=logo)
    except Tampered:
        # Changed, or sealed under a key that this worker was not given: the second can be mended.
        raise Unsendable("content_does_not_open") from None
    except Exception as error:  # noqa: BLE001  # a template or a key that is wrong can be mended
        # Its text may quote the content: only kind and place are told.
        frame = extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        _log.error("Delivery %s cannot be prepared: %s at %s", delivery.id, type(error).__name__, place)
        raise Unsendable("not_prepared") from None
    return lambda: _send_email(delivery, email)


def _send_email(delivery: Delivery, email: Email) -> None:
    gateways.send_email(email, to=delivery.address, message_id=delivery.message_id)


def _open(delivery: Delivery, tenant_id: int) -> Mapping[str, Any]:
    content: Mapping[str, Any] = open_json(
        bytes(delivery.content or b""),
        tenant_id=tenant_id,
        table=Delivery._meta.db_table,
        row_id=delivery.id,
    )
    return content
