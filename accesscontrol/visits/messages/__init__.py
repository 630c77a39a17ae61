"""What a person is sent: the PIN or a link to it, which doors it opens when, and what has changed.

A message is queued in the transaction of the change it tells of; what has not left when a right is moved,
cancelled or revoked does not leave. Whoever was told of a visit is told when it is moved or ends.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils import translation

from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits.messages import calendar, links, wording
from accesscontrol.visits.messages.states import MessageState, latest_states, state_of, states_of
from accounts import audit
from accounts.keys import random_token
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.deliveries.rendering import known_language

__all__ = ["MessageState", "latest_states", "state_of", "states_of"]

MEDIA = ("email", "sms")
# A message that tells of a visit, so that its changes are told too.
OF_VISITS = ("visit", "visit_ended")


class NoAddress(Refusal):
    code = "no_address"
    field = "deliver"
    text = "This person has no e-mail address."


class UnknownMedium(Refusal):
    code = "invalid"
    field = "deliver"
    text = "Write “email” or “sms”, or leave it out."


def address_of(person: Person, medium: str) -> str:
    """Where a message of this medium goes; refuses where the person has no such address."""
    if medium not in MEDIA:
        raise UnknownMedium
    address = person.email if medium == "email" else person.mobile
    if not address:
        raise NoAddress(None if medium == "email" else "This person has no mobile number.")
    return address


def is_reachable(person: Person, medium: str) -> bool:
    """Whether the person has an address of this medium."""
    return bool(person.email if medium == "email" else person.mobile)


def language_of(person: Person, tenant: Tenant) -> str:
    """The language that somebody is written to in: one of the product's, whatever an integration has written."""
    return known_language(person.language or tenant.language)


def send_pin(
    person: Person,
    credential: Credential,
    medium: str,
    *,
    by: audit.Actor,
    now: datetime,
    earlier_ends: datetime | None = None,
) -> Delivery:
    """Send a PIN: with the coming visit where there is one, otherwise saying that details follow.

    `earlier_ends` is when the PIN that this one replaces dies: then nothing else is told than that.
    """
    coming = None
    if earlier_ends is None:
        live = Reservation.objects.filter(person=person, cancelled_at=None, end_time__gt=now)
        coming = live.order_by("start_time").first()
    if coming is not None:
        return _send_visit(coming, credential, medium, by=by, now=now)
    tenant = Tenant.objects.get(pk=current_tenant_id())
    language, context = language_of(person, tenant), _letterhead(tenant, person)
    if earlier_ends is not None:
        with translation.override(language):
            context["earlier_ends"] = wording.in_words(earlier_ends, tenant.zone)
    return _queue(person, credential, None, medium, "pin", language, context, tenant, by=by, now=now)


def send_reservation(reservation: Reservation, medium: str, *, by: audit.Actor, now: datetime) -> Delivery:
    """Send door, place, times and the person's PIN in one message."""
    return _send_visit(reservation, _pin_of(reservation), medium, by=by, now=now)


def tell_change(
    reservation: Reservation, *, by: audit.Actor, now: datetime, deliver: str | None = None
) -> list[Delivery]:
    """After a visit was moved, extended or given other doors: replace what waits, correct what was sent.

    Nothing is sent where nothing ever was, unless `deliver` names a medium.
    """
    sent = _media_sent(reservation)
    waiting = withdraw("reservation", [reservation.pk], now=now)
    credential = _pin_of(reservation)
    _next_calendar_entry(reservation)
    return [
        _send_visit(reservation, credential, medium, is_changed=medium in sent, by=by, now=now)
        for medium in _reachable(reservation, sent | ({deliver} if deliver else waiting), must=deliver)
    ]


def tell_end(reservation: Reservation, *, by: audit.Actor, now: datetime) -> list[Delivery]:
    """After a visit was cancelled or ended now: take back what waits, and tell whoever had been told of it.

    A visit that was over already ends silently.
    """
    sent = _media_sent(reservation)
    withdraw("reservation", [reservation.pk], now=now)
    if not sent or reservation.end_time < now:
        return []
    tenant, person = Tenant.objects.get(pk=current_tenant_id()), reservation.person
    language = language_of(person, tenant)
    _next_calendar_entry(reservation)
    context = _letterhead(tenant, person) | _visit(reservation, tenant, language, now)
    context["is_cancelled"] = reservation.cancelled_at is not None
    return [
        _queue(person, None, reservation, medium, "visit_ended", language, context, tenant, by=by, now=now)
        for medium in _reachable(reservation, sent)
    ]


