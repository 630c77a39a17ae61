"""One call for a visit: person, PIN, reservation and message, all of it or nothing.

A form that is sent twice and a booking that is told twice lead to the visit that they led to before. Whoever has a
PIN keeps it; the value of a new one is in the answer of this call alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext_noop

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.people import records
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import expiry, issuing, messages, reserving
from accesscontrol.visits.changing import IsOver, change, move
from accesscontrol.visits.recurring import Weekly, make_shift
from accounts import audit
from accounts.models import Membership, Site, Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery


class NoName(Refusal):
    code = "required"
    field = "first_name"
    text = "Write the visitor's name."


class HostIsGone(Refusal):
    code = "host_gone"
    field = "host"
    text = "This host has no place here any more."


@dataclass
class Visit:
    """What came of the call: `value` is the new PIN, empty where there is none to show; `is_new` False for a repeat."""

    person: Person
    reservation: Reservation
    credential: Credential | None
    value: str = field(default="", repr=False)
    delivery: Delivery | None = None
    is_new: bool = True


@transaction.atomic
def issue(
    *,
    start_time: datetime,
    end_time: datetime,
    by: audit.Actor,
    now: datetime,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    mobile: str = "",
    language: str = "",
    person: Person | None = None,
    channels: Iterable[Channel] | None = None,
    site: Site | None = None,
    site_ids: frozenset[int] | None = None,
    shift: Shift | None = None,
    weekly: Weekly | None = None,
    host: Membership | None = None,
    host_name: str = "",
    purpose: str = "",
    company: str = "",
    grace_seconds: int | None = None,
    needs_check_in: bool | None = None,
    max_uses: int | None = None,
    deliver: str | None = None,
    external_id: str = "",
    form_token: str = "",
) -> Visit:
    """Issue a visit, or find the one that this form or this booking made and move it; `deliver` email, sms or None.

    Without `channels` the visitor doors of the site. What is not said of grace and check-in is the tenant's.
    """
    if end_time <= now:
        raise IsOver(gettext_noop("This time is over already."), field="end_time")
    if host is not None and host.ended_at is not None:
        raise HostIsGone
    once(f"{external_id}/{form_token}")
    known = Reservation.objects.filter(form_token=form_token).first() if form_token else None
    if known is not None:
        return Visit(known.person, known, pin_of(known.person), is_new=False)
    tenant = Tenant.objects.get(pk=current_tenant_id())
    details = {
        "host": host,
        "host_name": "" if host else host_name,
        "purpose": purpose,
        "company": company,
        "grace_seconds": tenant.grace_seconds if grace_seconds is None else grace_seconds,
        "needs_check_in": tenant.needs_check_in if needs_check_in is None else needs_check_in,
        "max_uses": max_uses,
        "external_id": external_id,
        "form_token": form_token,
    }
    values = {"first_name": first_name, "last_name": last_name, "email": email, "mobile": mobile, "language": language}
    if channels is None:
        channels = visitor_doors(site, site_ids)
    booked = _booked(external_id, by=by, now=now)
    if booked is not None:
        return _again(booked, values, details, list(channels), start_time, end_time, shift, deliver, by=by, now=now)
    person = _person(person, values, site_ids, by=by, now=now)
    if deliver:
        messages.address_of(person, deliver)
    if weekly is not None:
        zone = site.zone if site else tenant.zone
        shift = make_shift(weekly, start_time=start_time, end_time=end_time, zone=zone, by=by, now=now)
    reservation = reserving.reserve(
        person,
        channels=channels,
        start_time=start_time,
        end_time=end_time,
        shift=shift,
        details=details,
        by=by,
        now=now,
    )
    return _with_pin(Visit(person, reservation, pin_of(person)), deliver, by=by, now=now)


def once(token: str) -> None:
    """Let whoever brings the same token wait until this transaction has said what became of it."""
    if token.strip("/"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"visit {current_tenant_id()} {token}"]
            )


def visitor_doors(site: Site | None, site_ids: frozenset[int] | None = None) -> list[Channel]:
    """The doors that visitors get where nobody chooses any: of a site, or of the sites of the caller."""
    doors = Channel.objects.filter(is_visitor_door=True)
    if site is not None:
        doors = doors.filter(site=site)
    elif site_ids is not None:
        doors = doors.filter(site_id__in=site_ids)
    return list(doors)


def pin_of(person: Person) -> Credential | None:
    """The PIN that a person has, not one that is being replaced."""
    live = {"revoked_at": None, "erased_at": None, "ends_at": None}
    return Credential.objects.filter(person=person, type=CredentialType.PIN, **live).first()


def _booked(external_id: str, *, by: audit.Actor, now: datetime) -> Reservation | None:
    """The visit of this booking; one that was cancelled gives its id away, so that it can be booked again."""
    if not external_id:
        return None
    found = Reservation.objects.filter(external_id=external_id).select_related("person").first()
    if found is None or (found.cancelled_at is None and found.person.deleted_at is None):
        return found
    change(found, external_id="", by=by, now=now)
    return None


def _person(
    person: Person | None, values: dict[str, str], site_ids: frozenset[int] | None, *, by: audit.Actor, now: datetime
) -> Person:
    """The visitor: who was chosen, the same name at the same address, or somebody new."""
    if person is None:
        person = _same(values, site_ids)
    given = {name: value for name, value in values.items() if value}
    if person is None:
        if not values["first_name"]:
            raise NoName
        return records.create({"kind": Person.Kind.VISITOR, **given}, by=by, now=now)
    return records.change(person, given, by=by, now=now)


def _same(values: dict[str, str], site_ids: frozenset[int] | None) -> Person | None:
    """Whoever is known by every address that is given: by one alone, their PIN could be sent to any other."""
    given = {"lower_email": values["email"].lower(), "mobile": values["mobile"]}
    addresses = {name: value for name, value in given.items() if value}
    if not addresses:
        return None
    people = Person.objects.filter(deleted_at=None, kind=Person.Kind.VISITOR, **addresses)
    if site_ids is not None:
        people = people.filter(Q(site=None) | Q(site_id__in=site_ids))
    name = f"{values['first_name']} {values['last_name']}".strip().casefold()
    return next((person for person in people.order_by("-pk")[:20] if person.name.casefold() == name), None)


def _again(
    booked: Reservation,
    values: dict[str, str],
    details: dict[str, Any],
    channels: list[Channel],
    start_time: datetime,
    end_time: datetime,
    shift: Shift | None,
    deliver: str | None,
    *,
    by: audit.Actor,
    now: datetime,
) -> Visit:
    """A booking that is told again: what differs is changed, and the visitor hears of it where they heard before."""
    given = {name: value for name, value in values.items() if value}
    person = records.change(booked.person, given, by=by, now=now) if given else booked.person
    change(booked, **{name: value for name, value in details.items() if name != "form_token"}, by=by, now=now)
    moved = move(booked, start_time=start_time, end_time=end_time, shift=shift, channels=channels, by=by, now=now)
    visit = Visit(person, moved, pin_of(person), is_new=False)
    # Its PIN may have been erased since: then this is as good as a new visit.
    return visit if visit.credential else _with_pin(visit, deliver, by=by, now=now)


def _with_pin(visit: Visit, deliver: str | None, *, by: audit.Actor, now: datetime) -> Visit:
    if visit.credential is None:
        visit.credential, visit.value = issuing.draw(visit.person, enabled=True, by=by, now=now)
        expiry.look_at([visit.person.pk], now)
    if deliver:
        visit.delivery = messages.send_reservation(visit.reservation, deliver, by=by, now=now)
    return visit
