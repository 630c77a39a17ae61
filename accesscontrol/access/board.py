"""Today at a site, read for the front desk: who is expected, here, gone, and who was not let in.

A handful of queries whatever the number of people and events. The state of a visit is told by rows and the clock;
nothing has to run for it to be right.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection
from django.db.models import Exists, OuterRef, Prefetch, Q

from accesscontrol.access.models import Event, Reason
from accesscontrol.doors import holidays
from accesscontrol.doors.hours import OnHoliday, holiday_on
from accesscontrol.doors.models import Channel, ShiftTime
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import messages
from accounts.models import AuditEvent, Membership, Site
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery, DeliverySubject

# Of a visit that comes back every week, an arrival this long ago was another day's.
ONE_DAY_HERE = timedelta(hours=16)
MOST_REFUSED = 8


@dataclass(frozen=True)
class BoardVisit:
    """One line of the board."""

    reservation: Reservation
    state: str
    doors: list[str]
    message: messages.MessageState | None

    @property
    def person(self) -> Person:
        return self.reservation.person

    @property
    def host(self) -> str:
        return self.reservation.hosted_by

    @property
    def message_failed(self) -> bool:
        return self.message is not None and self.message.code == "failed"


@dataclass(frozen=True)
class Refused:
    """A known visitor at a door that did not open, and the visit that could be changed for them."""

    event: Event
    person: Person
    channel: Channel
    reason: str
    visit: Reservation | None


def state_of(visit: Reservation, *, now: datetime, went_out_at: datetime | None = None) -> str:
    """expected, here, left, expired (nobody came) or ended (before it began); `went_out_at` by a door that says so."""
    if visit.cancelled_at is not None:
        return "left" if visit.checked_out_at else "ended"
    arrived, gone = visit.arrived_at or visit.checked_in_at, visit.checked_out_at
    if visit.comes_back and arrived is not None and now - arrived > ONE_DAY_HERE:
        arrived = gone = None
    if visit.end_time <= now:
        return "left" if arrived else "expired"
    if arrived is None:
        return "expected"
    if gone is not None and gone >= arrived:
        return "left"
    return "left" if went_out_at is not None and went_out_at > arrived else "here"


def visits_of_day(
    site: Site, day: tuple[datetime, datetime], *, now: datetime, host: Membership | None = None, search: str = ""
) -> list[BoardVisit]:
    """Visits at this site in `[day)` by their start; a host's own alone; `search` in name, company and host."""
    begins, ends = day
    here = ReservationChannel.objects.filter(OPEN, channel__site=site)
    on_this_day = ShiftTime.objects.filter(OPEN, _is_open_on(begins.astimezone(site.zone).date(), site))
    on_this_day = on_this_day.filter(shift=OuterRef("shift"))
    rows = (
        Reservation.objects.filter(Exists(here.filter(reservation=OuterRef("pk"))))
        .filter(Q(shift=None) | Exists(on_this_day))
        # Who left before the start was here all the same.
        .filter(Q(cancelled_at=None) | Q(checked_out_at__isnull=False))
        .filter(end_time__gt=begins, start_time__lt=ends, person__deleted_at=None)
        .select_related("person", "host__user")
        .prefetch_related(
            Prefetch("reservationchannels", here.select_related("channel").order_by("channel__name"), to_attr="here")
        )
        .order_by("start_time", "pk")
    )
    if host is not None:
        rows = rows.filter(host=host)
    visits = [visit for visit in rows if _matches(visit, search)]
    gone = _went_out(site, [visit.person_id for visit in visits], begins)
    sent = _latest_messages([visit.pk for visit in visits])
    return [
        BoardVisit(
            visit,
            state_of(visit, now=now, went_out_at=gone.get(visit.person_id)),
            [row.channel.name for row in visit.here],
            sent.get(visit.pk),
        )
        for visit in visits
    ]


def _is_open_on(day: date, site: Site) -> Q:
    """Which times of weekly hours are of this day, at a site that may have a holiday."""
    holiday, as_usual = holiday_on(day, holidays.of_site(site.pk)), Q(weekday=day.weekday())
    if holiday is None:
        return as_usual
    here = as_usual & Q(on_holiday=OnHoliday.AS_USUAL.value)
    return here | Q(on_holiday=OnHoliday.HOLIDAY_HOURS.value) if holiday.hours else here


def _matches(visit: Reservation, search: str) -> bool:
    words = search.casefold().split()
    text = f"{visit.person.name} {visit.company} {visit.hosted_by} {visit.person.email}".casefold()
    return all(word in text for word in words)


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


def _latest_messages(reservation_ids: list[int]) -> dict[int, messages.MessageState]:
    subjects = DeliverySubject.objects.filter(kind="reservation", object_id__in=reservation_ids)
    latest = dict(
        subjects.order_by("object_id", "-delivery_id").distinct("object_id").values_list("object_id", "delivery_id")
    )
    states = messages.states_of(list(Delivery.objects.filter(pk__in=latest.values())))
    return {visit: states[delivery] for visit, delivery in latest.items() if delivery in states}


def not_let_in(site: Site, *, since: datetime, now: datetime) -> list[Refused]:
    """Known visitors who stood at a door of the site since then and were not let in, latest first.

    Left out once they were let in there, or the desk has done something about it.
    """
    let_in = Event.objects.filter(
        person=OuterRef("person"), channel=OuterRef("channel"), admitted=True, occurred_at__gt=OuterRef("occurred_at")
    )
    events = (
        Event.objects.filter(channel__site=site, admitted=False, person__isnull=False, occurred_at__gte=since)
        .filter(occurred_at__lte=now, person__deleted_at=None)
        .exclude(Exists(let_in.filter(occurred_at__gte=since)))
        .select_related("person", "channel")
        .order_by("-occurred_at", "-id")[: MOST_REFUSED * 10]
    )
    latest: dict[tuple[int | None, int], Event] = {}
    for event in events:
        latest.setdefault((event.person_id, event.channel_id), event)
    visits = visits_of_people([event.person_id for event in latest.values() if event.person_id], now)
    ids = [str(event.pk) for event in latest.values()]
    seen_to = set(
        AuditEvent.objects.filter(subject_type="event", subject_id__in=ids).values_list("subject_id", flat=True)
    )
    found = []
    for event in latest.values():
        assert event.person is not None
        visit = visits.get(event.person.pk)
        is_visitor = visit is not None or event.person.kind == Person.Kind.VISITOR
        if is_visitor and str(event.pk) not in seen_to:
            found.append(Refused(event, event.person, event.channel, str(Reason(event.reason).label), visit))
    return found[:MOST_REFUSED]


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
