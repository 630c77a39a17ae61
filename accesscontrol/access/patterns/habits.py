"""Let in at an hour at which this person never comes: habit is what the last eight weeks say.

Working days and weekends are told apart, hours are those of the site's clocks. Who has not come often yet has no
habit; visitors and shared PINs have none.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from django.db import connection

from accesscontrol.access.models import Alarm, Event, PatternRules
from accesscontrol.access.patterns.hits import Hit, Since
from accesscontrol.people.models import Person
from accounts.tenancy import current_tenant_id

WEEKS = 8
_DAY = 24 * 60

# One row for each quarter of an hour of each day: however often somebody goes in and out.
_CAME = """
SELECT asked.number, came.day, came.minute
FROM unnest(%(numbers)s::bigint[], %(people)s::bigint[], %(moments)s::timestamptz[], %(xacts)s::bigint[],
            %(ids)s::bigint[]) AS asked (number, person, moment, xact, row)
CROSS JOIN LATERAL (
    SELECT DISTINCT local.at::date AS day,
        (extract(hour FROM local.at) * 60 + floor(extract(minute FROM local.at) / 15) * 15)::integer AS minute
    FROM access_event e
    JOIN doors_channel c ON c.tenant_id = e.tenant_id AND c.id = e.channel_id
    JOIN accounts_site s ON s.tenant_id = c.tenant_id AND s.id = c.site_id
    CROSS JOIN LATERAL (SELECT e.occurred_at AT TIME ZONE s.time_zone AS at) local
    WHERE e.tenant_id = %(tenant)s AND e.person_id = asked.person AND e.admitted
      AND e.occurred_at >= asked.moment - make_interval(weeks => %(weeks)s) AND e.occurred_at < asked.moment
      AND (e.xact_id, e.id) < (asked.xact, asked.row)) came
"""


def unusual_hours(events: Sequence[Event], rules: PatternRules, since: Since) -> Iterator[Hit]:
    """Who came on so many days is let in so many hours from any time at which they came."""
    mine = [event for event in events if _has_habits(event) and not _was_seen_to(event, since)]
    if not mine:
        return
    came: dict[int, list[tuple[date, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            _CAME,
            {
                "tenant": current_tenant_id(),
                "numbers": list(range(len(mine))),
                "people": [event.person_id for event in mine],
                "moments": [event.occurred_at for event in mine],
                "xacts": [event.xact_id for event in mine],
                "ids": [event.pk for event in mine],
                "weeks": WEEKS,
            },
        )
        for number, day, minute in cursor.fetchall():
            came.setdefault(number, []).append((day, minute))
    for number, event in enumerate(mine):
        if _is_unusual(event, came.get(number, []), rules):
            yield Hit(Alarm.Kind.UNUSUAL_HOURS, _subject(event), event)


def _has_habits(event: Event) -> bool:
    return event.admitted and event.person is not None and event.person.kind == Person.Kind.PERSON


def _was_seen_to(event: Event, since: Since) -> bool:
    acknowledged = since.get(_subject(event))
    return acknowledged is not None and event.occurred_at <= acknowledged


def _subject(event: Event) -> str:
    return f"person:{event.person_id}"


def _is_unusual(event: Event, came: list[tuple[date, int]], rules: PatternRules) -> bool:
    if len({day for day, _ in came}) < rules.unusual_hours_days:
        return False
    local = event.occurred_at.astimezone(event.channel.site.zone)
    minute, weekend = local.hour * 60 + local.minute, local.weekday() >= 5
    far = rules.unusual_hours_apart * 60
    return all(
        (day.weekday() >= 5) is not weekend or min((minute - at) % _DAY, (at - minute) % _DAY) >= far
        for day, at in came
    )
