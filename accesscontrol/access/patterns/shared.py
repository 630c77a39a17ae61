"""A shared PIN that is used far more than before: it may have been handed on."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import ceil

from accesscontrol.access.models import Alarm, Event, PatternRules
from accesscontrol.access.patterns.hits import Hit, Since, known_before, near

DAY = timedelta(days=1)
WEEKS = timedelta(weeks=4)
# With less there is no "before".
KNOWN_FOR = timedelta(weeks=1)


def shared_pin(events: Sequence[Event], rules: PatternRules, since: Since) -> Iterator[Hit]:
    """So many uses within a day, and so many times the daily average of the four weeks before."""
    mine = [event for event in events if event.admitted and event.person is not None and event.person.is_shared]
    around = near(mine, "person_id", WEEKS + DAY, DAY, "AND e.admitted")
    for event in mine:
        subject = f"person:{event.person_id}"
        acknowledged = since.get(subject)
        known = known_before(around.get(event.person_id or 0, []), event, None)
        begin = event.occurred_at - DAY
        uses = [row.occurred_at for row in known if row.occurred_at <= event.occurred_at]
        lately = [at for at in uses if at > begin and (acknowledged is None or at > acknowledged)]
        before = [at for at in uses if begin - WEEKS < at <= begin]
        if not before or begin - before[0] < KNOWN_FOR - DAY:
            continue
        average = len(before) / max(ceil((begin - before[0]) / DAY), 1)
        if len(lately) >= rules.shared_pin_count and len(lately) >= rules.shared_pin_times * average:
            yield Hit(Alarm.Kind.SHARED_PIN, subject, event, len(lately))
