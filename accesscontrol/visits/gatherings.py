"""Visitors who come together: one host, the same doors and period; issued, moved, extended and ended in one.

Each has a PIN of their own, or all share one that is not traceable to one individual. Any one of them can be
treated alone, as every other visit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop

from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.doors.models import Channel
from accesscontrol.people import records
from accesscontrol.people.models import Person
from accesscontrol.reservations import reserving as reservations
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits import changing, expiry, issuing, keypads, messages, visiting
from accesscontrol.visits.guests import Guest, parse_guests
from accounts import audit
from accounts.models import Membership, Site, Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id

# Each is told, and each has a PIN drawn and sealed, while the desk waits: a few seconds for so many.
MOST = 1000
__all__ = ["Guest", "end_group", "extend_group", "issue_group", "move_group", "parse_guests"]


class NobodyNamed(Refusal):
    code = "required"
    field = "names"
    text = "Write at least one name."


class TooMany(Refusal):
    code = "too_many"
    field = "names"
    text = "A group has at most 1,000 visitors."


@dataclass
class Group:
    """A new group visit: `values` are the PINs by who holds them, empty when the form was sent before."""

    group: GroupVisit
    visits: list[Reservation]
    values: list[tuple[Person, str]] = field(default_factory=list, repr=False)
    unreachable: list[Person] = field(default_factory=list)


@transaction.atomic
def issue_group(
    names: Sequence[Guest],
    *,
    name: str,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    shared: bool = False,
    channels: Iterable[Channel] | None = None,
    site: Site | None = None,
    host: Membership | None = None,
    host_name: str = "",
    purpose: str = "",
    company: str = "",
    grace_seconds: int | None = None,
    needs_check_in: bool | None = None,
    deliver: str | None = None,
    language: str = "",
    form_token: str = "",
) -> Group:
    """Issue a visit to everybody in a list, or to nobody; whoever has no address of the medium gets no message."""
    if not names:
        raise NobodyNamed
    if len(names) > MOST:
        raise TooMany
    if end_time <= now:
        raise changing.IsOver(gettext_noop("This time is over already."), field="end_time")
    visiting.once(form_token)
    known = GroupVisit.objects.filter(form_token=form_token).first() if form_token else None
    if known is not None:
        return Group(known, list(Reservation.objects.filter(group=known).select_related("person")))
    tenant = Tenant.objects.get(pk=current_tenant_id())
    doors = visiting.visitor_doors(site) if channels is None else list(channels)
    holder = _holder(name, by=by, now=now) if shared else None
    group = GroupVisit.objects.create(
        name=name, shared_person=holder, form_token=form_token, created_by=str(by), created_at=now
    )
    audit.record("create", "group_visit", group.pk, by=by, now=now)
    people = records.create_many([_written(guest, language) for guest in names], by=by, now=now)
    details = {
        "host": host,
        "host_name": "" if host else host_name,
        "purpose": purpose,
        "group": group,
        "grace_seconds": tenant.grace_seconds if grace_seconds is None else grace_seconds,
        "needs_check_in": tenant.needs_check_in if needs_check_in is None else needs_check_in,
    }
    companies = [guest.company or company for guest in names]
    period: dict[str, Any] = {"start_time": start_time, "end_time": end_time, "by": by, "now": now}
    visits = reservations.reserve_many(people, doors, details=details, companies=companies, **period)
    if holder is not None:
        # Whoever comes first would take the wait for check-in off everybody who shares the PIN.
        alone = {**details, "company": company, "needs_check_in": False}
        reservations.reserve(holder, doors, details=alone, **period)
        _, value = issuing.draw(holder, enabled=True, by=by, now=now)
        expiry.look_at([holder.pk], now)
        values = [(holder, value)]
    else:
        credentials = issuing.issue_many(people, doors=doors, by=by, now=now)
        by_id = {person.pk: person for person in people}
        values = [(by_id[credential.person_id], value_of(credential)) for credential in credentials]
    made = Group(group, visits, values)
    if deliver:
        reached = [visit for visit in visits if messages.is_reachable(visit.person, deliver)]
        made.unreachable = [visit.person for visit in visits if not messages.is_reachable(visit.person, deliver)]
        messages.send_reservations(reached, deliver, by=by, now=now)
    return made


def _holder(name: str, *, by: audit.Actor, now: datetime) -> Person:
    return records.create({"kind": Person.Kind.SHARED, "first_name": name[:120]}, by=by, now=now)


def _written(guest: Guest, language: str) -> dict[str, Any]:
    return {
        "kind": Person.Kind.VISITOR,
        "first_name": guest.first_name,
        "last_name": guest.last_name,
        "email": guest.email,
        "mobile": guest.mobile,
        "language": language,
    }


@transaction.atomic
def move_group(
    group: GroupVisit,
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    channels: Iterable[Channel] | None = None,
    among: Iterable[Channel] | None = None,
    expected_version: int | None = None,
) -> list[Reservation]:
    """Give everybody whose visit is not over these times and doors; each keeps what they open beyond `among`."""
    visits, doors = _going_on(group, now, expected_version), None if channels is None else list(channels)
    return _reschedule(visits, start_time=start_time, end_time=end_time, channels=doors, among=among, by=by, now=now)


@transaction.atomic
def extend_group(
    group: GroupVisit, *, end_time: datetime, by: audit.Actor, now: datetime, expected_version: int | None = None
) -> list[Reservation]:
    """Let everybody whose visit is not over stay until another time; refuses a time that is over."""
    visits = _going_on(group, now, expected_version)
    if end_time <= now:
        raise changing.ends_in_the_past()
    return _reschedule(visits, end_time=end_time, by=by, now=now)


def _reschedule(
    visits: list[Reservation],
    *,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    start_time: datetime | None = None,
    channels: list[Channel] | None = None,
    among: Iterable[Channel] | None = None,
) -> list[Reservation]:
    """What visits/changing.py does to one visit, for many at once; whoever has it all already is told nothing."""
    if channels is not None:
        wanted, doors = {channel.pk for channel in channels}, reservations.doors_of(visits)
        elsewhere = [visit for visit in visits if doors[visit.pk] != wanted]
        keypads.require_fit_many([visit.person_id for visit in elsewhere], channels)
    changed = reservations.reschedule_many(
        visits, start_time=start_time, end_time=end_time, channels=channels, among=among, by=by, now=now
    )
    people = [visit.person_id for visit in changed]
    if end_time > now:
        expiry.revive_many(people, now)
    else:
        expiry.look_at(people, now)
    messages.tell_changes(changed, by=by, now=now)
    return visits


@transaction.atomic
def end_group(
    group: GroupVisit, *, by: audit.Actor, now: datetime, expected_version: int | None = None
) -> list[Reservation]:
    """End the visit of everybody; those who left before stay as they are."""
    visits = _live(group, now, expected_version)
    coming = [visit for visit in visits if now <= visit.start_time]
    reservations.cancel(coming, by=by, now=now)
    for visit in coming:
        visit.cancelled_at = now
        visit.version += 1
    reservations.reschedule_many([visit for visit in visits if visit.start_time < now], end_time=now, by=by, now=now)
    expiry.look_at([visit.person_id for visit in visits], now)
    messages.tell_ends(visits, by=by, now=now)
    return visits


def version_of(visits: Iterable[Reservation]) -> int:
    """What a group looks like: each change of any of its visits makes it another number."""
    return sum(visit.version for visit in visits)


def _going_on(group: GroupVisit, now: datetime, expected_version: int | None) -> list[Reservation]:
    found = _live(group, now, expected_version)
    if not found:
        raise changing.IsOver(gettext_noop("The visits of this group are over already."))
    return found


def _live(group: GroupVisit, now: datetime, expected_version: int | None) -> list[Reservation]:
    """The visits that are not over; refuses a group that is not as it was seen.

    Locked in one order, so that two who act at once do not block each other.
    """
    members = Reservation.objects.filter(group=group).select_related("person", "host__user")
    rows = list(members.select_for_update(of=("self",)).order_by("pk"))
    if expected_version is not None and version_of(rows) != expected_version:
        raise reservations.changed_meanwhile(max(rows, key=lambda visit: visit.updated_at))
    return [visit for visit in rows if not visit.is_over(now)]
