"""Four weeks of events, as the rule would have decided them. Written at once: nobody stands at these doors.

What varies is computed from names and days, so that two installations show the same picture.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zlib import crc32

from accesscontrol.access.attempts import event_code
from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.management.seed.building import Built, Holder
from accesscontrol.management.seed.plans import Routine, TenantPlan
from accesscontrol.visits import arriving

DAYS = 28


def write(plan: TenantPlan, built: Built, *, now: datetime) -> None:
    """Write the events of the last four weeks, oldest first."""
    events = [*_of_staff(built, now), *_of_visitors(built), *_of_strangers(plan, built, now)]
    past = [event for event in events if event.occurred_at < now]
    Event.objects.bulk_create(sorted(past, key=lambda event: event.occurred_at), batch_size=2000)
    visitors = {holder.person.pk for holder in built.holders if holder.visit is not None}
    came: defaultdict[Channel, list[tuple[int, datetime]]] = defaultdict(list)
    for event in past:
        if event.person_id in visitors and event.admitted and event.person_id is not None:
            came[event.channel].append((event.person_id, event.occurred_at))
    for channel, admitted in came.items():
        arriving.note_admissions(channel, admitted, now=now)


def _any(most: int, *about: object) -> int:
    """0 to most - 1, always the same for the same words."""
    return crc32(repr(about).encode()) % most


def _of_staff(built: Built, now: datetime) -> Iterator[Event]:
    for holder in built.holders:
        if holder.plan is None:
            continue
        site = built.sites[holder.plan.site]
        today = now.astimezone(site.zone).date()
        for ago in range(DAYS, -1, -1):
            day = today - timedelta(days=ago)
            routine = holder.plan.routine
            came = datetime.combine(day, routine.arrives, site.zone)
            came += timedelta(seconds=_any(2400, "came", holder.person.name, day))
            if day.weekday() in routine.weekdays:
                if _any(100, holder.person.name, day) >= 9:
                    yield from _day(holder, routine, built, came, day)
            elif _any(70, "weekend", holder.person.name, day) == 0:
                yield _event(built.doors[routine.enters], came, Reason.NOT_PERMITTED_AT_THIS_TIME, holder)


def _day(holder: Holder, routine: Routine, built: Built, came: datetime, day: date) -> Iterator[Event]:
    name = holder.person.name
    entrance = built.doors[routine.enters]
    reason = _why_not(holder, came)
    if reason is not Reason.NONE:
        if _any(4, "again", name, day) == 0:
            yield _event(entrance, came, reason, holder)
        return
    if holder.credential.type == CredentialType.PIN and _any(25, "slip", name, day) == 0:
        yield _event(entrance, came - timedelta(seconds=9), Reason.INVALID_PIN)
    yield _event(entrance, came, reason, holder)
    for number, door in enumerate(routine.visits):
        later = came + timedelta(minutes=15 + _any(routine.minutes - 30, door, number, name, day))
        yield _event(built.doors[door], later, reason, holder)
    if not routine.visits and _any(40, "curious", name, day) == 0:
        closed = built.doors.get("Lab") or built.doors["Archive"]
        if closed.site_id == entrance.site_id:
            yield _event(closed, came + timedelta(minutes=95), Reason.UNAUTHORIZED, holder)
    went = came + timedelta(minutes=routine.minutes - 25 + _any(50, "went", name, day))
    yield _event(built.doors[routine.leaves], went, Reason.NONE, holder)


def _why_not(holder: Holder, moment: datetime) -> Reason:
    """The exceptions among the people, as they were at that moment."""
    person = holder.person
    if not person.enabled and person.updated_at <= moment:
        return Reason.PERSON_NOT_ENABLED
    if person.valid_from is not None and moment < person.valid_from:
        return Reason.PERSON_NOT_ACTIVE
    if not holder.credential.enabled and holder.credential.updated_at <= moment:
        return Reason.CREDENTIAL_NOT_ENABLED
    return Reason.NONE


def _of_visitors(built: Built) -> Iterator[Event]:
    for number, holder in enumerate(holder for holder in built.holders if holder.visit):
        visit = holder.visit
        assert visit is not None
        doors = list(visit.channels.order_by("pk"))
        for door in (door for door in doors if door.site_id == doors[0].site_id):
            yield _event(door, visit.start_time + timedelta(minutes=6 + 7 * number % 40), Reason.NONE, holder)
            if number % 3 == 1:
                early = visit.start_time - timedelta(minutes=8)
                yield _event(door, early, Reason.NOT_PERMITTED_AT_THIS_TIME, holder)
            if number % 3 == 2:
                late = visit.end_time + timedelta(minutes=14)
                yield _event(door, late, Reason.CREDENTIAL_EXPIRED, holder)


def _of_strangers(plan: TenantPlan, built: Built, now: datetime) -> Iterator[Event]:
    """Somebody tries PINs at the first door, one night a week, until the door makes them wait."""
    door = built.doors[plan.doors[0].name]
    for week in range(1, 5):
        first = now.replace(hour=1, minute=17) - timedelta(days=7 * week - 2)
        for number in range(4):
            wait = 30 if number == 3 else None
            yield _event(door, first + timedelta(seconds=11 * number), Reason.INVALID_PIN, retry_after=wait)
        yield _event(door, first + timedelta(seconds=52), Reason.THROTTLED, retry_after=22)


def _event(
    door: Channel,
    moment: datetime,
    reason: Reason,
    holder: Holder | None = None,
    *,
    retry_after: int | None = None,
) -> Event:
    shown = CredentialType(holder.credential.type) if holder else CredentialType.PIN
    admitted = reason is Reason.NONE
    return Event(
        channel=door,
        person=holder.person if holder else None,
        credential=holder.credential if holder else None,
        credential_type=shown,
        code=event_code(admitted, reason, shown),
        admitted=admitted,
        reason=reason,
        release_seconds=door.release_seconds if admitted else None,
        retry_after=retry_after,
        occurred_at=moment,
        recorded_at=moment,
    )
