"""What somebody may open and where each right comes from, and who may open a door: as it stands at an instant."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q, QuerySet

from accesscontrol.doors import weeks
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Channel, Role, RoleChannel, ShiftTime
from accesscontrol.people.models import Group, GroupMembership, GroupRole, Person, PersonRole
from accesscontrol.reservations.models import Reservation, ReservationChannel


@dataclass
class Holding:
    """An access level, through which groups (or as their own), the doors by their weekly hours."""

    role: Role
    is_own: bool = False
    groups: list[Group] = field(default_factory=list)
    # Hours in words, empty for always -> doors.
    doors: dict[str, list[Channel]] = field(default_factory=dict)


def _held(now: datetime) -> Q:
    return Q(started_at__lte=now) & (Q(ended_at=None) | Q(ended_at__gt=now))


def of_person(person: Person, doors: QuerySet[Channel], *, now: datetime) -> list[Holding]:
    """The access levels that a person has, by name, with those of these doors that they open."""
    found: dict[int, Holding] = {}
    for own in PersonRole.objects.filter(_held(now), person=person).select_related("role"):
        found.setdefault(own.role_id, Holding(own.role)).is_own = True
    groups = GroupMembership.objects.filter(_held(now), person=person).values("group_id")
    through = GroupRole.objects.filter(_held(now), group_id__in=groups).select_related("role", "group")
    for row in through.order_by("group__name"):
        found.setdefault(row.role_id, Holding(row.role)).groups.append(row.group)
    opened = RoleChannel.objects.filter(_held(now), role_id__in=list(found), channel__in=doors)
    rows = list(opened.select_related("channel__site").order_by("channel__name", "pk"))
    hours = in_words({row.shift_id for row in rows if row.shift_id is not None}, now)
    for opens in rows:
        words = "" if opens.shift_id is None else hours[opens.shift_id]
        found[opens.role_id].doors.setdefault(words, []).append(opens.channel)
    return sorted(found.values(), key=lambda holding: holding.role.name.casefold())


@dataclass(frozen=True)
class Opening:
    """An access level that opens a door: when, and through which groups people have it."""

    role: Role
    hours: str
    groups: list[Group]
    has_own_holders: bool


def of_door(door: Channel, *, now: datetime) -> list[Opening]:
    """The access levels that open a door, by name."""
    rows = list(RoleChannel.objects.filter(_held(now), channel=door).select_related("role").order_by("role__name"))
    roles = [row.role_id for row in rows]
    groups: defaultdict[int, list[Group]] = defaultdict(list)
    through = GroupRole.objects.filter(_held(now), role_id__in=roles).select_related("group")
    for row in through.order_by("group__name"):
        groups[row.role_id].append(row.group)
    own = set(PersonRole.objects.filter(_held(now), role_id__in=roles).order_by().values_list("role_id").distinct())
    hours = in_words({row.shift_id for row in rows if row.shift_id is not None}, now)
    return [
        Opening(
            row.role,
            "" if row.shift_id is None else hours[row.shift_id],
            groups[row.role_id],
            (row.role_id,) in own,
        )
        for row in rows
    ]


def in_words(shift_ids: Iterable[int], now: datetime) -> dict[int, str]:
    """Weekly hours such as “Monday to Friday 09:00-17:00”, by shift; one query."""
    ids = set(shift_ids)
    stretches: defaultdict[int, list[Stretch]] = defaultdict(list)
    for row in ShiftTime.objects.filter(_held(now), shift_id__in=ids):
        stretches[row.shift_id].append(Stretch(row.weekday, row.start_time, row.end_time))
    return {number: weeks.week_in_words(weeks.in_words(stretches[number])) or "Never" for number in ids}


def who_opens(door_id: int, *, now: datetime) -> Q:
    """The condition for people with a right at a door, now or coming: those whose PINs its keypad counts."""
    roles = list(RoleChannel.objects.filter(channel_id=door_id, ended_at=None).values_list("role_id", flat=True))
    groups = list(GroupRole.objects.filter(role_id__in=roles, ended_at=None).values_list("group_id", flat=True))
    visits = Reservation.objects.filter(
        cancelled_at=None,
        end_time__gt=now,
        pk__in=ReservationChannel.objects.filter(channel_id=door_id, ended_at=None).values("reservation_id"),
    )
    return (
        Q(pk__in=PersonRole.objects.filter(role_id__in=roles, ended_at=None).values("person_id"))
        | Q(pk__in=GroupMembership.objects.filter(group_id__in=groups, ended_at=None).values("person_id"))
        | Q(pk__in=visits.values("person_id"))
    )
