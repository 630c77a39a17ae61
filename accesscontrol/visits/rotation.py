"""A PIN is replaced ahead of time: its successor is issued and sent, both work for a while, then the old one dies.

A period (days) stands on a credential, a channel or a role; the shortest counts for whoever has a right there.
`rotate_at` says when a tick must look. The end of the old PIN is a time on its row: the door needs no tick for it.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from accesscontrol.credentials.models import Credential, CredentialState, CredentialType
from accesscontrol.doors.models import ROTATION_CHANGED, Channel, Role, RoleChannel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import GroupMembership, GroupRole, Person, PersonRole
from accesscontrol.reservations.models import ReservationChannel
from accesscontrol.visits import issuing, messages
from accesscontrol.visits.messages.addresses import MEDIA
from accounts import audit
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery

BATCH = 50
_DAY = timedelta(days=1)


class NotRotatable(Refusal):
    code = "not_rotatable"
    field = "id"
    text = "Only a PIN that works can be rotated: this one is disabled or has expired."


class RotatedAlready(Refusal):
    code = "already_rotated"
    status = 409
    field = "id"
    text = "This PIN was rotated already: its person has a new one."


@transaction.atomic
def rotate(credential: Credential, *, by: audit.Actor, now: datetime) -> issuing.Issued:
    """Issue and send the successor of a PIN, which dies when the overlap is over; refuses a second time."""
    old = Credential.objects.select_for_update(of=("self",)).select_related("person").get(pk=credential.pk)
    if old.type != CredentialType.PIN:
        raise NotRotatable("Only PINs are rotated: a card keeps its number.")
    if old.ends_at is not None:
        raise RotatedAlready
    if not (old.is_live() and old.enabled and old.expired_at is None):
        raise NotRotatable
    period = _shortest(old, periods_of([old.person_id], now))
    ends_at = now + overlap_of(period, _overlap_days())
    # Before the successor exists: a person has one live PIN, those that end not counted.
    _revise(old, ends_at=ends_at, rotate_at=ends_at, updated_at=now)
    successor, value = issuing.draw(old.person, enabled=True, by=by, now=now)
    _revise(successor, rotate_after_days=old.rotate_after_days, due_at=now, rotate_at=now)
    _revise(old, replaced_by_id=successor.pk)
    audit.record("rotate", "credential", old.pk, by=by, now=now)
    delivery = _send(old, successor, ends_at, by=by, now=now)
    successor.refresh_from_db()
    return issuing.Issued(successor, value, [], delivery)


def overlap_of(period: int | None, overlap_days: int) -> timedelta:
    """How long old and new both work: the tenant's setting, at most half of the period, so that no PIN is born due."""
    overlap = timedelta(days=overlap_days)
    return overlap if period is None else min(overlap, timedelta(days=period) / 2)


def _overlap_days() -> int:
    return Tenant.objects.get(pk=current_tenant_id()).rotation_overlap_days


def _revise(credential: Credential, **values: object) -> None:
    for name, value in values.items():
        setattr(credential, name, value)
    Credential.objects.filter(pk=credential.pk).update(**values)


def _send(
    old: Credential, successor: Credential, ends_at: datetime, *, by: audit.Actor, now: datetime
) -> Delivery | None:
    """Send the new PIN to the best address; where there is none, the audit says that it was not delivered."""
    # Whoever has not been told the old PIN yet is told the new one in its place.
    media = sorted(messages.withdraw("credential", [old.pk], now=now))
    earlier_ends = None if media else ends_at
    delivery = None
    for medium in media or _best_medium(old.person):
        delivery = messages.send_pin(old.person, successor, medium, by=by, now=now, earlier_ends=earlier_ends)
    if delivery is None:
        audit.record("not_delivered", "credential", successor.pk, by=by, now=now)
    return delivery


def _best_medium(person: Person) -> list[str]:
    """E-mail, else a text message where a gateway is set, else nothing."""
    for medium in MEDIA:
        try:
            queueing.refuse_unreachable(medium, messages.address_of(person, medium))
        except Refusal:
            continue
        return [medium]
    return []


@transaction.atomic
def set_period(credential: Credential, days: int | None, *, by: audit.Actor, now: datetime) -> None:
    """Rotate this credential after so many days, or (None) only as its doors and roles ask."""
    if credential.type != CredentialType.PIN and days is not None:
        raise NotRotatable("Only PINs are rotated: a card keeps its number.", field="rotate_after_days")
    if credential.rotate_after_days == days:
        return
    _revise(credential, rotate_after_days=days, rotate_at=now, updated_at=now)
    audit.record("change", "credential", credential.pk, by=by, now=now, fields=["rotate_after_days"])


def periods_of(person_ids: Iterable[int], now: datetime) -> dict[int, int]:
    """The shortest period (days) of the roles and channels where each person has a right now or will have one."""
    ids = list(person_ids)
    roles_of: dict[int, set[int]] = defaultdict(set)
    for person_id, role_id in PersonRole.objects.filter(OPEN, person_id__in=ids).values_list("person_id", "role_id"):
        roles_of[person_id].add(role_id)
    groups = list(GroupMembership.objects.filter(OPEN, person_id__in=ids).values_list("person_id", "group_id"))
    roles_of_group: dict[int, set[int]] = defaultdict(set)
    of_groups = GroupRole.objects.filter(OPEN, group_id__in={group_id for _, group_id in groups})
    for group_id, role_id in of_groups.values_list("group_id", "role_id"):
        roles_of_group[group_id].add(role_id)
    for person_id, group_id in groups:
        roles_of[person_id] |= roles_of_group[group_id]
    of_role = _periods_of_roles(set().union(*roles_of.values()))
    coming = ReservationChannel.objects.filter(
        OPEN,
        reservation__person_id__in=ids,
        reservation__cancelled_at=None,
        reservation__end_time__gt=now,
        channel__rotate_after_days__isnull=False,
    )
    found: dict[int, set[int]] = defaultdict(set)
    for person_id, days in coming.values_list("reservation__person_id", "channel__rotate_after_days"):
        if days is not None:
            found[person_id].add(days)
    for person_id, roles in roles_of.items():
        found[person_id] |= {of_role[role_id] for role_id in roles if role_id in of_role}
    return {person_id: min(days) for person_id, days in found.items() if days}


