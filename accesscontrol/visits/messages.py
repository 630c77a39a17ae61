"""What a person is sent: the PIN, and which doors it opens when. Written by `pins.deliveries`, worded here.

A message is queued in the transaction of the change it tells of; what has not left when a right is moved,
cancelled or revoked does not leave.
"""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import formats, translation

from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accounts import audit
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery

MEDIA = ("email", "sms")


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
    if earlier_ends is not None:
        return _queue(person, credential, None, medium, by=by, now=now, earlier_ends=earlier_ends)
    coming = (
        Reservation.objects.filter(person=person, cancelled_at=None, end_time__gt=now).order_by("start_time").first()
    )
    return _queue(person, credential, coming, medium, by=by, now=now)


def send_reservation(reservation: Reservation, medium: str, *, by: audit.Actor, now: datetime) -> Delivery:
    """Send door, place, times and the person's PIN in one message."""
    credential = Credential.objects.filter(
        person_id=reservation.person_id,
        type=CredentialType.PIN,
        revoked_at=None,
        erased_at=None,
        ends_at=None,
        enabled=True,
    ).first()
    return _queue(reservation.person, credential, reservation, medium, by=by, now=now)


def _queue(
    person: Person,
    credential: Credential | None,
    reservation: Reservation | None,
    medium: str,
    *,
    by: audit.Actor,
    now: datetime,
    earlier_ends: datetime | None = None,
) -> Delivery:
    address = address_of(person, medium)
    language = person.language or "en"
    about = [("person", person.pk)]
    tenant = Tenant.objects.get(pk=current_tenant_id())
    context: dict[str, object] = {
        "tenant_name": tenant.name,
        "person_name": person.name,
        "pin": value_of(credential) if credential else "",
    }
    if credential:
        about.append(("credential", credential.pk))
        audit.record("deliver", "credential", credential.pk, by=by, now=now)
    if earlier_ends:
        with translation.override(language):
            context["earlier_ends"] = in_words(earlier_ends, tenant.zone)
    if reservation:
        about.append(("reservation", reservation.pk))
        context |= _visit(reservation, language)
    return queueing.queue(
        medium=medium,
        address=address,
        template="visit" if reservation else "pin",
        language=language,
        context=context,
        about=about,
        now=now,
    )


def _visit(reservation: Reservation, language: str) -> dict[str, object]:
    """Doors, places and times in words, in the zone of each place."""
    rows = ReservationChannel.objects.filter(OPEN, reservation=reservation)
    channels = list(
        Channel.objects.filter(pk__in=rows.values("channel_id")).select_related("site").order_by("site_id", "name")
    )
    sites = list(dict.fromkeys(channel.site for channel in channels))
    zones = list(dict.fromkeys(site.zone for site in sites))
    with translation.override(language):
        return {
            "site_name": ", ".join(site.name for site in sites),
            "site_address": "; ".join(site.address for site in sites if site.address),
            "help_phone": next((site.help_phone for site in sites if site.help_phone), ""),
            "doors": [f"{door.name} ({door.site.name})" if len(sites) > 1 else door.name for door in channels],
            "starts": " / ".join(in_words(reservation.start_time, zone) for zone in zones),
            "ends": " / ".join(in_words(reservation.end_time, zone) for zone in zones),
        }


def in_words(moment: datetime, zone: ZoneInfo) -> str:
    """Day and time as read on the wall there, with the name of the zone."""
    local = moment.astimezone(zone)
    return f"{formats.date_format(local, 'l, j F Y')}, {local:%H:%M} ({local.tzname()})"


def withdraw(kind: str, ids: Iterable[int], *, now: datetime) -> set[str]:
    """Cancel what has not left yet about these; returns the media that would have carried it."""
    ids = list(ids)
    media = set(Delivery.objects.about(kind, ids).unsent().values_list("medium", flat=True))
    if media:
        queueing.cancel(kind, ids, now=now)
    return media
