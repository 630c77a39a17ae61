"""Groups and roles of people, with what follows for their credentials: a lost right may have been the last.

And what of it, and of visits, reaches beyond the sites that somebody is limited to.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accesscontrol.credentials.lifecycle import PersonIsGone
from accesscontrol.doors.models import Role, RoleChannel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import records
from accesscontrol.people.models import Group, GroupMembership, GroupRole, Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import expiry
from accounts import audit
from accounts.refusals import Refusal


def roles_within(site_ids: frozenset[int] | None) -> QuerySet[Role]:
    """Roles that may be given by somebody who is limited to these sites: they open nothing elsewhere."""
    if site_ids is None:
        return Role.objects.all()
    elsewhere = RoleChannel.objects.filter(OPEN, role=OuterRef("pk")).exclude(channel__site_id__in=site_ids)
    return Role.objects.filter(~Exists(elsewhere), site_id__in=site_ids)


def groups_within(site_ids: frozenset[int] | None) -> QuerySet[Group]:
    """Groups that may be given by somebody who is limited to these sites."""
    if site_ids is None:
        return Group.objects.all()
    elsewhere = GroupRole.objects.filter(OPEN, group=OuterRef("pk")).exclude(role__in=roles_within(site_ids))
    return Group.objects.filter(~Exists(elsewhere), site_id__in=site_ids)


class ReachesOtherSites(Refusal):
    code = "reaches_other_sites"
    status = 403
    text = "This visit opens doors at other sites too. Ask somebody who looks after all of them."


def refuse_elsewhere(visits: Iterable[Reservation], site_ids: frozenset[int] | None) -> None:
    """Refuse where one of these visits opens a door that somebody who is limited to these sites knows nothing of."""
    if site_ids is None:
        return
    doors = ReservationChannel.objects.filter(OPEN, reservation__in=[visit.pk for visit in visits])
    if doors.exclude(channel__site_id__in=site_ids).exists():
        raise ReachesOtherSites


def now_at(site_ids: frozenset[int]) -> QuerySet[ReservationChannel]:
    """The doors at these sites that visits open, or opened when they were cancelled; none that was taken from them."""
    doors = ReservationChannel.objects.filter(channel__site_id__in=site_ids)
    return doors.filter(OPEN | Q(ended_at=F("reservation__cancelled_at")))


def set_groups(person: Person, groups: Iterable[Group], *, by: audit.Actor, now: datetime) -> None:
    """Put a person into exactly these groups, from now on."""
    set_groups_many({person: groups}, by=by, now=now)


@transaction.atomic
def set_groups_many(groups_of: Mapping[Person, Iterable[Group]], *, by: audit.Actor, now: datetime) -> None:
    """Put each of these people into exactly these groups, from now on."""
    _follow(records.set_groups_many(groups_of, by=by, now=now), now)


@transaction.atomic
def regroup(person: Person, *, into: Iterable[Group], out_of: Iterable[int], by: audit.Actor, now: datetime) -> None:
    """Put a person into these groups and take them out of those, whatever else they are in."""
    if not records.stays(person):
        raise PersonIsGone
    current = Group.objects.filter(pk__in=GroupMembership.objects.filter(OPEN, person=person).values("group_id"))
    kept = [group for group in current if group.pk not in set(out_of)]
    set_groups(person, [*kept, *into], by=by, now=now)


@transaction.atomic
def set_roles(person: Person, roles: Iterable[Role], *, by: audit.Actor, now: datetime) -> None:
    """Give a person exactly these roles of their own, from now on."""
    _follow({person.pk: records.set_roles(person, roles, by=by, now=now)}, now)


@transaction.atomic
def set_group_roles(group: Group, roles: Iterable[Role], *, by: audit.Actor, now: datetime) -> None:
    """Give a group exactly these roles, from now on."""
    if records.set_group_roles(group, roles, by=by, now=now):
        expiry.look_at(GroupMembership.objects.filter(OPEN, group=group).values("person_id"), now)


def _follow(done: Mapping[int, set[str]], now: datetime) -> None:
    added = [person_id for person_id, what in done.items() if "added" in what]
    expiry.revive_many(added, now)
    expiry.look_at([person_id for person_id, what in done.items() if what and "added" not in what], now)
