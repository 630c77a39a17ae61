"""What can be followed. A source reads one tenant's rows in the order in which they became visible.

Both functions of a source run in a thread, in a transaction of the tenant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accesscontrol.access import acknowledging
from accesscontrol.access.api.events import EventOutput
from accesscontrol.access.following import Position, after, begin_now
from accesscontrol.access.models import ChannelCommand, Event
from accounts.rights import Right


@dataclass(frozen=True, slots=True)
class Item:
    """One row for those who follow: what it is called, its JSON, and whom it concerns."""

    position: Position
    event: str
    data: Any
    channel_id: int | None = None
    site_id: int | None = None
    person_id: int | None = None


@dataclass(frozen=True)
class Source:
    """`start` is where a follower that begins now begins; `read` gives up to so many items after a position."""

    name: str
    right: Right
    start: Callable[[], Position]
    read: Callable[[Position, int], Sequence[Item]]


def _events(position: Position, most: int) -> list[Item]:
    rows = Event.objects.filter(after(position)).select_related("channel", "person", "credential")
    events = list(rows.order_by("xact_id", "id")[:most])
    return [
        Item(
            (event.xact_id, event.pk),
            shown["event_type"],
            shown,
            channel_id=event.channel_id,
            site_id=event.channel.site_id,
            person_id=event.person_id,
        )
        for event, shown in zip(events, EventOutput(events, many=True).data, strict=True)
    ]


EVENTS = Source("events", Right.EVENTS_READ, begin_now, _events)


def command_item(command: ChannelCommand) -> Item:
    """A command as its controller gets it."""
    position = (command.xact_id, command.pk)
    return Item(position, command.kind, acknowledging.shown(command), channel_id=command.channel_id)


def _commands(position: Position, most: int) -> list[Item]:
    rows = ChannelCommand.objects.filter(after(position)).order_by("xact_id", "id")
    return [command_item(command) for command in rows[:most]]


COMMANDS = Source("commands", Right.DECIDE, begin_now, _commands)
