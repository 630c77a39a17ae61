"""A wrong password or code of somebody on the staff is on record wherever they work; let the transaction commit."""

from datetime import datetime

from accounts import audit
from accounts.audit import Actor
from accounts.callers import places_of
from accounts.models import User
from accounts.tenancy import tenant_context


def note(user: User | None, what: str, *, now: datetime) -> None:
    """Write down one wrong `what`: password or code; nothing where there is no such user."""
    for place in places_of(user.pk if user else 0):
        by = Actor("staff", place.membership_id)
        with tenant_context(place.tenant_id):
            audit.record("mistake", "membership", place.membership_id, by=by, now=now, fields=[what])
