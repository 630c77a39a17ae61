"""Which people could open a door at some instant of a period, and through what; from the kept periods alone.

The order of the rule: a PIN or card that works, a person who may, a right that holds, the hours, the visit's own
conditions; a lock-down goes before all of it. What a visit asks beyond its time is decided by the rule itself, once
for every stretch in which its facts are the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import F, Q

from accesscontrol.access.decision import Attendance, Facts, Grant, why_not
from accesscontrol.access.models import Reason
from accesscontrol.credentials.models import CredentialState, CredentialType
from accesscontrol.doors.models import Channel, Role, RoleChannel, Shift
from accesscontrol.doors.spans import Span, common, union, without
from accesscontrol.overview.who_could.door import DoorThen, overlapping
from accesscontrol.people.models import Group, GroupMembership, GroupRole, PersonRole, PersonState
from accesscontrol.reservations.models import SAME_STAY, SAME_USE, ReservationChannel, ReservationPeriod, ReservationUse


@dataclass(frozen=True)
class Through:
    """What somebody's right came from: an access level of their own or of a group, or a visit; with its hours."""

    role_id: int | None = None
    group_id: int | None = None
    reservation_id: int | None = None
    shift_id: int | None = None


@dataclass
class Rights:
    """The rights at one door: when each access level opened it, whoever had it."""

    door: DoorThen
    roles: dict[int, list[tuple[int | None, list[Span]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        door = self.door
        for row in RoleChannel.objects.filter(overlapping(door.begin, door.end), channel=door.channel):
            spans = common(union([(row.started_at, row.ended_at or door.end)]), door.open(row.shift_id))
            if spans := without(spans, door.locked):
                self.roles.setdefault(row.role_id, []).append((row.shift_id, spans))


def could(rights: Rights, person_ids: Sequence[int]) -> dict[int, dict[Through, list[Span]]]:
    """Of these people those who could, each with what it came from and when; a fixed number of queries."""
    ids, door = list(person_ids), rights.door
    able = _able(door, ids)
    found: dict[int, dict[Through, list[Span]]] = {}
    for person_id, through, spans in (*_by_roles(rights, ids), *_by_visits(door, ids)):
        if spans := common(spans, able.get(person_id, [])):
            of_person = found.setdefault(person_id, {})
            of_person[through] = union([*of_person.get(through, []), *spans])
    return found


def _able(door: DoorThen, ids: list[int]) -> dict[int, list[Span]]:
    """When each person was enabled and valid, and held a PIN or card that worked."""
    here = overlapping(door.begin, door.end)
    persons: dict[int, list[Span]] = {}
    for state in PersonState.objects.filter(here, person_id__in=ids, enabled=True):
        start = max(state.started_at, state.valid_from or state.started_at)
        end = min(state.ended_at or door.end, state.valid_to or door.end)
        persons.setdefault(state.person_id, []).append((start, end))
    credentials: dict[int, list[Span]] = {}
    rows = CredentialState.objects.filter(here, credential__person_id__in=ids, enabled=True)
    for person_id, start, ended_at, ends_at in rows.values_list(
        "credential__person_id", "started_at", "ended_at", "credential__ends_at"
    ):
        credentials.setdefault(person_id, []).append((start, min(ended_at or door.end, ends_at or door.end)))
    free = without(door.period, door.locked)
    return {
        person_id: common(common(union(spans), union(credentials.get(person_id, []))), free)
        for person_id, spans in persons.items()
    }


def _by_roles(rights: Rights, ids: list[int]) -> Iterable[tuple[int, Through, list[Span]]]:
    door, role_ids = rights.door, list(rights.roles)
    here = overlapping(door.begin, door.end)
    own = PersonRole.objects.filter(here, person_id__in=ids, role_id__in=role_ids)
    for person_id, role_id, start, end in own.values_list("person_id", "role_id", "started_at", "ended_at"):
        yield from _given(rights, person_id, role_id, None, [(start, end or door.end)])
    roles_of: dict[int, list[tuple[int, Span]]] = {}
    for row in GroupRole.objects.filter(here, role_id__in=role_ids):
        roles_of.setdefault(row.group_id, []).append((row.role_id, (row.started_at, row.ended_at or door.end)))
    members = GroupMembership.objects.filter(here, person_id__in=ids, group_id__in=list(roles_of))
    for person_id, group_id, start, end in members.values_list("person_id", "group_id", "started_at", "ended_at"):
        for role_id, span in roles_of[group_id]:
            spans = common(union([(start, end or door.end)]), union([span]))
            yield from _given(rights, person_id, role_id, group_id, spans)


def _given(
    rights: Rights, person_id: int, role_id: int, group_id: int | None, spans: list[Span]
) -> Iterable[tuple[int, Through, list[Span]]]:
    for shift_id, opened in rights.roles[role_id]:
        yield person_id, Through(role_id, group_id, None, shift_id), common(union(spans), opened)


def _by_visits(door: DoorThen, ids: list[int]) -> Iterable[tuple[int, Through, list[Span]]]:
    channels = ReservationChannel.objects.filter(
        overlapping(door.begin, door.end), channel=door.channel, reservation__person_id__in=ids
    )
    covered: dict[int, list[Span]] = {}
    for row in channels:
        covered.setdefault(row.reservation_id, []).append((row.started_at, row.ended_at or door.end))
    periods = list(
        ReservationPeriod.objects.filter(
            overlapping(door.begin, door.end), reservation_id__in=list(covered), end_time__gt=door.begin
        ).annotate(person_id=F("reservation__person_id"))
    )
    private = set(
        Shift.objects.filter(is_private=True, pk__in={row.shift_id for row in periods if row.shift_id}).values_list(
            "pk", flat=True
        )
    )
    uses: dict[int, list[ReservationUse]] = {}
    limited = {row.reservation_id for row in periods if row.max_uses is not None}
    for use in ReservationUse.objects.filter(reservation_id__in=limited).order_by("number"):
        uses.setdefault(use.reservation_id, []).append(use)
    for period in periods:
        grace = timedelta(seconds=period.grace_seconds)
        held = union([(period.started_at, period.ended_at or door.end)])
        granted = common(held, union([(period.start_time - grace, period.end_time)]))
        spans = common(common(granted, union(covered[period.reservation_id])), door.period)
        if spans and (period.shift_id is not None or period.needs_check_in or period.max_uses is not None):
            early = grace if period.shift_id in private else timedelta(0)
            spans = _attended(door, period, spans, early, uses.get(period.reservation_id, []))
        through = Through(reservation_id=period.reservation_id, shift_id=period.shift_id)
        yield period.person_id, through, spans


def _attended(
    door: DoorThen, period: ReservationPeriod, spans: list[Span], early: timedelta, uses: list[ReservationUse]
) -> list[Span]:
    """Of these spans those in which the visit opened: the rule is asked once between every two changes."""
    edges = {moment for span in spans for moment in span}
    edges |= {moment for use in uses for moment in (use.recorded_at, use.used_at + SAME_USE)}
    edges |= door.edges(period.shift_id, early) if period.shift_id is not None else set(door.changes())
    if period.checked_in_at is not None:
        edges.add(period.checked_in_at + SAME_STAY)
    found = []
    for start, end in pairwise(sorted(edges)):
        if any(begin <= start and end <= stop for begin, stop in spans) and _opens(door, period, start, early, uses):
            found.append((start, end))
    return union(found)


def _opens(
    door: DoorThen, period: ReservationPeriod, at: datetime, early: timedelta, uses: list[ReservationUse]
) -> bool:
    made = [use.used_at for use in uses if use.recorded_at <= at]
    attendance = Attendance(
        comes_back=period.shift_id is not None,
        early=early,
        needs_check_in=period.needs_check_in,
        checked_in_at=period.checked_in_at,
        checked_out_at=period.checked_out_at,
        max_uses=period.max_uses,
        uses=len(made),
        last_use_at=max(made, default=None),
    )
    place = door.place(at)
    stretches = None if period.shift_id is None else door.stretches(period.shift_id, at)
    facts = Facts(CredentialType.PIN, place.zone, Channel.State.NORMAL, None, holidays=place.holidays)
    return why_not(Grant(stretches, attendance=attendance), at, facts) is Reason.NONE


def entitled(rights: Rights) -> Q:
    """A condition for people who may have had a right there; who is none of them could not."""
    door, role_ids = rights.door, list(rights.roles)
    here = overlapping(door.begin, door.end)
    groups = GroupRole.objects.filter(here, role_id__in=role_ids).values("group_id")
    visits: Any = ReservationPeriod.objects.filter(
        overlapping(door.begin, door.end),
        end_time__gt=door.begin,
        start_time__lt=door.end + timedelta(days=1),
        reservation__reservationchannels__channel=door.channel,
    )
    return (
        Q(pk__in=PersonRole.objects.filter(here, role_id__in=role_ids).values("person_id"))
        | Q(pk__in=GroupMembership.objects.filter(here, group_id__in=groups).values("person_id"))
        | Q(pk__in=visits.values("reservation__person_id"))
    )


def names_of(rows: Iterable[Through]) -> dict[str, dict[int | None, str]]:
    """What the report calls access levels, groups and hours, in one query each."""
    rows = list(rows)
    wanted = {"roles": {row.role_id for row in rows}, "groups": {row.group_id for row in rows}}
    wanted["shifts"] = {row.shift_id for row in rows}
    models: dict[str, type[Role | Group | Shift]] = {"roles": Role, "groups": Group, "shifts": Shift}
    found: dict[str, dict[int | None, str]] = {}
    for name, model in models.items():
        ids = [pk for pk in wanted[name] if pk is not None]
        found[name] = dict(model._default_manager.filter(pk__in=ids).values_list("pk", "name"))
    return found
