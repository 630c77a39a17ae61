"""When the controllers of channels were last heard, and what has not reached them yet.

Only controllers that follow commands or keep a list are expected to be heard: a keypad that merely asks is silent
for as long as nobody types.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet

from accesscontrol.access import offline_list
from accesscontrol.access.models import Alarm, ChannelCommand, ChannelContact
from accesscontrol.doors.models import Channel, ChannelState
from accesscontrol.doors.periods import OPEN
from accounts.tenancy import current_tenant_id

SILENCE = timedelta(minutes=2)
# A controller that asks every second is written down less often.
_NOTED_EVERY = timedelta(seconds=10)

_SEEN = """
INSERT INTO access_channelcontact AS known (tenant_id, channel_id, last_contact_at)
VALUES (%(tenant)s, %(channel)s, %(now)s)
ON CONFLICT (tenant_id, channel_id) DO UPDATE SET last_contact_at = %(now)s
WHERE known.last_contact_at <= %(before)s OR known.silence_id IS NOT NULL
RETURNING silence_id
"""


@transaction.atomic
def seen(channel_id: int, *, now: datetime) -> None:
    """A channel's controller was heard; an alarm about its silence is over."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SEEN,
            {"tenant": current_tenant_id(), "channel": channel_id, "now": now, "before": now - _NOTED_EVERY},
        )
        noted = cursor.fetchone()
    if noted is not None and noted[0] is not None:
        Alarm.objects.filter(pk=noted[0], ended_at=None).update(ended_at=now)
        ChannelContact.objects.filter(channel_id=channel_id).update(silence=None)


@transaction.atomic
def watch(now: datetime) -> None:
    """Raise an alarm for every channel of the current tenant that has been silent for two minutes, once a silence."""
    silent = ChannelContact.objects.filter(silence=None, last_contact_at__lte=now - SILENCE)
    rows = list(silent.select_for_update(of=("self",), skip_locked=True).select_related("channel"))
    alarms = Alarm.objects.bulk_create(
        Alarm(kind=Alarm.Kind.SILENCE, site_id=row.channel.site_id, channel_id=row.channel_id, raised_at=now)
        for row in rows
    )
    for row, alarm in zip(rows, alarms, strict=True):
        row.silence = alarm
    ChannelContact.objects.bulk_update(rows, ["silence"])


def contacts(channel_ids: Iterable[int]) -> dict[int, ChannelContact]:
    """What is known of these channels' controllers; those that were never heard are left out."""
    return {row.channel_id: row for row in ChannelContact.objects.filter(channel_id__in=list(channel_ids))}


def is_silent(contact: ChannelContact | None, now: datetime) -> bool:
    """Whether a controller that was heard once is not heard now, whether or not a tick has looked."""
    return contact is not None and contact.last_contact_at <= now - SILENCE


def silent(now: datetime) -> list[int]:
    """The channels whose controllers were heard once and are not heard now."""
    rows = ChannelContact.objects.filter(last_contact_at__lte=now - SILENCE)
    return list(rows.values_list("channel_id", flat=True))


@dataclass(frozen=True)
class Standing:
    """Of one channel: whether its controller is heard, and what has not reached it yet."""

    last_contact_at: datetime | None
    is_silent: bool
    waiting_changes: int
    reason: str

    @property
    def is_heard(self) -> bool:
        return self.last_contact_at is not None and not self.is_silent


def standing(channel_ids: Iterable[int], now: datetime) -> dict[int, Standing]:
    """How these channels stand, each of them; a fixed number of queries."""
    ids = list(channel_ids)
    heard = contacts(ids)
    commands = _waiting_commands(ids, now)
    reasons = dict(ChannelState.objects.filter(OPEN, channel_id__in=ids).values_list("channel_id", "reason"))
    lists = offline_list.behind(ids)
    found = {}
    for channel_id in ids:
        contact = heard.get(channel_id)
        found[channel_id] = Standing(
            last_contact_at=contact.last_contact_at if contact else None,
            is_silent=is_silent(contact, now),
            waiting_changes=commands.get(channel_id, 0) + (channel_id in lists),
            reason=reasons.get(channel_id, ""),
        )
    return found


def behind(channels: QuerySet[Channel], now: datetime) -> list[tuple[Channel, Standing]]:
    """Which of these channels have a controller that has not caught up; what an online one decides has changed."""
    known = list(channels.filter(pk__in=ChannelContact.objects.values("channel_id")))
    states = standing([channel.pk for channel in known], now)
    outdated = offline_list.outdated([channel.pk for channel in known])
    return [
        (channel, states[channel.pk])
        for channel in known
        if states[channel.pk].is_silent or states[channel.pk].waiting_changes or channel.pk in outdated
    ]


def _waiting_commands(channel_ids: list[int], now: datetime) -> dict[int, int]:
    rows = ChannelCommand.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        channel_id__in=channel_ids,
        acknowledged_at=None,
        superseded_at=None,
    )
    return dict(rows.values_list("channel_id").annotate(Count("pk")).order_by())
