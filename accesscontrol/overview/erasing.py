"""A person is erased: what happened stays, and says no longer who it was.

The row itself stays as a number, because events, visits and the audit refer to it. Everything that names the person,
reaches them or holds their PIN goes, also where it waits to be sent or is kept to be answered again. Whoever adds a
table or a text about a person says here what becomes of it; tests/test_erasing.py looks into every table.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import CharField, Exists, OuterRef, Q, TextField

from accesscontrol.access.models import Alarm, ChannelCommand
from accesscontrol.overview import mentions
from accesscontrol.people.models import Person, PersonWord
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits import leaving
from accesscontrol.visits.importing import files
from accesscontrol.visits.models import BatchItem, RevealLink
from accesscontrol.webhooks.models import Try
from accounts import audit
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery

# What is kept of a person: when their rights held, and that they were.
_KEPT = {"kind"}
_WRITTEN = {
    field.name: ""
    for field in Person._meta.concrete_fields
    if isinstance(field, CharField | TextField) and field.name not in _KEPT
} | {"birthday": None}

# Answers to requests of the last day: by whom they are about, at any depth, and by how they name or reach them.
_ANSWERS = """
    UPDATE accounts_idempotentanswer SET body = NULL, is_erased = true
    WHERE tenant_id = %(tenant)s AND body IS NOT NULL AND (
        jsonb_path_exists(
            body, '$.** ? (@.person_id == $ids[*] || (@.id == $ids[*] && exists (@.first_name)))', %(ids)s)
        OR EXISTS (SELECT FROM unnest(%(texts)s::text[]) AS t WHERE strpos(body::text, t) > 0))
"""


@transaction.atomic
def erase(person: Person, *, by: audit.Actor, now: datetime) -> None:
    """Erase a person for good; one who is not deleted yet leaves first. A second time changes nothing."""
    person = Person.objects.select_for_update(of=("self",)).get(pk=person.pk)
    if person.erased_at is not None:
        return
    leaving.delete_person(person, by=by, now=now)
    forget([person], by=by, now=now)


@transaction.atomic
def forget(people: Iterable[Person], *, by: audit.Actor, now: datetime) -> None:
    """Take the names and addresses of people who were deleted out of everything, in a few statements."""
    people = list(people)
    ids = [person.pk for person in people]
    names = {name for person in people if len(name := person.name) > 1}
    mentions.cut_in_their_own(people, now=now)
    mentions.cut_everywhere(people, now=now)
    PersonWord.objects.filter(person_id__in=ids).delete()
    _forget_messages(ids, now)
    _forget_visits(ids, names)
    _forget_doors(ids)
    _forget_answers(people)
    files.forget_people(ids)
    BatchItem.objects.filter(person_id__in=ids).exclude(reason="").update(reason="")
    Person.objects.filter(pk__in=ids).update(**_WRITTEN, erased_at=now, retention_at=None, updated_at=now)
    audit.record_many("erase", "person", ids, by=by, now=now)


def _forget_messages(ids: list[int], now: datetime) -> None:
    """That messages were sent stays; to whom, and what they said, does not."""
    queueing.forget("person", ids, now=now)
    RevealLink.objects.filter(credential__person_id__in=ids).delete()
    # Whoever is to be told of an alarm still is; what could not be sent is not kept for another try.
    alarms = list(Alarm.objects.filter(person_id__in=ids).values_list("pk", flat=True))
    Delivery.objects.about("alarm", alarms).filter(state=Delivery.State.FAILED).update(content=None)


def _forget_visits(ids: list[int], names: set[str]) -> None:
    visits = Reservation.objects.filter(person_id__in=ids)
    groups = list(visits.exclude(group=None).values_list("group_id", flat=True).distinct())
    visits.update(purpose="", company="", external_id="")
    # Others came to see them.
    Reservation.objects.filter(host_name__in=names).update(host_name="")
    still = Reservation.objects.filter(group=OuterRef("pk"), person__erased_at=None).exclude(person_id__in=ids)
    alone = GroupVisit.objects.filter(Q(pk__in=groups) & ~Exists(still) | Q(shared_person_id__in=ids))
    alone.update(name="-", form_token="")


def _forget_doors(ids: list[int]) -> None:
    """What somebody wrote beside a deed about these people, and what a webhook's receiver answered about them."""
    Alarm.objects.filter(person_id__in=ids).exclude(acknowledged_reason="").update(acknowledged_reason="-")
    ChannelCommand.objects.filter(person_id__in=ids).exclude(reason="").update(reason="")
    told = [f"person:{number}" for number in ids]
    for kind, rows in (
        ("alarm", Alarm.objects.filter(person_id__in=ids)),
        ("delivery", Delivery.objects.about("person", ids)),
    ):
        told += [f"{kind}:{number}" for number in rows.values_list("pk", flat=True)]
    Try.objects.filter(dispatch__subject__in=told).exclude(answer="").update(answer="")


def _forget_answers(people: list[Person]) -> None:
    """A request that is repeated is not done again, but what it was answered is gone."""
    texts = [text for person in people for text in (person.email, person.mobile) if text]
    texts += [person.name for person in people if person.first_name and person.last_name]
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "ids": json.dumps({"ids": [person.pk for person in people]}),
        "texts": texts,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERS, values)
