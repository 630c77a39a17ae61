"""Try, and say how it went. The row lock makes parallel tries stand in line, so that none is shared.

At most two statements: the lock, and one UPDATE where something changed (a subject's first try makes its row).
Say how it went outside any savepoint that may be rolled back: a refused operation must stay counted.
"""

import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.tenancy import current_tenant_id
from pins.policy import slips
from pins.throttle import tries
from pins.throttle.limits import Limits
from pins.throttle.models import Throttle
from pins.throttle.tries import Failure, State
from pins.vault.keyring import keyring

# Two first tries at once: the second waits for the first one's row and then locks it.
_MAKE_AND_LOCK = f"""
INSERT INTO {Throttle._meta.db_table} (tenant_id, subject_kind, subject_id, failures, recent)
VALUES (%s, %s, %s, 0, '[]')
ON CONFLICT (tenant_id, subject_kind, subject_id) DO UPDATE SET subject_kind = EXCLUDED.subject_kind
RETURNING *
"""


@dataclass(frozen=True)
class Subject:
    """What tries are counted for: `kind` such as channel or account, `id` within the tenant."""

    kind: str
    id: str


@dataclass(frozen=True)
class Waiting:
    """Nothing is checked now; `retry_after` in whole seconds, at least 1. The try costs nothing."""

    retry_after: int


@dataclass(frozen=True)
class Counted:
    """A wrong entry was counted; `crossed` once when the alarm's threshold was reached."""

    failures: int
    retry_after: int | None
    crossed: bool


class Try:
    """An allowed try: say `wrong()`, `right()` or `spared()` once, before the transaction ends."""

    def __init__(self, row: Throttle, subject: Subject, limits: Limits, now: datetime, digest: bytes) -> None:
        self._row, self._subject, self._limits, self._now, self._digest = row, subject, limits, now, digest
        self._before = tries.settled(_state(row), limits, now)

    def wrong(self) -> Counted:
        """Count the entry; the same one again counts once."""
        state, crossed = tries.counted(self._before, self._digest, self._limits, self._now)
        self._save(state)
        return Counted(state.failures, _seconds(tries.remaining_wait(state, self._now)) or None, crossed)

    def right(self, pin: str | None = None) -> None:
        """Take back the slips of this PIN that were typed just before it, or everything where a success clears."""
        if self._limits.success_clears:
            self._save(State(alarmed_at=self._before.alarmed_at))
        elif pin is not None and tries.just_typed(self._before, self._limits, self._now):
            near = set(_digests(self._subject, slips(pin)))
            self._save(tries.taken_back(self._before, near, self._limits, self._now))

    def spared(self) -> None:
        """Neither right nor a guess: nothing is counted."""

    def _save(self, state: State) -> None:
        if state.failures != self._before.failures:
            _save(self._row, state)


def begin(subject: Subject, limits: Limits, now: datetime, *, entry: str) -> Try | Waiting:
    """Lock the subject and say whether it may try; needs the caller's transaction."""
    row = _locked(subject)
    wait = tries.remaining_wait(_state(row), now)
    if wait > timedelta():
        return Waiting(_seconds(wait))
    [digest] = _digests(subject, [entry])
    return Try(row, subject, limits, now, digest)


def lift(subject: Subject) -> bool:
    """End a wait and forget what led to it; says whether anything was remembered."""
    found = Throttle.objects.filter(subject_kind=subject.kind, subject_id=subject.id, failures__gt=0)
    return bool(found.update(failures=0, quiet_since=None, wait_until=None, recent=[]))


def forget(kinds: Iterable[str], since: datetime, *, most: int) -> int:
    """Forget subjects of these kinds that had no wrong entry since an instant; returns how many."""
    quiet = Throttle.objects.filter(subject_kind__in=list(kinds), quiet_since__lte=since)
    rows = list(quiet.select_for_update(skip_locked=True).values_list("pk", flat=True)[:most])
    Throttle.objects.filter(pk__in=rows).delete()
    return len(rows)


def waiting(kind: str, now: datetime) -> dict[str, datetime]:
    """Subjects of a kind that wait now, with the end of their wait."""
    rows = Throttle.objects.filter(subject_kind=kind, wait_until__gt=now)
    return {row.subject_id: row.wait_until for row in rows if row.wait_until}


def wait_of(subject: Subject, now: datetime) -> datetime | None:
    """The end of a subject's wait, None when it may try; read, never locked."""
    known = Throttle.objects.filter(subject_kind=subject.kind, subject_id=subject.id, wait_until__gt=now)
    return known.values_list("wait_until", flat=True).first()


def failures_since(kind: str, since: datetime) -> dict[str, int]:
    """How many wrong entries subjects of a kind had since an instant; read, never locked."""
    rows = Throttle.objects.filter(subject_kind=kind, quiet_since__gt=since)
    return {row.subject_id: sum(failure.at > since for failure in _state(row).recent) for row in rows}


def _locked(subject: Subject) -> Throttle:
    known = Throttle.objects.select_for_update().filter(subject_kind=subject.kind, subject_id=subject.id)
    row: Throttle | None = known.first()
    if row is None:
        [row] = Throttle.objects.raw(_MAKE_AND_LOCK, [current_tenant_id(), subject.kind, subject.id])
    return row


def _state(row: Throttle) -> State:
    return State(
        failures=row.failures,
        quiet_since=row.quiet_since,
        wait_until=row.wait_until,
        recent=tuple(
            Failure(bytes.fromhex(digest), *(datetime.fromisoformat(instant) for instant in instants))
            for digest, *instants in row.recent
        ),
        alarmed_at=row.alarmed_at,
    )


def _save(row: Throttle, state: State) -> None:
    row.failures = state.failures
    row.quiet_since = state.quiet_since
    row.wait_until = state.wait_until
    row.recent = [
        [failure.digest.hex(), *map(datetime.isoformat, (failure.at, failure.until, failure.quiet_before))]
        for failure in state.recent
    ]
    row.alarmed_at = state.alarmed_at
    row.save(update_fields=["failures", "quiet_since", "wait_until", "recent", "alarmed_at"])


def digest_of(subject: Subject, entry: str) -> bytes:
    """A short-lived keyed digest of an entry at a subject."""
    return _digests(subject, [entry])[0]


def _digests(subject: Subject, entries: Iterable[str]) -> list[bytes]:
    """Short-lived keyed digests: enough to know an entry again, useless without the key."""
    ring = keyring()
    key = ring.throttling[ring.current]
    prefix = f"{current_tenant_id()}|{subject.kind}|{subject.id}|"
    return [hmac.digest(key, (prefix + entry).encode(), "sha256")[:16] for entry in entries]


def _seconds(wait: timedelta) -> int:
    return math.ceil(wait.total_seconds())
