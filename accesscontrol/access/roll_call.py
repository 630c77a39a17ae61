"""Who is possibly inside a site: whoever was last let in there, and not out again. For an evacuation, so it says
what it does not know: doors that do not tell in from out, sites where nobody is seen to leave, doors held open.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.expressions import RawSQL

from accesscontrol.access.models import Event
from accesscontrol.doors.models import Channel, ChannelState
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts.models import Site
from accounts.tenancy import current_tenant_id

# Nobody is thought to be inside since yesterday: without an exit reader the list would never end.
LOOKS_BACK = timedelta(hours=24)

# The newest admission of each person: one walk through the index of each door, back to the limit and no further.
_LAST = """
SELECT DISTINCT ON (e.person_id) e.person_id, e.channel_id, e.occurred_at
FROM doors_channel c
JOIN access_event e ON e.tenant_id = c.tenant_id AND e.channel_id = c.id
WHERE c.tenant_id = %(tenant)s AND c.site_id = %(site)s AND e.admitted AND e.person_id IS NOT NULL
  AND e.occurred_at > %(since)s AND e.occurred_at <= %(as_of)s
ORDER BY e.person_id, e.occurred_at DESC, e.id DESC
"""


# The same at several sites at once: inside one of them is whoever was not seen to leave that one.
_INSIDE = """
SELECT last.person_id FROM (
    SELECT DISTINCT ON (c.site_id, e.person_id) e.person_id, c.direction
    FROM doors_channel c
    JOIN access_event e ON e.tenant_id = c.tenant_id AND e.channel_id = c.id
    WHERE c.tenant_id = %s AND c.site_id = ANY(%s) AND e.admitted AND e.person_id IS NOT NULL
      AND e.occurred_at > %s AND e.occurred_at <= %s
    ORDER BY c.site_id, e.person_id, e.occurred_at DESC, e.id DESC) last
WHERE last.direction <> 'out'
"""


@dataclass(frozen=True)
class Inside:
    """Somebody who is possibly inside. `direction_known` is False where the door tells nothing of in or out."""

    person: Person
    channel: Channel
    occurred_at: datetime
    direction_known: bool
    visit_over: bool


@dataclass(frozen=True)
class RollCall:
    """The list and what it rests on; `let_in_by_hand` counts openings by command for nobody in particular."""

    site: Site
    as_of: datetime
    since: datetime
    rows: list[Inside]
    has_exit_readers: bool
    doors_of_unknown_direction: list[Channel]
    doors_held_open: list[Channel]
    let_in_by_hand: int


def possibly_inside(site: Site, *, as_of: datetime) -> RollCall:
    """Who was last let in at this site within a day before an instant, and not seen to leave; by name."""
    since = as_of - LOOKS_BACK
    with connection.cursor() as cursor:
        cursor.execute(_LAST, {"tenant": current_tenant_id(), "site": site.pk, "since": since, "as_of": as_of})
        last = cursor.fetchall()
    doors = {door.pk: door for door in Channel.objects.filter(site=site).order_by("name", "id")}
    seen = {row[0]: row for row in last if doors[row[1]].direction != Channel.Direction.OUT}
    people = Person.objects.filter(pk__in=seen).order_by("last_name", "first_name", "id")
    by_hand = Event.objects.filter(
        channel_id__in=list(doors), admitted=True, person=None, occurred_at__gt=since, occurred_at__lte=as_of
    )
    current = Reservation.objects.filter(
        person=OuterRef("pk"), cancelled_at=None, start_time__lte=as_of, end_time__gt=as_of
    )
    rows = []
    for person in people.annotate(is_expected=Exists(current)):
        _, channel_id, occurred_at = seen[person.pk]
        door = doors[channel_id]
        over = person.kind == Person.Kind.VISITOR and not person.is_expected
        rows.append(Inside(person, door, occurred_at, door.direction == Channel.Direction.IN, over))
    return RollCall(
        site=site,
        as_of=as_of,
        since=since,
        rows=rows,
        has_exit_readers=any(door.direction == Channel.Direction.OUT for door in doors.values()),
        doors_of_unknown_direction=[d for d in doors.values() if d.direction == Channel.Direction.NONE],
        doors_held_open=_held_open(doors, since, as_of),
        let_in_by_hand=by_hand.count(),
    )


def inside(site_ids: Iterable[int], *, as_of: datetime) -> RawSQL:
    """The ids of who is possibly inside any of these sites, by the rule of `possibly_inside`; for a query of people."""
    return RawSQL(_INSIDE, (current_tenant_id(), list(site_ids), as_of - LOOKS_BACK, as_of))  # noqa: S611 (a constant)


def _held_open(doors: dict[int, Channel], since: datetime, as_of: datetime) -> list[Channel]:
    """Doors through which people came and went unseen, for some time of the period."""
    periods = ChannelState.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=since),
        Q(relock_at=None) | Q(relock_at__gt=since),
        Q(state=Channel.State.UNLOCKED) | Q(auto_unlock_shift__isnull=False),
        channel_id__in=list(doors),
        started_at__lte=as_of,
    )
    held = set(periods.values_list("channel_id", flat=True))
    return [door for pk, door in doors.items() if pk in held]
