"""What has become of a message, in a word for a list and a sentence for whoever must do something about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import F
from django.utils.translation import gettext, ngettext, pgettext

from accesscontrol.visits.models import RevealLink
from pins.deliveries import reasons
from pins.deliveries.claiming import MOST_ATTEMPTS
from pins.deliveries.models import Delivery, DeliverySubject


class Code(StrEnum):
    """The states that screens tell apart; a link that was sent is unopened until its button was pressed."""

    QUEUED = "queued"
    RETRYING = "retrying"
    SENT = "sent"
    UNOPENED = "unopened"
    OPENED = "opened"
    FAILED = "failed"
    BOUNCED = "bounced"
    CANCELLED = "cancelled"


_TONES = {
    Code.QUEUED: "info",
    Code.RETRYING: "warning",
    Code.SENT: "success",
    Code.UNOPENED: "warning",
    Code.OPENED: "success",
    Code.FAILED: "danger",
    Code.BOUNCED: "danger",
    Code.CANCELLED: "plain",
}


@dataclass(frozen=True)
class MessageState:
    """One message as a screen shows it; `word` and `reason` are in the language that was active."""

    code: Code
    word: str
    reason: str = ""
    views: int = 0
    first_viewed_at: datetime | None = None
    last_viewed_at: datetime | None = None

    @property
    def tone(self) -> str:
        return _TONES[self.code]

    @property
    def is_undelivered(self) -> bool:
        return self.code in (Code.FAILED, Code.BOUNCED)


def states_of(deliveries: Iterable[Delivery]) -> dict[int, MessageState]:
    """The state of each message, by its id; one query."""
    deliveries = list(deliveries)
    links = _views_of([delivery.pk for delivery in deliveries])
    return {delivery.pk: _state(delivery, links.get(delivery.pk)) for delivery in deliveries}


def latest_states(kind: str, object_ids: Iterable[int]) -> dict[int, MessageState]:
    """The state of the latest message about each of these objects, such as ("reservation", [7]); two queries."""
    subjects = DeliverySubject.objects.filter(kind=kind, object_id__in=list(object_ids))
    latest: list[Any] = list(
        subjects.order_by("object_id", "-delivery_id")
        .distinct("object_id")
        .annotate(state=F("delivery__state"), last_error=F("delivery__last_error"), attempts=F("delivery__attempts"))
        .values_list("object_id", "delivery_id", "state", "last_error", "attempts", named=True)
    )
    links = _views_of([row.delivery_id for row in latest])
    return {row.object_id: _state(row, links.get(row.delivery_id)) for row in latest}


def state_of(delivery: Delivery) -> MessageState:
    """The state of one message; asks no query where `reveal_links` was prefetched."""
    links: Any = delivery.reveal_links
    return _state(delivery, next(iter(links.all()), None))


def _views_of(delivery_ids: list[int]) -> dict[int, Any]:
    """What became of the link in each of these messages that has one."""
    links = RevealLink.objects.filter(delivery_id__in=delivery_ids).order_by("-pk")
    return {
        link.delivery_id: link
        for link in links.values_list("delivery_id", "views", "first_viewed_at", "last_viewed_at", named=True)
    }


def _state(delivery: Any, link: Any) -> MessageState:
    """By the columns of the message and of its link."""
    match delivery.state:
        case Delivery.State.SENT if link is not None:
            if link.views == 0:
                return MessageState(Code.UNOPENED, pgettext("message", "Not opened"))
            return MessageState(
                Code.OPENED,
                pgettext("message", "Opened"),
                ngettext("The PIN was shown %(number)d time.", "The PIN was shown %(number)d times.", link.views)
                % {"number": link.views},
                link.views,
                link.first_viewed_at,
                link.last_viewed_at,
            )
        case Delivery.State.SENT:
            return MessageState(Code.SENT, pgettext("message", "Sent"))
        case Delivery.State.FAILED:
            return MessageState(Code.FAILED, pgettext("message", "Failed"), _why_failed(delivery))
        case Delivery.State.BOUNCED:
            # Translators: an e-mail that was sent and came back.
            return MessageState(Code.BOUNCED, pgettext("message", "Bounced"), reasons.in_words(delivery.last_error))
        case Delivery.State.CANCELLED:
            return MessageState(Code.CANCELLED, pgettext("message", "Withdrawn"))
    if delivery.last_error:
        again = gettext("It is tried again by itself.")
        return MessageState(
            Code.RETRYING, pgettext("message", "Delayed"), f"{reasons.in_words(delivery.last_error)} {again}"
        )
    return MessageState(Code.QUEUED, pgettext("message", "On its way"))


def _why_failed(delivery: Any) -> str:
    why = reasons.in_words(delivery.last_error)
    if delivery.attempts < MOST_ATTEMPTS:
        return why
    gave_up = gettext("Given up after %(number)d tries.") % {"number": delivery.attempts}
    return f"{why} {gave_up}"
