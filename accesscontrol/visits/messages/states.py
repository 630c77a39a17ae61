"""What has become of a message, in a word for a list and a sentence for whoever must do something about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils.translation import gettext, ngettext, pgettext

from accesscontrol.visits.models import RevealLink
from pins.deliveries import reasons
from pins.deliveries.claiming import MOST_ATTEMPTS
from pins.deliveries.models import Delivery


class Code(StrEnum):
    """The states that screens tell apart; a link that was sent is unopened until its button was pressed."""

    QUEUED = "queued"
    RETRYING = "retrying"
    SENT = "sent"
    UNOPENED = "unopened"
    OPENED = "opened"
    FAILED = "failed"
    CANCELLED = "cancelled"


_TONES = {
    Code.QUEUED: "info",
    Code.RETRYING: "warning",
    Code.SENT: "success",
    Code.UNOPENED: "warning",
    Code.OPENED: "success",
    Code.FAILED: "danger",
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


def states_of(deliveries: Iterable[Delivery]) -> dict[int, MessageState]:
    """The state of each message, by its id; one query."""
    deliveries = list(deliveries)
    prefetch_related_objects(deliveries, "reveal_links")
    return {delivery.pk: state_of(delivery) for delivery in deliveries}


def state_of(delivery: Delivery) -> MessageState:
    """The state of one message; asks no query where `reveal_links` was prefetched."""
    links: Any = delivery.reveal_links
    link: RevealLink | None = next(iter(links.all()), None)
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
        case Delivery.State.CANCELLED:
            return MessageState(Code.CANCELLED, pgettext("message", "Withdrawn"))
    if delivery.last_error:
        again = gettext("It is tried again by itself.")
        return MessageState(
            Code.RETRYING, pgettext("message", "Delayed"), f"{reasons.in_words(delivery.last_error)} {again}"
        )
    return MessageState(Code.QUEUED, pgettext("message", "On its way"))


def _why_failed(delivery: Delivery) -> str:
    why = reasons.in_words(delivery.last_error)
    if delivery.attempts < MOST_ATTEMPTS:
        return why
    gave_up = gettext("Given up after %(number)d tries.") % {"number": delivery.attempts}
    return f"{why} {gave_up}"
