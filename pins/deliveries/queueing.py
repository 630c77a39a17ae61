"""Bring a message on its way, take it back, or queue a failed one again. The row is the queue.

Whoever queues brings everything the template needs, instants already as text in their zone. It is sealed for
its row at once, so a PIN never stands in a column, a task argument or a log line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any, ClassVar
from uuid import uuid4

from django.conf import settings
from django.db import connection

from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery, DeliverySubject
from pins.deliveries.nudge import nudge
from pins.vault.sealing import seal_json

KEEP_FAILED = timedelta(days=7)
# What is urgent is due before anything that waits: a bulk of thousands must not stand in the way of an alarm.
_AHEAD = timedelta(days=366)


class NoAddress(Refusal):
    code = "no_address"
    text = "There is no address to send this to."
    field: ClassVar[str | None] = "deliver"


class SmsNotConfigured(Refusal):
    code = "sms_not_configured"
    text = "This installation has no gateway for text messages."
    field: ClassVar[str | None] = "deliver"


@dataclass(frozen=True, repr=False)
class Message:
    """What one message says, to whom and about what; without a repr, since the context may hold a PIN."""

    medium: str
    address: str
    template: str
    language: str
    context: Mapping[str, Any]
    about: tuple[tuple[str, int], ...]


def queue(
    *,
    medium: str,
    address: str,
    template: str,
    language: str,
    context: Mapping[str, Any],
    about: Iterable[tuple[str, int]],
    now: datetime,
    is_urgent: bool = False,
) -> Delivery:
    """Queue one message for the current tenant; a worker is told once the transaction commits.

    An urgent one goes before those that wait. Refuses an empty address and, where no gateway is set, a text message.
    """
    message = Message(medium, address, template, language, context, tuple(about))
    [delivery] = queue_many([message], now=now, is_urgent=is_urgent)
    return delivery


def queue_many(messages: Sequence[Message], *, now: datetime, is_urgent: bool = False) -> list[Delivery]:
    """Queue messages alike, in a few statements; refuses them all where one could not be queued."""
    for message in messages:
        refuse_unreachable(message.medium, message.address)
    deliveries = [
        Delivery(
            id=delivery_id,
            medium=message.medium,
            address=message.address.strip(),
            template=message.template,
            language=message.language,
            content=_seal(message.context, delivery_id),
            message_id=message_id_of(uuid4().hex),
            queued_at=now,
            next_attempt_at=now - _AHEAD if is_urgent else now,
        )
        for message, delivery_id in zip(messages, _next_ids(len(messages)), strict=True)
    ]
    Delivery.objects.bulk_create(deliveries, batch_size=1000)
    DeliverySubject.objects.bulk_create(
        [
            DeliverySubject(delivery=delivery, kind=kind, object_id=object_id)
            for message, delivery in zip(messages, deliveries, strict=True)
            for kind, object_id in dict.fromkeys(message.about)
        ],
        batch_size=1000,
    )
    if deliveries:
        nudge(current_tenant_id())
    return deliveries


def refuse_unreachable(medium: str, address: str) -> None:
    """Refuse what `queue` would refuse, before anything else is done."""
    if medium == Delivery.Medium.SMS and not settings.SMS_URL:
        raise SmsNotConfigured
    if not address.strip():
        raise NoAddress


def cancel(about_kind: str, object_ids: Iterable[int], *, now: datetime) -> int:
    """Cancel what is unsent about these objects, failed messages included, and erase it; returns how many."""
    return _cancel(Delivery.objects.about(about_kind, object_ids))


def forget(about_kind: str, object_ids: Iterable[int], *, now: datetime) -> None:
    """Cancel what is unsent about these objects and erase the addresses of every message about them."""
    ids = list(object_ids)
    cancel(about_kind, ids, now=now)
    Delivery.objects.about(about_kind, ids).update(address="")


class NotResendable(Refusal):
    code = "delivery_not_failed"
    status = 409
    text = "Only a message that failed can be sent again."


class ContentErased(Refusal):
    code = "delivery_content_erased"
    text = "The content of this message was erased; it has to be written anew."


def resend(delivery: Delivery, *, by: audit.Actor, now: datetime, context: Mapping[str, Any] | None = None) -> Delivery:
    """Queue a failed message again, with new content or with what was kept (for 7 days).

    New content gets a new Message-ID. Refuses a message that did not fail, or whose content was erased.
    """
    refuse_unreachable(delivery.medium, delivery.address)
    new: dict[str, Any] = {}
    if context is not None:
        new = {"content": _seal(context, delivery.id), "message_id": message_id_of(uuid4().hex)}
    failed = Delivery.objects.filter(id=delivery.id, state=Delivery.State.FAILED)
    if context is None:
        failed = failed.filter(content__isnull=False)
    # Of two who press the button at once, one queues it.
    if not failed.update(
        state=Delivery.State.QUEUED, attempts=0, next_attempt_at=now, failed_at=None, last_error="", **new
    ):
        delivery.refresh_from_db()
        raise ContentErased if delivery.state == Delivery.State.FAILED else NotResendable
    audit.record("resend", "delivery", delivery.id, by=by, now=now)
    delivery.refresh_from_db()
    nudge(current_tenant_id())
    return delivery


def erase_failed(*, now: datetime) -> int:
    """Erase the content of messages that failed more than 7 days ago; returns how many."""
    stale = Delivery.objects.filter(
        state=Delivery.State.FAILED, failed_at__lte=now - KEEP_FAILED, content__isnull=False
    )
    return int(stale.update(content=None))


def _cancel(deliveries: Any) -> int:
    # The lease stays: a worker that has handed the message over already still records that it went out.
    return int(deliveries.unsent().update(state=Delivery.State.CANCELLED, content=None, next_attempt_at=None))


def _seal(context: Mapping[str, Any], delivery_id: int) -> bytes:
    return seal_json(dict(context), tenant_id=current_tenant_id(), table=Delivery._meta.db_table, row_id=delivery_id)


def _next_ids(count: int) -> list[int]:
    # The content is sealed for its row, so the row's number must be known before it is written.
    numbers = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
    with connection.cursor() as cursor:
        cursor.execute(numbers, [Delivery._meta.db_table, count])
        return [number for (number,) in cursor.fetchall()]


def message_id_of(token: str) -> str:
    """The Message-ID with these random letters; they alone are what a provider tells back with a report."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{token}@{domain}>"
