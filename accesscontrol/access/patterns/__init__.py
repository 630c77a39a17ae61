"""Suspicious patterns: rules over new events, in the order of recording, each event looked at once.

Place and alarms move in one transaction, so that a tick that is killed leaves nothing counted twice. What a rule
compares an event with was recorded before it, and happened within a window around it: the cost of a tick does not grow
with old rows, and an event that a controller tells late is judged by when it happened. Of one rule and one subject at
most one alarm is open; what follows counts it up. What was acknowledged is not raised again by the same events.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Max

from accesscontrol.access.following import after, horizon
from accesscontrol.access.models import Alarm, Event, PatternPlace, PatternRules
from accesscontrol.access.patterns import habits, places, repeated, shared
from accesscontrol.access.patterns.hits import Hit, Since

BATCH = 500
# Longer than any event may be late, and than any rule looks back.
REMEMBERED = timedelta(days=180)
PATTERNS = (
    Alarm.Kind.WRONG_PINS,
    Alarm.Kind.TWO_SITES,
    Alarm.Kind.UNUSUAL_HOURS,
    Alarm.Kind.EXPIRED_PINS,
    Alarm.Kind.SHARED_PIN,
)
_RULES = {
    Alarm.Kind.WRONG_PINS: repeated.wrong_pins,
    Alarm.Kind.TWO_SITES: places.two_sites,
    Alarm.Kind.UNUSUAL_HOURS: habits.unusual_hours,
    Alarm.Kind.EXPIRED_PINS: repeated.expired_pins,
    Alarm.Kind.SHARED_PIN: shared.shared_pin,
}


def tenants_with_new_events() -> list[int]:
    """The tenants in which something was recorded that no rule has seen; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_unwatched_events()")
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def rules() -> PatternRules:
    """What the current tenant calls suspicious."""
    return PatternRules.objects.first() or PatternRules()


@transaction.atomic
def watch(now: datetime) -> int:
    """Look at up to 500 new events of the current tenant; returns how many were looked at."""
    PatternPlace.objects.bulk_create([PatternPlace()], ignore_conflicts=True)
    # Whoever else looks at the same time waits here, and goes on behind.
    place = PatternPlace.objects.select_for_update(of=("self",)).get()
    end = horizon()
    rows = Event.objects.filter(after((place.xact_id, place.row_id))).select_related("channel__site", "person")
    events = list(rows.order_by("xact_id", "id")[:BATCH])
    if events:
        _raise(_hits(events, now), now)
        place.xact_id, place.row_id = events[-1].xact_id, events[-1].pk
    if len(events) < BATCH:
        # Everything that was visible before the rows were read is behind.
        place.xact_id, place.row_id = max((place.xact_id, place.row_id), (end, 0))
    place.save(update_fields=["xact_id", "row_id"])
    return len(events)


def _hits(events: Sequence[Event], now: datetime) -> list[Hit]:
    wanted, since = rules(), _acknowledged(now)
    return [
        hit
        for kind, rule in _RULES.items()
        if getattr(wanted, kind.value)
        for hit in rule(events, wanted, since.get(kind.value, {}))
    ]


def _acknowledged(now: datetime) -> dict[str, Since]:
    """Of each pattern and subject, up to when what happened was acknowledged; late events are not later than that."""
    rows = Alarm.objects.filter(kind__in=PATTERNS, acknowledged_at__isnull=False, raised_at__gt=now - REMEMBERED)
    found: dict[str, Since] = {}
    newest = rows.order_by().values_list("kind", "subject").annotate(Max("last_at"))
    for kind, subject, last_at in newest:
        if last_at is not None:
            found.setdefault(kind, {})[subject] = last_at
    return found


def _raise(hits: Sequence[Hit], now: datetime) -> None:
    """Raise an alarm for each subject that has none open, and count up those that have."""
    subjects = {hit.subject for hit in hits}
    held = Alarm.objects.filter(kind__in=PATTERNS, subject__in=subjects, acknowledged_at=None)
    open_alarms = {(row.kind, row.subject): row for row in held.select_for_update(of=("self",)).order_by("pk")}
    fresh: list[Alarm] = []
    for hit in hits:
        alarm = open_alarms.get((hit.kind.value, hit.subject))
        if alarm is None:
            event = hit.event
            alarm = Alarm(
                kind=hit.kind.value,
                subject=hit.subject,
                site_id=event.channel.site_id,
                channel_id=event.channel_id,
                person_id=event.person_id,
                raised_at=now,
                last_at=event.occurred_at,
                count=hit.count,
            )
            fresh.append(alarm)
            open_alarms[hit.kind.value, hit.subject] = alarm
        else:
            alarm.count += 1
            alarm.last_at = max(alarm.last_at or hit.event.occurred_at, hit.event.occurred_at)
    Alarm.objects.bulk_create(fresh)
    Alarm.objects.bulk_update([row for row in open_alarms.values() if row not in fresh], ["count", "last_at"])
