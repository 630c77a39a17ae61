"""What is to be said of visits becomes messages in the queue: of many in as many statements as of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils import translation

from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.credentials.models import Credential
from accesscontrol.doors import holidays
from accesscontrol.doors.hours import Holiday, Stretch
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits.messages import calendar, links, wording
from accesscontrol.visits.messages.addresses import address_of, language_of
from accounts import audit
from accounts.keys import random_token
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.deliveries.queueing import Message


@dataclass(frozen=True)
class Draft:
    """A message about one visit, with the PIN where it is to be told; `says` is what else its template is given."""

    reservation: Reservation
    medium: str
    credential: Credential | None = None
    template: str = "visit"
    says: Mapping[str, Any] = field(default_factory=lambda: {"is_changed": False})


def send(written: Sequence[Draft], *, by: audit.Actor, now: datetime) -> list[Delivery]:
    """Queue these messages."""
    if not written:
        return []
    tenant = Tenant.objects.get(pk=current_tenant_id())
    reservations = list({draft.reservation.pk: draft.reservation for draft in written}.values())
    prefetch_related_objects(reservations, "person", "host__user")
    doors, stretches = wording.doors_of_many(reservations), wording.stretches_of_many(reservations)
    sites = {door.site_id for visit in reservations if stretches[visit.pk] is not None for door in doors[visit.pk]}
    closed = holidays.of_sites(sites) if sites else {}
    letters = []
    for draft in written:
        visit = draft.reservation
        language = language_of(visit.person, tenant)
        context = letterhead(tenant, visit.person) | dict(draft.says)
        context |= _visit(visit, doors[visit.pk], stretches[visit.pk], closed, tenant, language, now)
        letters.append(_Letter(visit.person, draft.credential, visit, draft.medium, draft.template, language, context))
    return _queue(letters, tenant, by=by, now=now)


def send_pin(
    person: Person,
    credential: Credential,
    medium: str,
    language: str,
    context: Mapping[str, Any],
    tenant: Tenant,
    *,
    by: audit.Actor,
    now: datetime,
) -> Delivery:
    """Queue a message about a PIN alone."""
    letter = _Letter(person, credential, None, medium, "pin", language, dict(context))
    [delivery] = _queue([letter], tenant, by=by, now=now)
    return delivery


def letterhead(tenant: Tenant, person: Person) -> dict[str, Any]:
    """What every message has."""
    return {"tenant_name": tenant.name, "colour": tenant.colour, "person_name": person.name}


def _visit(
    reservation: Reservation,
    doors: list[Channel],
    stretches: list[Stretch] | None,
    closed: Mapping[int, tuple[Holiday, ...]],
    tenant: Tenant,
    language: str,
    now: datetime,
) -> dict[str, Any]:
    with translation.override(language):
        words = wording.visit_in_words(reservation, doors, stretches)
        zone = doors[0].site.zone if doors else tenant.zone
        words |= {"host_name": reservation.hosted_by, "needs_check_in": reservation.needs_check_in}
        of_sites = [closed[site_id] for site_id in dict.fromkeys(door.site_id for door in doors) if site_id in closed]
        hours: dict[str, Any] = {"zone": zone, "stretches": stretches, "holidays": of_sites}
        entry = calendar.entry_of(reservation, tenant=tenant, words=words, now=now, **hours)
    return words | {"calendar": entry}


@dataclass(frozen=True, repr=False)
class _Letter:
    person: Person
    credential: Credential | None
    reservation: Reservation | None
    medium: str
    template: str
    language: str
    context: dict[str, Any]


def _queue(letters: Sequence[_Letter], tenant: Tenant, *, by: audit.Actor, now: datetime) -> list[Delivery]:
    tokens: list[str] = []
    messages = []
    for letter in letters:
        about, shown, token = [("person", letter.person.pk)], letter.context, ""
        if letter.credential:
            about.append(("credential", letter.credential.pk))
            if tenant.sends_reveal_links:
                token = random_token()
                shown = shown | {"link": links.address_of(token)}
            else:
                shown = shown | {"pin": value_of(letter.credential)}
        if letter.reservation:
            about.append(("reservation", letter.reservation.pk))
        address = address_of(letter.person, letter.medium)
        messages.append(Message(letter.medium, address, letter.template, letter.language, shown, tuple(about)))
        tokens.append(token)
    told = [letter.credential.pk for letter in letters if letter.credential]
    if told:
        audit.record_many("deliver", "credential", told, by=by, now=now)
    deliveries = queueing.queue_many(messages, now=now)
    links.keep_many(
        [
            (token, delivery, letter.credential, letter.reservation)
            for token, delivery, letter in zip(tokens, deliveries, letters, strict=True)
            if token and letter.credential
        ],
        now=now,
    )
    return deliveries
