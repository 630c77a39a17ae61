"""A person leaves: in one transaction nothing opens for them any more and nothing is sent to them."""

from datetime import datetime

from django.db import transaction

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential
from accesscontrol.people import records
from accesscontrol.people.models import Person
from accesscontrol.reservations import reserving
from accesscontrol.reservations.models import GroupReservation, Reservation
from accesscontrol.visits import group_reserving, messages
from accounts import audit


@transaction.atomic
def delete_person(person: Person, *, by: audit.Actor, now: datetime) -> None:
    """Delete a person: credentials revoked, coming reservations cancelled, groups left, unsent messages cancelled."""
    person = Person.objects.select_for_update(of=("self",)).get(pk=person.pk)
    if person.deleted_at is not None:
        return
    lifecycle.revoke(Credential.objects.filter(person=person), by=by, now=now)
    coming = Reservation.objects.filter(person=person, cancelled_at=None, end_time__gt=now)
    reserving.cancel(coming, by=by, now=now)
    group_reserving.end(GroupReservation.objects.filter(person=person), by=by, now=now)
    messages.withdraw("person", [person.pk], now=now)
    records.delete(person, by=by, now=now)
