"""Today at a site, read for the front desk: who is expected, here, gone, and who was not let in.

A handful of queries whatever the number of people and events. The state of a visit is told by rows and the clock;
nothing has to run for it to be right.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from accesscontrol.access.models import Event, Reason
from accesscontrol.doors import holidays
from accesscontrol.doors.hours import OnHoliday, Stretch, occurrence, of_day
from accesscontrol.doors.models import Channel, ShiftTime
from accesscontrol.doors.periods import OPEN
from accesscontrol.doors.spans import Span
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel, came_at
from accesscontrol.visits import messages
from accounts.models import AuditEvent, Membership, Site
from accounts.tenancy import current_tenant_id

MOST_REFUSED = 8


class State(StrEnum):
    """What a board tells apart. Whoever came and was not seen to leave is `expired` once the time is over."""

    EXPECTED = "expected"
    HERE = "here"
    LEFT = "left"
    EXPIRED = "expired"
    NO_SHOW = "no_show"
    ENDED = "ended"


@dataclass(frozen=True)
class BoardVisit:
    """One line of the board; `begins` and `ends` are those of the day for a visit that comes back every week."""

    reservation_id: int
    person_id: int
    version: int
    name: str
    host: str
    company: str
    begins: datetime
    ends: datetime
    state: State
    doors: tuple[str, ...]
    message: messages.MessageState | None

    @property
    def message_failed(self) -> bool:
        return self.message is not None and self.message.is_undelivered


@dataclass(frozen=True)
class Refused:
    """A known visitor at a door that did not open, and the visit that could be changed for them."""

    event: Event
    person: Person
    channel: Channel
    reason: str
    visit: Reservation | None


class Attended(Protocol):
    """A visit, or the columns of one, that tell what came of it."""

    @property
    def shift_id(self) -> int | None: ...
    @property
    def end_time(self) -> datetime: ...
    @property
    def cancelled_at(self) -> datetime | None: ...
    @property
    def arrived_at(self) -> datetime | None: ...
    @property
    def checked_out_at(self) -> datetime | None: ...


def state_of(
    visit: Attended, *, now: datetime, ends: datetime | None = None, went_out_at: datetime | None = None
) -> State:
    """What to say of a visit: `ends` is the day's end of a weekly one, `went_out_at` by a door that leads out."""
    came, left = came_at(visit, now), visit.checked_out_at
    if visit.cancelled_at is not None:
        return State.LEFT if left else State.ENDED
    is_over = min(visit.end_time, ends or visit.end_time) <= now
    if came is None:
        return State.NO_SHOW if is_over else State.EXPECTED
    if (left is not None and left >= came) or (went_out_at is not None and went_out_at > came):
        return State.LEFT
    return State.EXPIRED if is_over else State.HERE


