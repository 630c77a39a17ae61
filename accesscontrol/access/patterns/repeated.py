"""The same again and again within a while: wrong PINs at one door, one expired PIN at any."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from accesscontrol.access.models import Alarm, Event, PatternRules, Reason
from accesscontrol.access.patterns.hits import Hit, Since, known_before, most_around, near


def wrong_pins(events: Sequence[Event], rules: PatternRules, since: Since) -> Iterator[Hit]:
    """So many wrong PINs at one door within so many minutes."""
    within = timedelta(minutes=rules.wrong_pins_minutes)
    mine = [event for event in events if event.reason == Reason.INVALID_PIN]
    yield from _crowds(mine, "channel_id", Alarm.Kind.WRONG_PINS, rules.wrong_pins_count, within, since)


def expired_pins(events: Sequence[Event], rules: PatternRules, since: Since) -> Iterator[Hit]:
    """One PIN or card that has expired, tried so often within so many hours."""
    within = timedelta(hours=rules.expired_pins_hours)
    mine = [event for event in events if event.reason == Reason.CREDENTIAL_EXPIRED and event.person_id]
    yield from _crowds(mine, "person_id", Alarm.Kind.EXPIRED_PINS, rules.expired_pins_count, within, since)


def _crowds(
    events: list[Event], column: str, kind: Alarm.Kind, most: int, within: timedelta, since: Since
) -> Iterator[Hit]:
    if not events:
        return
    condition = f"AND e.reason = '{events[0].reason}'"
    around = near(events, column, within, within, condition)
    for event in events:
        subject = f"{column.removesuffix('_id')}:{getattr(event, column)}"
        known = known_before(around.get(getattr(event, column), []), event, since.get(subject))
        count = most_around([row.occurred_at for row in known], event.occurred_at, within)
        if count >= most:
            yield Hit(kind, subject, event, count)
