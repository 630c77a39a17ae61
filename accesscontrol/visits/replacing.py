"""A visitor needs a new PIN, or the message once more."""

from datetime import datetime

from django.db import transaction

from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.credentials.models import Credential
from accesscontrol.reservations import reserving as reservations
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import changing, expiry, issuing, messages, visiting
from accounts import audit
from pins.deliveries.models import Delivery


@transaction.atomic
def reissue(
    reservation: Reservation,
    *,
    by: audit.Actor,
    now: datetime,
    deliver: str | None = None,
    expected_version: int | None = None,
) -> issuing.Issued:
    """Revoke the visitor's PIN and issue another one, never the same value, in one; refuses a visit that is over."""
    held = reservations.hold(reservation, expected_version)
    if held.is_over(now):
        raise changing.IsOver
    if deliver:
        messages.address_of(held.person, deliver)
    old: Credential | None = visiting.pin_of(held.person)
    # The old value is held until the new one is drawn and given up after: they cannot be the same.
    before = value_of(old) if old is not None and old.sealed else ""
    if old is not None:
        issuing.revoke(old, by=by, now=now)
    credential, value = issuing.draw(held.person, enabled=True, by=by, now=now)
    while value == before:
        issuing.revoke(credential, by=by, now=now)
        credential, value = issuing.draw(held.person, enabled=True, by=by, now=now)
    expiry.look_at([held.person_id], now)
    reservations.touch(held, by=by, now=now)
    issued = issuing.Issued(credential, value, [])
    if deliver:
        issued.delivery = messages.send_reservation(held, deliver, by=by, now=now)
    return issued


@transaction.atomic
def resend(reservation: Reservation, *, medium: str, by: audit.Actor, now: datetime) -> Delivery:
    """Send the message of a visit once more, in place of one that has not left; refuses a visit that is over."""
    held = reservations.hold(reservation)
    if held.is_over(now):
        raise changing.IsOver
    messages.withdraw("reservation", [held.pk], now=now)
    delivery = messages.send_reservation(held, medium, by=by, now=now)
    audit.record("resend", "reservation", held.pk, by=by, now=now)
    return delivery