def send_host_arrival(
    reservation: Reservation,
    address: str,
    medium: str,
    language: str,
    *,
    by: audit.Actor,
    now: datetime,
    checked_in: bool,
) -> Delivery:
    """Tell a host that their visitor has checked in, or was let in at a door; no PIN is in it."""
    tenant, person = Tenant.objects.get(pk=current_tenant_id()), reservation.person
    language = language or tenant.language
    doors = wording.doors_of(reservation)
    with translation.override(language):
        context = {
            "tenant_name": tenant.name,
            "colour": tenant.colour,
            "visitor_name": person.name,
            "company": reservation.company,
            "site_name": next((door.site.name for door in doors), ""),
            "is_checked_in": checked_in,
            "arrived": wording.in_words(reservation.arrived_at or now, doors[0].site.zone if doors else tenant.zone),
        }
    # Not about the reservation: a visit that moves takes no such message back.
    about = [("arrival", reservation.pk), ("person", person.pk)]
    audit.record("tell", "reservation", reservation.pk, by=by, now=now, fields=["host"])
    return queueing.queue(
        medium=medium,
        address=address,
        template="host_arrival",
        language=language,
        context=context,
        about=about,
        is_urgent=True,
        now=now,
    )


def withdraw(kind: str, ids: Iterable[int], *, now: datetime) -> set[str]:
    """Cancel what has not left yet about these; returns the media that would have carried it."""
    ids = list(ids)
    media = set(Delivery.objects.about(kind, ids).unsent().values_list("medium", flat=True))
    if media:
        queueing.cancel(kind, ids, now=now)
    return media


def _media_sent(reservation: Reservation) -> set[str]:
    """How the visitor was told of the visit, and not yet that it is over."""
    told = Delivery.objects.about("reservation", [reservation.pk]).filter(
        template__in=OF_VISITS, state=Delivery.State.SENT
    )
    latest = dict(told.order_by("sent_at", "id").values_list("medium", "template"))
    return {medium for medium, template in latest.items() if template == "visit"}


def _reachable(reservation: Reservation, media: set[str], *, must: str | None = None) -> list[str]:
    """Those of the media that still lead somewhere: a change must not fail for an address that is gone."""
    found = []
    for medium in sorted(media):
        try:
            queueing.refuse_unreachable(medium, address_of(reservation.person, medium))
        except Refusal:
            if medium == must:
                raise
        else:
            found.append(medium)
    return found


def _pin_of(reservation: Reservation) -> Credential | None:
    # The PIN that a group shares is held for all of them by one person of its own.
    shared = reservation.group.shared_person_id if reservation.group is not None else None
    return Credential.objects.filter(
        person_id=shared or reservation.person_id,
        type=CredentialType.PIN,
        revoked_at=None,
        erased_at=None,
        ends_at=None,
        enabled=True,
    ).first()


def _next_calendar_entry(reservation: Reservation) -> None:
    """What calendars hold is replaced only by a higher number."""
    Reservation.objects.filter(pk=reservation.pk).update(calendar_sequence=F("calendar_sequence") + 1)
    reservation.refresh_from_db(fields=["calendar_sequence"])


def _send_visit(
    reservation: Reservation,
    credential: Credential | None,
    medium: str,
    *,
    by: audit.Actor,
    now: datetime,
    is_changed: bool = False,
) -> Delivery:
    tenant, person = Tenant.objects.get(pk=current_tenant_id()), reservation.person
    language = language_of(person, tenant)
    context = _letterhead(tenant, person) | _visit(reservation, tenant, language, now)
    context["is_changed"] = is_changed
    return _queue(person, credential, reservation, medium, "visit", language, context, tenant, by=by, now=now)


def _letterhead(tenant: Tenant, person: Person) -> dict[str, Any]:
    return {"tenant_name": tenant.name, "colour": tenant.colour, "person_name": person.name}


def _visit(reservation: Reservation, tenant: Tenant, language: str, now: datetime) -> dict[str, Any]:
    doors, stretches = wording.doors_of(reservation), wording.stretches_of(reservation)
    with translation.override(language):
        words = wording.visit_in_words(reservation, doors, stretches)
        zone = doors[0].site.zone if doors else tenant.zone
        words |= {"host_name": reservation.hosted_by, "needs_check_in": reservation.needs_check_in}
        entry = calendar.entry_of(reservation, tenant=tenant, zone=zone, stretches=stretches, words=words, now=now)
    return words | {"calendar": entry}


def _queue(
    person: Person,
    credential: Credential | None,
    reservation: Reservation | None,
    medium: str,
    template: str,
    language: str,
    context: Mapping[str, Any],
    tenant: Tenant,
    *,
    by: audit.Actor,
    now: datetime,
) -> Delivery:
    about, token, shown = [("person", person.pk)], None, dict(context)
    if credential:
        about.append(("credential", credential.pk))
        audit.record("deliver", "credential", credential.pk, by=by, now=now)
        if tenant.sends_reveal_links:
            token = random_token()
            shown["link"] = links.address_of(token)
        else:
            shown["pin"] = value_of(credential)
    if reservation:
        about.append(("reservation", reservation.pk))
    delivery = queueing.queue(
        medium=medium,
        address=address_of(person, medium),
        template=template,
        language=language,
        context=shown,
        about=about,
        now=now,
    )
    if token and credential:
        links.keep(token, delivery, credential, reservation, now=now)
    return delivery
