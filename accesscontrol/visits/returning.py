"""Visitors who were here before, found while somebody types."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people import finding
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts import naming

# So many are looked at; whoever means one of more types on.
_LOOKED_AT = 40


@dataclass(frozen=True)
class Returning:
    """Somebody known, when they came last and to whom, and whether they hold a PIN."""

    person: Person
    last_visit_at: datetime | None
    host_name: str
    has_pin: bool


def suggestions(
    text: str, *, now: datetime, limit: int = 8, site_ids: Collection[int] | None = None
) -> list[Returning]:
    """Who may be meant, the latest visitors first; `site_ids` leaves out people of other sites."""
    people = finding.first(text, _LOOKED_AT, site_ids=site_ids)
    ids = [person.pk for person in people]
    visits = Reservation.objects.filter(person__in=ids, start_time__lte=now).select_related("host__user")
    last = {
        visit.person_id: visit for visit in visits.order_by("person_id", "-start_time", "-id").distinct("person_id")
    }
    holding = set(
        Credential.objects.filter(
            person__in=ids, type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None
        ).values_list("person_id", flat=True)
    )
    found = [
        Returning(
            person,
            last[person.pk].start_time if person.pk in last else None,
            last[person.pk].hosted_by if person.pk in last else "",
            person.pk in holding,
        )
        for person in people
    ]
    found.sort(key=lambda one: (one.last_visit_at is None, -(one.last_visit_at or now).timestamp(), one.person.name))
    return found[:limit]


@dataclass(frozen=True)
class Overlap:
    """A visit in the same time, and who issued it."""

    reservation: Reservation
    issued_by: str


def overlapping(person: Person, start_time: datetime, end_time: datetime) -> list[Overlap]:
    """A few visits of this person that share an instant with `[start_time, end_time)`, by their start."""
    visits = list(
        Reservation.objects.filter(
            person=person, cancelled_at=None, start_time__lt=end_time, end_time__gt=start_time
        ).order_by("start_time", "pk")[:5]
    )
    names = naming.names_of(visit.created_by for visit in visits)
    return [Overlap(visit, names.get(visit.created_by, "")) for visit in visits]
