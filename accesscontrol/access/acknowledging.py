"""A controller follows its channel's commands and says which it has carried out. At least once, in order."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from accesscontrol.access.commands import Kind
from accesscontrol.access.models import ChannelCommand, Event, Reason
from accounts import audit
from accounts.answers import instant_in_utc

# The contract's: an admission that nobody has answered for so long has timed out.
ANSWERED_WITHIN = timedelta(minutes=2)
MOST = 100
ADMITS = (Kind.ADMIT, Kind.ADMIT_PERSON)


def waiting(channel_id: int, now: datetime, *, after: int = 0) -> list[ChannelCommand]:
    """What a channel's controller is to do, in order: neither carried out, nor void, nor too late."""
    rows = ChannelCommand.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        channel_id=channel_id,
        acknowledged_at=None,
        superseded_at=None,
        pk__gt=after,
    )
    return list(rows.order_by("pk")[:MOST])


@transaction.atomic
def acknowledge(
    command: ChannelCommand, outcome: ChannelCommand.Outcome, *, by: audit.Actor, now: datetime
) -> ChannelCommand:
    """A controller has carried out a command, or denied it; the first answer stands. An opened door is an event."""
    command = ChannelCommand.objects.select_for_update(of=("self",)).select_related("channel").get(pk=command.pk)
    if command.acknowledged_at is not None:
        return command
    command.acknowledged_at, command.outcome = now, outcome
    command.save(update_fields=["acknowledged_at", "outcome"])
    if command.kind in ADMITS and outcome == ChannelCommand.Outcome.DONE:
        Event.objects.create(
            channel=command.channel,
            person_id=command.person_id,
            credential_type=None,
            code=50,
            admitted=True,
            reason=Reason.NONE,
            release_seconds=command.channel.release_seconds,
            occurred_at=now,
        )
    audit.record("acknowledge", "channel_command", command.pk, by=by, now=now, fields=["outcome"])
    return command


def status(command: ChannelCommand, now: datetime, *, is_silent: bool) -> str:
    """How an admission stands, in the contract's words; `is_silent` says that its controller is not heard."""
    if command.acknowledged_at is not None:
        return "admitted" if command.outcome == ChannelCommand.Outcome.DONE else "denied"
    if command.superseded_at is not None:
        return "denied"
    if is_silent:
        return "offline"
    return "pending" if now < command.issued_at + ANSWERED_WITHIN else "timeout"


def shown(command: ChannelCommand) -> dict[str, Any]:
    """A command as a controller gets it, by whatever way."""

    def instant(moment: datetime | None) -> str | None:
        return instant_in_utc(moment) if moment else None

    return {
        "id": command.pk,
        "channel_id": command.channel_id,
        "kind": command.kind,
        "person_id": command.person_id,
        "relock_at": instant(command.relock_at),
        "shift_id": command.shift_id,
        "issued_at": instant(command.issued_at),
        "expires_at": instant(command.expires_at),
    }
