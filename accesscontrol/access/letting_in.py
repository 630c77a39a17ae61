"""What the desk does for a known visitor who was not let in: open once, begin the visit, add the door to it.

An audit record on the event says that somebody has seen to it, so that the board shows it no more.
"""

from datetime import datetime, timedelta

from django.db import transaction

from accesscontrol.access import board, commands
from accesscontrol.access.models import Event
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import changing
from accounts import audit
from accounts.refusals import Refusal

# Whoever stood there half an hour ago may not be the one who stands there now.
WITHIN = timedelta(minutes=30)


class TooLongAgo(Refusal):
    code = "too_long_ago"
    status = 409
    text = "This is too long ago. Let the visitor try the PIN again."


class NoVisit(Refusal):
    code = "no_visit"
    status = 409
    text = "This person has no visit now. Issue one."


@transaction.atomic
def let_in(event: Event, *, reason: str, by: audit.Actor, now: datetime) -> None:
    """Open the door of this event once; refuses what is more than half an hour ago."""
    _require_recent(event, now)
    commands.admit(event.channel, reason=reason, by=by, now=now)
    audit.record("let_in", "event", event.pk, by=by, now=now)


@transaction.atomic
def start_now(event: Event, *, by: audit.Actor, now: datetime) -> Reservation:
    """Begin the visit of the person of this event now; refuses where they have none."""
    visit = changing.start_now(_visit(event, now), expected_version=None, by=by, now=now)
    audit.record("start_now", "event", event.pk, by=by, now=now)
    return visit


@transaction.atomic
def add_door(event: Event, *, by: audit.Actor, now: datetime) -> Reservation:
    """Let the visit of the person of this event open its door too; refuses where they have none."""
    visit = changing.add_door(_visit(event, now), channel=event.channel, expected_version=None, by=by, now=now)
    audit.record("add_door", "event", event.pk, by=by, now=now)
    return visit


def _require_recent(event: Event, now: datetime) -> None:
    if event.occurred_at < now - WITHIN:
        raise TooLongAgo


def _visit(event: Event, now: datetime) -> Reservation:
    _require_recent(event, now)
    visit = board.visits_of_people([event.person_id], now).get(event.person_id) if event.person_id else None
    if visit is None:
        raise NoVisit
    return visit