def _periods_of_roles(role_ids: set[int]) -> dict[int, int]:
    own = Role.objects.filter(pk__in=role_ids, rotate_after_days__isnull=False)
    doors = RoleChannel.objects.filter(OPEN, role_id__in=role_ids, channel__rotate_after_days__isnull=False)
    found: dict[int, int] = {}
    of_doors = doors.values_list("role_id", "channel__rotate_after_days")
    for role_id, days in [*own.values_list("pk", "rotate_after_days"), *of_doors]:
        if days is not None:
            found[role_id] = min(days, found.get(role_id, days))
    return found


def _shortest(credential: Credential, periods: dict[int, int]) -> int | None:
    own, others = credential.rotate_after_days, periods.get(credential.person_id)
    return min((days for days in (own, others) if days is not None), default=None)


def tenants_with_due(now: datetime) -> list[int]:
    """The tenants in which a tick has something to look at; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_due_rotations(%s)", [now])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def rotate_due(now: datetime) -> int:
    """Look at up to 50 due credentials of the current tenant; returns how many were looked at."""
    _carry_changed_periods(now)
    due = list(
        _live()
        .filter(rotate_at__lte=now)
        .select_related("person")
        .order_by("rotate_at")
        .select_for_update(of=("self",), skip_locked=True)[:BATCH]
    )
    if not due:
        return 0
    periods, overlap_days = periods_of({credential.person_id for credential in due}, now), _overlap_days()
    for credential in due:
        if credential.ends_at is None:
            _look(credential, _shortest(credential, periods), overlap_days, now)
        elif credential.is_over(now):
            _bury(credential, now)
        else:
            _revise(credential, rotate_at=credential.ends_at)
    return len(due)


def _look(credential: Credential, period: int | None, overlap_days: int, now: datetime) -> None:
    if (
        period is None
        or credential.type != CredentialType.PIN
        or not credential.enabled
        or credential.expired_at is not None
    ):
        # Enabling, reviving, a new right or another period has the tick look again.
        _revise(credential, rotate_at=None)
        return
    due_at = credential.created_at + timedelta(days=period) - overlap_of(period, overlap_days)
    if due_at > now:
        _revise(credential, rotate_at=due_at)
    elif credential.due_at is not None and credential.due_at <= now:
        # Whether it still has a right at all is for the tick of expiry to find out first.
        _revise(credential, rotate_at=now + timedelta(minutes=1))
    elif not credential.person.is_active(now):
        _revise(credential, rotate_at=now + _DAY)
    else:
        _rotate_or_postpone(credential, now)


def _rotate_or_postpone(credential: Credential, now: datetime) -> None:
    """One PIN that cannot be replaced (none is free, no length fits) must not hold up the others."""
    try:
        rotate(credential, by=audit.SYSTEM, now=now)
    except Refusal as refusal:
        _revise(credential, rotate_at=now + _DAY)
        audit.record("postpone", "credential", credential.pk, by=audit.SYSTEM, now=now, fields=[refusal.code])


def _bury(credential: Credential, now: datetime) -> None:
    # The record says when it stopped to open doors, not when a tick came by.
    CredentialState.objects.filter(OPEN, credential=credential).update(ended_at=credential.ends_at)
    issuing.revoke(credential, by=audit.SYSTEM, now=now)


def _live() -> QuerySet[Credential]:
    return Credential.objects.filter(revoked_at=None, erased_at=None)


def _carry_changed_periods(now: datetime) -> None:
    """Have the tick look at the PINs of everybody with a right where a period or a role's doors have changed."""
    # What somebody else holds now is there for the next tick.
    channels = list(Channel.objects.filter(ROTATION_CHANGED).select_for_update(skip_locked=True))
    roles = list(Role.objects.filter(ROTATION_CHANGED).select_for_update(skip_locked=True))
    if not channels and not roles:
        return
    at_doors = RoleChannel.objects.filter(OPEN, channel__in=channels).values_list("role_id", flat=True)
    role_ids = {role.pk for role in roles} | set(at_doors)
    of_groups = GroupRole.objects.filter(OPEN, role_id__in=role_ids)
    coming = ReservationChannel.objects.filter(
        OPEN, channel__in=channels, reservation__cancelled_at=None, reservation__end_time__gt=now
    )
    _live().filter(
        Q(person_id__in=PersonRole.objects.filter(OPEN, role_id__in=role_ids).values("person_id"))
        | Q(
            person_id__in=GroupMembership.objects.filter(OPEN, group_id__in=of_groups.values("group_id")).values(
                "person_id"
            )
        )
        | Q(person_id__in=coming.values("reservation__person_id")),
        type=CredentialType.PIN,
        ends_at=None,
    ).update(rotate_at=now)
    for channel in channels:
        Channel.objects.filter(pk=channel.pk).update(rotation_applied_days=channel.rotate_after_days or 0)
    for role in roles:
        Role.objects.filter(pk=role.pk).update(rotation_applied_days=role.rotate_after_days or 0)
