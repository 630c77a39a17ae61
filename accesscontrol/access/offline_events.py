"""What a controller decided while the server was away: each of its events once, all of a batch or none.

`occurred_at` is the controller's, `recorded_at` ours, so followers get late events in the order of recording.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from accesscontrol.access.attempts import event_code
from accesscontrol.access.models import Alarm, Attempt, Event, OfflineEvent, Reason
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.visits import arriving
from accounts.refusals import Refusal
from pins.throttle.limits import Limits

# A clock that is ahead by more would write events of tomorrow.
MOST_AHEAD = timedelta(minutes=5)
OLDEST = timedelta(days=90)
MOST = 500


@dataclass(frozen=True)
class Told:
    """One event in the controller's words; `credential_id` is the public one."""

    id: str
    occurred_at: datetime
    type: CredentialType
    admitted: bool
    reason: Reason
    credential_id: str | None = None
    is_duress: bool = False
    was_open: bool = False

    def digest(self) -> bytes:
        return hashlib.sha256(json.dumps(asdict(self), default=str, sort_keys=True).encode()).digest()


class BadEvents(Refusal):
    """`facts["rows"]` names what is wrong with each row, by its place: (field, code, sentence)."""

    code = "invalid"
    field = "events"
    text = "Some of these events cannot be recorded; none was."


@transaction.atomic
def record(channel: Channel, told: list[Told], *, now: datetime) -> tuple[dict[str, int], int]:
    """Record what is new, in the order in which it happened; returns the event of each id, and how many are new."""
    # Two batches of one channel at once: the second sees what the first has written.
    Channel.objects.select_for_update(of=("self",), no_key=True).get(pk=channel.pk)
    known = {
        row.source_id: row
        for row in OfflineEvent.objects.filter(channel=channel, source_id__in=[event.id for event in told])
    }
    # What the server had decided when its answer was lost; and what it may be asked late, it has answered here.
    asked = Attempt.objects.filter(channel=channel, attempt_id__in=[event.id for event in told])
    decided = dict(asked.values_list("attempt_id", "event_id"))
    told = [event for event in told if event.id in known or event.id not in decided]
    public_ids = {event.credential_id for event in told if event.credential_id}
    held = {row.public_id: row for row in Credential.objects.filter(public_id__in=public_ids)}
    _require(told, known, held, now)
    fresh = sorted((event for event in told if event.id not in known), key=lambda event: event.occurred_at)
    events = Event.objects.bulk_create(_event(channel, event, held) for event in fresh)
    OfflineEvent.objects.bulk_create(
        OfflineEvent(channel=channel, source_id=event.id, told=event.digest(), event_id=row.pk)
        for event, row in zip(fresh, events, strict=True)
    )
    Attempt.objects.bulk_create(
        (
            Attempt(channel=channel, attempt_id=event.id, asked=event.digest(), event_id=row.pk, occurred_at=now)
            for event, row in zip(fresh, events, strict=True)
        ),
        ignore_conflicts=True,
    )
    _raise_alarms(channel, fresh, held, now)
    came = [
        (row.person_id, event.occurred_at)
        for event, row in zip(fresh, events, strict=True)
        if event.admitted and not event.was_open and row.person_id is not None
    ]
    arriving.note_admissions(channel, came, now=now)
    found = decided | {source_id: row.event_id for source_id, row in known.items()}
    found |= {event.id: row.pk for event, row in zip(fresh, events, strict=True)}
    return found, len(fresh)


def _require(told: list[Told], known: dict[str, OfflineEvent], held: dict[str, Credential], now: datetime) -> None:
    rows: dict[int, tuple[str, str, str]] = {}
    seen: set[str] = set()
    for place, event in enumerate(told):
        before = known.get(event.id)
        if event.id in seen:
            rows[place] = ("id", "repeated", "This id stands twice in the batch.")
        elif before is not None and bytes(before.told) != event.digest():
            rows[place] = ("id", "id_reused", "This id was used for another event.")
        elif before is None and event.occurred_at > now + MOST_AHEAD:
            rows[place] = ("occurred_at", "in_the_future", "This time is to come: set the controller's clock.")
        elif before is None and event.occurred_at < now - OLDEST:
            rows[place] = ("occurred_at", "too_old", f"This is more than {OLDEST.days} days ago.")
        elif event.credential_id and event.credential_id not in held:
            rows[place] = ("credential_id", "unknown", "There is no such credential.")
        elif event.admitted and not event.credential_id:
            rows[place] = ("credential_id", "required", "Say whose PIN or card it was.")
        elif event.admitted != (event.reason is Reason.NONE):
            rows[place] = ("reason", "invalid", "A rejection has a reason, an admission none.")
        seen.add(event.id)
    if rows:
        raise BadEvents(rows=rows)


def _event(channel: Channel, told: Told, held: dict[str, Credential]) -> Event:
    credential = held.get(told.credential_id or "")
    return Event(
        channel=channel,
        person_id=credential.person_id if credential else None,
        credential=credential,
        credential_type=told.type,
        code=event_code(told.admitted, told.reason, told.type, was_open=told.was_open),
        admitted=told.admitted,
        reason=told.reason,
        release_seconds=channel.release_seconds if told.admitted else None,
        occurred_at=told.occurred_at,
    )


def _raise_alarms(channel: Channel, fresh: list[Told], held: dict[str, Credential], now: datetime) -> None:
    """The alarms that the server would have raised, now that it knows."""
    alarms = [
        Alarm(
            kind=Alarm.Kind.DURESS,
            site_id=channel.site_id,
            channel=channel,
            person_id=held[event.credential_id].person_id,
            raised_at=now,
        )
        for event in fresh
        if event.is_duress and event.credential_id
    ]
    limits = Limits()
    wrong = [event.occurred_at for event in fresh if event.reason is Reason.INVALID_PIN]
    if _crowded(wrong, limits.alarm_at, limits.alarm_within):
        alarms.append(Alarm(kind=Alarm.Kind.GUESSING, site_id=channel.site_id, channel=channel, raised_at=now))
    Alarm.objects.bulk_create(alarms)


def _crowded(instants: list[datetime], most: int, within: timedelta) -> bool:
    """Whether so many of these instants, in order, lie so close together."""
    pairs = zip(instants, instants[most - 1 :], strict=False)
    return any(last - first < within for first, last in pairs)
