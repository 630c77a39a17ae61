"""What a person is sent: the PIN or a link to it, which doors it opens when, and what has changed.

A message is queued in the transaction of the change it tells of; what has not left when a right is moved,
cancelled or revoked does not leave. Whoever was told of a visit is told when it is moved or ends.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import F
from django.utils import translation

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits.messages import drafts, wording
from accesscontrol.visits.messages.addresses import NoAddress, UnknownMedium, address_of, is_reachable, language_of
from accesscontrol.visits.messages.drafts import Draft
from accesscontrol.visits.messages.states import MessageState, latest_states, state_of, states_of
from accounts import audit
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery, DeliverySubject

__all__ = [
    "MessageState",
    "NoAddress",
    "UnknownMedium",
    "address_of",
    "is_reachable",
    "language_of",
    "latest_states",
    "state_of",
    "states_of",
]

# A message that tells of a visit, so that its changes are told too.
OF_VISITS = ("visit", "visit_ended")


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
        [delivery] = drafts.send([Draft(coming, medium, credential)], by=by, now=now)
        return delivery
    tenant = Tenant.objects.get(pk=current_tenant_id())
    language, context = language_of(person, tenant), drafts.letterhead(tenant, person)
    if earlier_ends is not None:
        with translation.override(language):
            context["earlier_ends"] = wording.in_words(earlier_ends, tenant.zone)
    return drafts.send_pin(person, credential, medium, language, context, tenant, by=by, now=now)


def send_reservation(reservation: Reservation, medium: str, *, by: audit.Actor, now: datetime) -> Delivery:
    """Send door, place, times and the person's PIN in one message."""
    [delivery] = send_reservations([reservation], medium, by=by, now=now)
    return delivery


def send_reservations(
    reservations: Sequence[Reservation], medium: str, *, by: audit.Actor, now: datetime
) -> list[Delivery]:
    """Likewise to many, in a few statements."""
    pins = _pins_of(reservations)
    return drafts.send([Draft(each, medium, pins[each.pk]) for each in reservations], by=by, now=now)


def tell_change(
    reservation: Reservation, *, by: audit.Actor, now: datetime, deliver: str | None = None
) -> list[Delivery]:
    """After a visit was moved, extended or given other doors: replace what waits, correct what was sent.

    Nothing is sent where nothing ever was, unless `deliver` names a medium.
    """
    return tell_changes([reservation], deliver=deliver, by=by, now=now)


def tell_changes(
    reservations: Sequence[Reservation], *, by: audit.Actor, now: datetime, deliver: str | None = None
) -> list[Delivery]:
    """Likewise of many visits, in a few statements."""
    sent = _media_sent(reservations)
    waiting = _withdraw("reservation", [each.pk for each in reservations], now=now)
    pins = _pins_of(reservations)
    _next_calendar_entries(reservations)
    asked = {deliver} if deliver else set()
    written = [
        Draft(each, medium, pins[each.pk], says={"is_changed": medium in sent[each.pk]})
        for each in reservations
        for medium in _reachable(each, sent[each.pk] | (asked or waiting.get(each.pk, set())), must=deliver)
    ]
    return drafts.send(written, by=by, now=now)


def tell_end(reservation: Reservation, *, by: audit.Actor, now: datetime) -> list[Delivery]:
    """After a visit was cancelled or ended now: take back what waits, and tell whoever had been told of it.

    A visit that was over already ends silently.
    """
    return tell_ends([reservation], by=by, now=now)


def tell_ends(reservations: Sequence[Reservation], *, by: audit.Actor, now: datetime) -> list[Delivery]:
    """Likewise of many visits, in a few statements."""
    sent = _media_sent(reservations)
    _withdraw("reservation", [each.pk for each in reservations], now=now)
    told = [each for each in reservations if sent[each.pk] and each.end_time >= now]
    _next_calendar_entries(told)
    written = [
        Draft(each, medium, template="visit_ended", says={"is_cancelled": each.cancelled_at is not None})
        for each in told
        for medium in _reachable(each, sent[each.pk])
    ]
    return drafts.send(written, by=by, now=now)


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
    media: set[str] = set()
    return media.union(*_withdraw(kind, ids, now=now).values())


def _withdraw(kind: str, ids: Iterable[int], *, now: datetime) -> dict[int, set[str]]:
    """The same, with the media of each."""
    ids = list(ids)
    unsent = DeliverySubject.objects.filter(kind=kind, object_id__in=ids, delivery__state__in=Delivery.UNSENT)
    media: dict[int, set[str]] = {}
    for object_id, medium in unsent.values_list("object_id", "delivery__medium"):
        media.setdefault(object_id, set()).add(medium)
    if media:
        queueing.cancel(kind, ids, now=now)
    return media


def _media_sent(reservations: Sequence[Reservation]) -> dict[int, set[str]]:
    """How each visitor was told of the visit, and not yet that it is over."""
    latest: dict[int, dict[str, str]] = {each.pk: {} for each in reservations}
    told = DeliverySubject.objects.filter(
        kind="reservation",
        object_id__in=latest,
        delivery__template__in=OF_VISITS,
        delivery__state=Delivery.State.SENT,
    ).order_by("delivery__sent_at", "delivery_id")
    for object_id, medium, template in told.values_list("object_id", "delivery__medium", "delivery__template"):
        latest[object_id][medium] = template
    return {
        pk: {medium for medium, template in templates.items() if template == "visit"}
        for pk, templates in latest.items()
    }


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


def _pins_of(reservations: Sequence[Reservation]) -> dict[int, Credential | None]:
    """The PIN of each visit; what a group shares is held for all of them by one person of its own."""
    group_ids = {each.group_id for each in reservations if each.group_id is not None}
    groups = GroupVisit.objects.filter(pk__in=group_ids).values_list("pk", "shared_person_id") if group_ids else ()
    shared = dict(groups)
    holders = {each.pk: shared.get(each.group_id or 0) or each.person_id for each in reservations}
    live = Credential.objects.filter(
        person_id__in=set(holders.values()),
        type=CredentialType.PIN,
        revoked_at=None,
        erased_at=None,
        ends_at=None,
        enabled=True,
    )
    pins = {credential.person_id: credential for credential in live}
    return {pk: pins.get(holder) for pk, holder in holders.items()}


def _next_calendar_entries(reservations: Sequence[Reservation]) -> None:
    """What calendars hold is replaced only by a higher number."""
    rows = Reservation.objects.filter(pk__in=[each.pk for each in reservations])
    if rows.update(calendar_sequence=F("calendar_sequence") + 1):
        numbers = dict(rows.values_list("pk", "calendar_sequence"))
        for each in reservations:
            each.calendar_sequence = numbers[each.pk]
