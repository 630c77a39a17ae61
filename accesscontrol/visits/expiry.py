"""When a credential is over: its last right has ended. The clock at the door decides; this only tidies up.

A tick marks it expired within a minute, and forgets its value after some days without a current or coming right.
A new right before that revives it. One that never had a right stays. `due_at` says when a tick must look.
A changed right may bring another period of rotation, so that `rotate_at` is set with it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Least

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import GroupMembership, GroupRole, PersonRole
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import messages
from accounts import audit
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id

BATCH = 500


def look_at(person_ids: Iterable[int] | QuerySet[Any], moment: datetime) -> None:
    """Have the ticks look at the credentials of these people at this instant."""
    _live().filter(person_id__in=person_ids).update(due_at=moment, rotate_at=moment)


def revive(person_id: int, now: datetime) -> None:
    """There is a new right: what had expired works again; the tick finds out when that right ends."""
    revive_many([person_id], now)


def revive_many(person_ids: Iterable[int], now: datetime) -> None:
    """Likewise for these people."""
    live = _live().filter(person_id__in=list(person_ids))
    live.filter(expired_at__isnull=False).update(expired_at=None, updated_at=now)
    live.update(due_at=now, rotate_at=now)


def _live() -> QuerySet[Credential]:
    return Credential.objects.filter(revoked_at=None, erased_at=None)


def tenants_with_due(now: datetime) -> list[int]:
    """The tenants in which a tick has something to look at; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_due_credentials(%s)", [now])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def expire_due(now: datetime) -> int:
    """Look at up to 500 due credentials of the current tenant; returns how many were looked at."""
    keep = timedelta(days=Tenant.objects.get(pk=current_tenant_id()).erase_expired_after_days)
    due = list(
        _with_rights(_live().filter(due_at__lte=now))
        .order_by("due_at")
        .select_for_update(of=("self",), skip_locked=True)[:BATCH]
    )
    forget = []
    for credential in due:
        ends: datetime | None = None if credential.has_role else credential.last_end
        if ends is None:
            _revise(credential, expired_at=None, due_at=None)
        elif ends > now:
            _revise(credential, expired_at=None, due_at=ends)
        elif ends + keep <= now:
            forget.append(credential.pk)
        else:
            if credential.expired_at is None:
                messages.withdraw("credential", [credential.pk], now=now)
                audit.record("expire", "credential", credential.pk, by=audit.SYSTEM, now=now)
            _revise(credential, expired_at=credential.expired_at or now, due_at=ends + keep)
    if forget:
        messages.withdraw("credential", forget, now=now)
        lifecycle.erase(Credential.objects.filter(pk__in=forget), by=audit.SYSTEM, now=now)
    return len(due)


def _revise(credential: Credential, **values: datetime | None) -> None:
    Credential.objects.filter(pk=credential.pk).update(**values)


def _with_rights(credentials: QuerySet[Credential]) -> Any:
    """Adds `has_role` (a group or role right now) and `last_end` (when the last other right ends or ended)."""
    person = OuterRef("person_id")
    groups = GroupMembership.objects.filter(
        OPEN, Exists(GroupRole.objects.filter(OPEN, group_id=OuterRef("group_id"))), person_id=person
    )
    reserved = (
        Reservation.objects.filter(person_id=person)
        .annotate(ends=Least(F("end_time"), Coalesce(F("cancelled_at"), F("end_time"))))
        .filter(ends__gt=OuterRef("created_at"))
        .order_by()
        .values("person_id")
        .annotate(last=Max("ends"))
        .values("last")
    )
    left: list[Any] = [
        rows.objects.filter(person_id=person, ended_at__gt=OuterRef("created_at"))
        .order_by()
        .values("person_id")
        .annotate(last=Max("ended_at"))
        .values("last")
        for rows in (GroupMembership, PersonRole)
    ]
    left.append(
        GroupRole.objects.filter(
            Exists(
                GroupMembership.objects.filter(
                    OPEN, group_id=OuterRef("group_id"), person_id=OuterRef(OuterRef("person_id"))
                )
            ),
            ended_at__gt=OuterRef("created_at"),
        )
        .order_by()
        .values("tenant_id")
        .annotate(last=Max("ended_at"))
        .values("last")
    )
    return credentials.annotate(
        has_role=Q(Exists(PersonRole.objects.filter(OPEN, person_id=person))) | Q(Exists(groups)),
        # GREATEST passes over what is null.
        last_end=Greatest(Subquery(reserved), *[Subquery(rows) for rows in left]),
    )
