"""A person in groups for a period: the memberships are written ahead, with their start and end, and need no job."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accesscontrol.credentials.lifecycle import PersonIsGone
from accesscontrol.doors.models import Channel, RoleChannel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import records
from accesscontrol.people.models import Group, GroupMembership, GroupRole, Person
from accesscontrol.reservations.models import GroupReservation, GroupReservationGroup
from accesscontrol.visits import expiry, keypads
from accounts import audit
from accounts.refusals import Refusal


class EndsBeforeItStarts(Refusal):
    code = "invalid_period"
    field = "end_time"
    text = "The reservation must end after it starts, and not in the past."


class NoGroups(Refusal):
    code = "required"
    field = "group_ids"
    text = "Choose at least one group."


@transaction.atomic
def reserve(
    person: Person,
    groups: Iterable[Group],
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
) -> GroupReservation:
    """Put a person into these groups during `[start_time, end_time)`, which may last days."""
    groups = list(groups)
    if not groups:
        raise NoGroups
    if end_time <= max(start_time, now):
        raise EndsBeforeItStarts
    if not records.stays(person):
        raise PersonIsGone
    roles = GroupRole.objects.filter(OPEN, group__in=groups).values("role_id")
    opened = RoleChannel.objects.filter(OPEN, role_id__in=roles).values("channel_id")
    keypads.require_fit(person, Channel.objects.filter(pk__in=opened))
    made = GroupReservation.objects.create(
        person=person, start_time=start_time, end_time=end_time, created_at=now, updated_at=now
    )
    # Nothing held before it was written down.
    held_from = max(start_time, now)
    memberships = GroupMembership.objects.bulk_create(
        GroupMembership(person=person, group=group, started_at=held_from, ended_at=end_time) for group in groups
    )
    GroupReservationGroup.objects.bulk_create(
        GroupReservationGroup(group_reservation=made, group_id=row.group_id, membership=row) for row in memberships
    )
    expiry.revive(person.pk, now)
    audit.record("reserve", "group_reservation", made.pk, by=by, now=now)
    return made


@transaction.atomic
def end(reservations: Iterable[GroupReservation], *, by: audit.Actor, now: datetime) -> None:
    """Take the person out of the groups at once, or never put them in; a second time changes nothing."""
    ids = [reservation.pk for reservation in reservations]
    live = GroupReservation.objects.filter(pk__in=ids, ended_at=None, end_time__gt=now).select_for_update(of=("self",))
    ids, person_ids = [], []
    for reservation in live:
        ids.append(reservation.pk)
        person_ids.append(reservation.person_id)
    GroupReservation.objects.filter(pk__in=ids).update(ended_at=now, updated_at=now)
    rows = GroupReservationGroup.objects.filter(group_reservation_id__in=ids).values("membership_id")
    memberships = GroupMembership.objects.filter(pk__in=rows)
    memberships.filter(started_at__lte=now).update(ended_at=now)
    # A period without an instant: it never held.
    memberships.filter(started_at__gt=now).update(started_at=now, ended_at=now)
    expiry.look_at(person_ids, now)
    audit.record_many("cancel", "group_reservation", ids, by=by, now=now)
