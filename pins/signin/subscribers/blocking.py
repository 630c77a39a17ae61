"""A blocked Subscriber is signed out everywhere and stays out; a locked one waits, or is unlocked by staff."""

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction

from accounts import audit
from pins.signin import counting, pin, tokens
from pins.signin.account import of_subscriber
from pins.signin.counting import About
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import Subscriber
from pins.signin.subscribers.signing_in import PASSWORD, RECOVERY, RESET
from pins.throttle.attempts import Subject


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


@transaction.atomic
def unlock(subscriber: Subscriber, *, by: audit.Actor, now: datetime) -> None:
    """Forget wrong entries of every kind, and end the locks they led to."""
    pin.unlock(of_subscriber(subscriber.pk), by=by, now=now)
    for subject, what in _counted(subscriber):
        counting.unlock(About(subject, "subscriber", subscriber.pk, what), by=by, now=now)


def locked_until(subscriber: Subscriber, now: datetime) -> datetime | None:
    """The end of the longest lock of an account, None when it is open."""
    ends = [counting.locked_until((subject for subject, _ in _counted(subscriber)), now)]
    ends.append(pin.locked_until(of_subscriber(subscriber.pk), now))
    return max((end for end in ends if end), default=None)


def _counted(subscriber: Subscriber) -> Iterator[tuple[Subject, str]]:
    key = of_subscriber(subscriber.pk).key
    yield Subject(PASSWORD, key), "password"
    yield Subject(RECOVERY, key), "code"
    for kind in Kind:
        if value := getattr(subscriber, kind):
            digest = Identifier(kind, value).digest
            yield Subject(PASSWORD, digest), "password"
            yield Subject(RESET, digest), "code"