def states_of(visits: Iterable[Reservation], site: Site, *, now: datetime) -> dict[int, State]:
    """The states of these visits by their ids, as today's board of this site says them."""
    visits = list(visits)
    midnight = now.astimezone(site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    gone = _went_out(site, [visit.person_id for visit in visits], midnight)
    today = _of_the_day({visit.shift_id for visit in visits}, site, midnight)
    return {
        visit.pk: state_of(
            visit,
            now=now,
            ends=max((end for _, end in today.get(visit.shift_id or 0, ())), default=None),
            went_out_at=gone.get(visit.person_id),
        )
        for visit in visits
    }


_COLUMNS = (
    "id",
    "person_id",
    "version",
    "shift_id",
    "start_time",
    "end_time",
    "cancelled_at",
    "arrived_at",
    "checked_out_at",
    "company",
    "host_name",
)


def visits_of_day(
    site: Site, day: tuple[datetime, datetime], *, now: datetime, host: Membership | None = None, search: str = ""
) -> list[BoardVisit]:
    """Visits at this site in `[day)` by their start; a host's own alone; `search` in name, company, host, address."""
    begins, ends = day
    weekly = _hours_of_day(begins.astimezone(site.zone).date())
    here = ReservationChannel.objects.filter(OPEN, channel__site=site)
    rows = (
        Reservation.objects.filter(Exists(here.filter(reservation=OuterRef("pk"))))
        .filter(Q(shift=None) | Exists(weekly.filter(shift=OuterRef("shift"))))
        # Who left before the start was here all the same.
        .filter(Q(cancelled_at=None) | Q(checked_out_at__isnull=False))
        .filter(end_time__gt=begins, start_time__lt=ends, person__deleted_at=None)
    )
    if host is not None:
        rows = rows.filter(host=host)
    # Columns and not rows with their relations: hundreds of visits are read in a few milliseconds.
    listed: list[Any] = [
        row
        for row in rows.values_list(
            *_COLUMNS,
            "person__first_name",
            "person__last_name",
            "person__email",
            "host__user__name",
            "host__user__email",
            named=True,
        )
        if _matches(row, search)
    ]
    hours = _of_the_day({row.shift_id for row in listed}, site, begins)
    gone = _went_out(site, [row.person_id for row in listed], begins)
    ids = [row.id for row in listed]
    doors: dict[int, list[str]] = {}
    for visit_id, name in here.filter(reservation_id__in=ids).values_list("reservation_id", "channel__name"):
        doors.setdefault(visit_id, []).append(name)
    sent = messages.latest_states("reservation", ids)
    visits = []
    for row in listed:
        period = [(row.start_time, row.end_time)] if row.shift_id is None else hours.get(row.shift_id, [])
        if not period:
            continue
        starts_at = max(row.start_time, min(start for start, _ in period))
        ends_at = min(row.end_time, max(end for _, end in period))
        if ends_at <= starts_at:
            continue  # The day's hours lie before the first of its visits, or after the last.
        visits.append(
            BoardVisit(
                reservation_id=row.id,
                person_id=row.person_id,
                version=row.version,
                name=_name(row),
                host=_host(row),
                company=row.company,
                begins=starts_at,
                ends=ends_at,
                state=state_of(row, now=now, ends=ends_at, went_out_at=gone.get(row.person_id)),
                doors=tuple(sorted(doors.get(row.id, ()))),
                message=sent.get(row.id),
            )
        )
    return sorted(visits, key=lambda visit: (visit.begins, visit.reservation_id))


def _name(row: Any) -> str:
    return f"{row.person__first_name} {row.person__last_name}".strip()


def _host(row: Any) -> str:
    return str(row.host__user__name or row.host__user__email or row.host_name)


def _matches(row: Any, search: str) -> bool:
    words = search.casefold().split()
    text = f"{_name(row)} {row.company} {_host(row)} {row.person__email}".casefold() if words else ""
    return all(word in text for word in words)


def _hours_of_day(day: date) -> QuerySet[ShiftTime]:
    """Weekly hours that may be open on this day: its own, those of the night before, and hours of holidays."""
    weekdays = Q(weekday__in=(day.weekday(), (day.weekday() - 1) % 7))
    return ShiftTime.objects.filter(OPEN).filter(weekdays | Q(on_holiday=OnHoliday.HOLIDAY_HOURS.value))


def _of_the_day(shift_ids: set[int | None], site: Site, midnight: datetime) -> dict[int, list[Span]]:
    """When weekly hours are open on the day that begins at this instant, by shift; those that are not are left out."""
    ids = [shift_id for shift_id in shift_ids if shift_id is not None]
    if not ids:
        return {}
    stretches: dict[int, list[Stretch]] = {}
    for row in ShiftTime.objects.filter(OPEN, shift_id__in=ids):
        stretches.setdefault(row.shift_id, []).append(row.stretch)
    exceptions = holidays.of_site(site.pk)
    today = midnight.astimezone(site.zone).date()
    found: dict[int, list[Span]] = {}
    for shift_id, weekly in stretches.items():
        for day in (today - timedelta(days=1), today):
            periods = (occurrence(stretch, day, site.zone) for stretch in of_day(day, weekly, exceptions))
            found.setdefault(shift_id, []).extend(period for period in periods if period[1] > midnight)
    return {shift_id: periods for shift_id, periods in found.items() if periods}


# One index probe a person; a plain DISTINCT ON may be planned over all events of the day.
_WENT_OUT = """
SELECT asked.person, last.occurred_at
FROM unnest(%(people)s::bigint[]) AS asked (person)
CROSS JOIN LATERAL (
    SELECT e.occurred_at, c.direction FROM access_event e
    JOIN doors_channel c ON c.tenant_id = e.tenant_id AND c.id = e.channel_id
    WHERE e.tenant_id = %(tenant)s AND e.person_id = asked.person AND e.admitted AND e.occurred_at >= %(since)s
      AND c.site_id = %(site)s
    ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1) last
WHERE last.direction = 'out'
"""


def _went_out(site: Site, person_ids: list[int], since: datetime) -> dict[int, datetime]:
    """When each of these people last went through a door that leads out, if they did not come in after it."""
    with connection.cursor() as asked:
        asked.execute(_WENT_OUT, {"people": person_ids, "tenant": current_tenant_id(), "since": since, "site": site.pk})
        return dict(asked.fetchall())


def not_let_in(site: Site, *, since: datetime, now: datetime) -> list[Refused]:
    """Known visitors who stood at a door of the site since then and were not let in, latest first.

    Left out once they were let in there, or the desk has done something about it.
    """
    let_in = Event.objects.filter(
        person=OuterRef("person"), channel=OuterRef("channel"), admitted=True, occurred_at__gt=OuterRef("occurred_at")
    )
    stood = (
        Event.objects.filter(channel__site=site, admitted=False, person__isnull=False, occurred_at__gte=since)
        .filter(occurred_at__lte=now, person__deleted_at=None)
        .exclude(Exists(let_in.filter(occurred_at__gte=since)))
        .order_by("-occurred_at", "-id")
        .values_list("id", "person_id", "channel_id", "person__kind")[: MOST_REFUSED * 10]
    )
    latest: dict[tuple[int, int], tuple[int, str]] = {}
    for event_id, person_id, channel_id, kind in stood:
        latest.setdefault((person_id, channel_id), (event_id, kind))
    visits = visits_of_people([person_id for person_id, _ in latest], now)
    ids = [str(event_id) for event_id, _ in latest.values()]
    seen_to = set(
        AuditEvent.objects.filter(subject_type="event", subject_id__in=ids).values_list("subject_id", flat=True)
    )
    shown = [
        event_id
        for (person_id, _), (event_id, kind) in latest.items()
        if (person_id in visits or kind == Person.Kind.VISITOR) and str(event_id) not in seen_to
    ]
    events = Event.objects.filter(occurred_at__gte=since, pk__in=shown[:MOST_REFUSED])
    found = []
    for event in events.select_related("person", "channel").order_by("-occurred_at", "-id"):
        assert event.person is not None
        reason = str(Reason(event.reason).label)
        found.append(Refused(event, event.person, event.channel, reason, visits.get(event.person.pk)))
    return found


def visits_of_people(person_ids: list[int], now: datetime) -> dict[int, Reservation]:
    """For each of these people the visit that is running, or the next one."""
    rows = Reservation.objects.filter(person_id__in=person_ids, cancelled_at=None, end_time__gt=now)
    return {visit.person_id: visit for visit in rows.order_by("person_id", "start_time", "pk").distinct("person_id")}


# Index probes only: this is asked every second by every open board.
_CURSOR = """
SELECT concat_ws('|',
    (SELECT max(r.updated_at) FROM reservations_reservation r WHERE r.tenant_id = %(tenant)s),
    (SELECT string_agg(c.id || c.updated_at::text || c.state || COALESCE(e.id, 0), ',' ORDER BY c.id)
     FROM doors_channel c LEFT JOIN LATERAL (
         SELECT e.id FROM access_event e
         WHERE e.tenant_id = c.tenant_id AND e.channel_id = c.id AND e.occurred_at > %(since)s
         ORDER BY e.occurred_at DESC LIMIT 1) e ON true
     WHERE c.tenant_id = %(tenant)s AND c.site_id = %(site)s),
    (SELECT string_agg(t.subject_id || t.wait_until::text, ',' ORDER BY t.subject_id) FROM throttle_throttle t
     WHERE t.tenant_id = %(tenant)s AND t.subject_kind = 'channel' AND t.wait_until > %(now)s),
    (SELECT string_agg(d.id || d.state || d.attempts || COALESCE(l.views, 0), ',') FROM (
         SELECT d.id, d.state, d.attempts FROM deliveries_delivery d
         WHERE d.tenant_id = %(tenant)s AND d.queued_at > %(since)s ORDER BY d.queued_at DESC LIMIT 100) d
     LEFT JOIN visits_reveallink l ON l.tenant_id = %(tenant)s AND l.delivery_id = d.id),
    (SELECT max(a.id) FROM accounts_auditevent a
     WHERE a.tenant_id = %(tenant)s AND a.subject_type = 'event' AND a.occurred_at > %(since)s))
"""


def cursor(site: Site, *, now: datetime) -> str:
    """Differs when something that a board of this site shows has changed; one query of index probes."""
    with connection.cursor() as asked:
        asked.execute(
            _CURSOR,
            {"tenant": current_tenant_id(), "site": site.pk, "now": now, "since": now - timedelta(days=1)},
        )
        return hashlib.blake2s(str(asked.fetchone()[0]).encode(), digest_size=9).hexdigest()
