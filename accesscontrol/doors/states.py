"""How a door stood at any instant: commanded by somebody, or held open by its weekly hours."""

from datetime import datetime

from django.db.models import Q

from accesscontrol.doors.models import Channel, ChannelState, standing


def at(channel: Channel, instant: datetime) -> ChannelState | None:
    """What was commanded at an instant, with who and why; None before the first command, when it was normal."""
    rows = ChannelState.objects.filter(channel=channel, started_at__lte=instant)
    return rows.filter(Q(ended_at=None) | Q(ended_at__gt=instant)).order_by("-started_at", "-id").first()


def stood(channel: Channel, instant: datetime) -> Channel.State:
    """The commanded state at an instant; a door held open until an instant was normal after it."""
    period = at(channel, instant)
    return standing(period.state, period.relock_at, instant) if period else Channel.State.NORMAL


def current(channel: Channel) -> ChannelState | None:
    """The command that holds now."""
    return ChannelState.objects.filter(channel=channel, ended_at=None).first()
