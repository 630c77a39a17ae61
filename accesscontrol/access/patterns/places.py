"""One credential at two sites sooner than anybody gets from one to the other."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from accesscontrol.access.models import Alarm, Event, PatternRules
from accesscontrol.access.patterns.hits import Hit, Since, known_before, near


def two_sites(events: Sequence[Event], rules: PatternRules, since: Since) -> Iterator[Hit]:
    """One PIN or card at two sites within so many minutes, let in or not; a shared one is in many hands by right."""
    within = timedelta(minutes=rules.two_sites_minutes)
    mine = [event for event in events if event.credential_id and event.person and not event.person.is_shared]
    around = near(mine, "credential_id", within, within)
    for event in mine:
        subject = f"credential:{event.credential_id}"
        known = known_before(around.get(event.credential_id or 0, []), event, since.get(subject), itself=False)
        here = event.channel.site_id
        if any(row.site_id != here and abs(row.occurred_at - event.occurred_at) < within for row in known):
            yield Hit(Alarm.Kind.TWO_SITES, subject, event)
