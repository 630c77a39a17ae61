"""A blocked Subscriber is signed out everywhere and stays out."""

from datetime import datetime

from django.db import transaction

from accounts import audit
from pins.signin import tokens
from pins.signin.models import Subscriber


@transaction.atomic
def block(subscriber: Subscriber, *, by: audit.Actor, now: datetime) -> None:
    """Sign out everywhere and let nobody sign in; a second time changes nothing."""
    if Subscriber.objects.filter(pk=subscriber.pk, blocked_at=None).update(blocked_at=now):
        tokens.revoke_all(subscriber.pk, now=now)
        audit.record("block", "subscriber", subscriber.pk, by=by, now=now)


@transaction.atomic
def unblock(subscriber: Subscriber, *, by: audit.Actor, now: datetime) -> None:
    """Let the holder sign in again; a second time changes nothing."""
    if Subscriber.objects.filter(pk=subscriber.pk, blocked_at__isnull=False).update(blocked_at=None):
        audit.record("unblock", "subscriber", subscriber.pk, by=by, now=now)
