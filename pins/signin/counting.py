"""Wrong entries of an account are counted: PINs, codes, answers and passwords alike, and then it must wait.

The first lock takes 15 minutes (PCI DSS 4.0.1 asks for 30 after 10 failures; here it begins sooner), every wrong
entry after it doubles that, to a day at most. Only a right entry or somebody's unlocking starts anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts import audit
from pins.signin.models import SignInSettings
from pins.throttle import attempts
from pins.throttle.attempts import Subject, Try, Waiting
from pins.throttle.limits import FOREVER, Limits

FIRST_LOCK = timedelta(minutes=15)
LONGEST_LOCK = timedelta(days=1)


@dataclass(frozen=True)
class About:
    """What the audit says an entry was made for, and what with: pin, code, answer or password."""

    subject: Subject
    audit_type: str
    audit_id: object
    what: str


def limits_of(settings: SignInSettings) -> Limits:
    """So many wrong entries in a row as the tenant allows, the same one again counting again."""
    return Limits(
        free=settings.failures_allowed - 1,
        first_wait=FIRST_LOCK,
        longest_wait=LONGEST_LOCK,
        forget_after=FOREVER,
        alarm_at=settings.failures_allowed,
        repeats_count=True,
        success_clears=True,
    )


def begin(about: About, settings: SignInSettings, *, entry: str, by: audit.Actor, now: datetime) -> Try | Waiting:
    """Stand in line and ask whether an entry is looked at; one that is not is on record."""
    found = attempts.begin(about.subject, limits_of(settings), now, entry=entry)
    if isinstance(found, Waiting):
        _record(about, "bar", by=by, now=now)
    return found


def wrong(attempt: Try, about: About, *, by: audit.Actor, now: datetime, is_told: bool = True) -> attempts.Counted:
    """Count a wrong entry, and put it (where `is_told`) and the lock it may lead to on record."""
    counted = attempt.wrong()
    if is_told:
        _record(about, "mistake", by=by, now=now)
    if counted.retry_after:
        _record(about, "lock", by=by, now=now)
    return counted


def locked_until(subjects: Iterable[Subject], now: datetime) -> datetime | None:
    """The end of the longest lock of these, None when all are open; read, never counted."""
    ends = [end for subject in subjects if (end := attempts.wait_of(subject, now))]
    return max(ends, default=None)


def right(attempt: Try, about: About, *, by: audit.Actor, now: datetime) -> None:
    """Forget the wrong entries before it."""
    attempt.right()
    _record(about, "confirm", by=by, now=now)


def unlock(about: About, *, by: audit.Actor, now: datetime) -> bool:
    """End a lock and forget what led to it; says whether there was anything to forget."""
    lifted = attempts.lift(about.subject)
    if lifted:
        _record(about, "unlock", by=by, now=now)
    return lifted


def _record(about: About, verb: str, *, by: audit.Actor, now: datetime) -> None:
    audit.record(verb, about.audit_type, about.audit_id, by=by, now=now, fields=[about.what])
