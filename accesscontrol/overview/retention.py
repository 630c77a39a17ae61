"""People who have had no right to any door for as long as the tenant says are erased; deleted ones after 30 days.

Everybody carries the instant at which a tick looks at them again (`retention_at`). Whoever has a right then is looked
at again after the whole time, so that nobody need tell of a right that ends, and a tick asks for due rows alone.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Least

from accesscontrol.doors.periods import OPEN
from accesscontrol.overview import erasing
from accesscontrol.people.models import GroupMembership, Person, PersonRole
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import leaving
from accounts import audit, rounds
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id

BATCH: Final = 200
# Long enough to find out what a mistaken deletion took away, and no longer.
DELETED_ARE_KEPT: Final = timedelta(days=30)


def tenants_with_due(now: datetime) -> list[int]:
    """The tenants in which somebody is to be looked at; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_people_due(%s)", [now])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def erase_due(now: datetime, failed: set[int] | None = None) -> int:
    """Look at up to 200 due people of the current tenant and erase whose time is over; returns how many were seen.

    Whoever cannot be erased stands in `failed` afterwards, is passed over while they do, and stays due.
    """
    failed = set() if failed is None else failed
    tenant = Tenant.objects.get(pk=current_tenant_id())
    _follow_setting(tenant, now)
    keep = timedelta(days=tenant.erase_people_after_days) if tenant.erase_people_after_days else None
    due = list(
        _with_rights(Person.objects.filter(retention_at__lte=now).exclude(pk__in=failed))
        .order_by("retention_at")
        .select_for_update(of=("self",), skip_locked=True)[:BATCH]
    )
    over: list[Person] = []
    later: list[Person] = []
    for person in due:
        person.retention_at = _over_at(person, keep, now)
        (over if person.retention_at is not None and person.retention_at <= now else later).append(person)
    Person.objects.bulk_update(later, ["retention_at"])
    if over:
        _erase(over, failed, now)
    return len(due)


def _erase(people: list[Person], failed: set[int], now: datetime) -> None:
    """All in a few statements; where that fails, each alone, so that one keeps nobody else from being erased."""
    try:
        with transaction.atomic():
            for person in people:
                leaving.delete_person(person, by=audit.SYSTEM, now=now)
            erasing.forget(people, by=audit.SYSTEM, now=now)
    except Exception as error:
        if isinstance(error, OperationalError):
            raise
        if len(people) > 1:
            for person in people:
                _erase([person], failed, now)
            return
        failed.add(people[0].pk)
        rounds.told(f"Could not erase person {people[0].pk}", error)


def over_after(keep: timedelta, now: datetime) -> int:
    """How many people of the current tenant would be erased at once if they were kept for so long."""
    before = now - keep
    quiet = Person.objects.filter(erased_at=None, deleted_at=None, created_at__lte=before, updated_at__lte=before)
    found = _with_rights(quiet)
    no_right = Q(has_right=False) & (Q(last_end=None) | Q(last_end__lte=before))
    return int(found.filter(no_right | Q(valid_to__lte=before)).count())


def _follow_setting(tenant: Tenant, now: datetime) -> None:
    """Another number of days: everybody is looked at anew."""
    if tenant.erase_people_after_days == tenant.retention_applied_days:
        return
    Person.objects.filter(erased_at=None).update(retention_at=now)
    Tenant.objects.filter(pk=tenant.pk).update(retention_applied_days=tenant.erase_people_after_days)


def _over_at(person: Any, keep: timedelta | None, now: datetime) -> datetime | None:
    """When this person is to be erased, or looked at again; None where nobody has to look."""
    if person.erased_at is not None:
        return None
    if person.deleted_at is not None:
        deleted: datetime = person.deleted_at
        return deleted + min(keep or DELETED_ARE_KEPT, DELETED_ARE_KEPT)
    if keep is None:
        return None
    # Rights of whoever is no longer valid open nothing.
    is_over = person.valid_to is not None and person.valid_to <= now
    if not is_over and (person.has_right or (person.last_end is not None and person.last_end > now)):
        return now + keep
    ends = [person.created_at, person.updated_at]
    ends += [moment for moment in (person.last_end, person.valid_to) if moment is not None and moment <= now]
    quiet_since: datetime = max(ends)
    return quiet_since + keep


def _with_rights(people: QuerySet[Person]) -> Any:
    """Adds `has_right` (a group or access level without an end) and `last_end` (when the last other right ends)."""
    person = OuterRef("pk")
    reserved = (
        Reservation.objects.filter(person_id=person)
        .annotate(ends=Least(F("end_time"), Coalesce(F("cancelled_at"), F("end_time"))))
        .order_by()
        .values("person_id")
        .annotate(last=Max("ends"))
        .values("last")
    )
    left = [
        rows.objects.filter(person_id=person)
        .order_by()
        .values("person_id")
        .annotate(last=Max("ended_at"))
        .values("last")
        for rows in (GroupMembership, PersonRole)
    ]
    return people.annotate(
        has_right=Q(Exists(PersonRole.objects.filter(OPEN, person_id=person)))
        | Q(Exists(GroupMembership.objects.filter(OPEN, person_id=person))),
        # GREATEST passes over what is null.
        last_end=Greatest(Subquery(reserved), *[Subquery(rows) for rows in left]),
    )
