"""What a subject's wrong entries cost it; pure: a state and an instant give the next state.

A failure is counted once per different entry, and one is forgotten per `forget_after` without another. A success
takes back the slips just before it, as if they had never been typed: without that, a busy door would lock itself.
Entries are known here by keyed digests only.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pins.throttle.limits import KEPT, Limits


@dataclass(frozen=True)
class Failure:
    """A counted wrong entry, the end of the wait it cost, and what `quiet_since` was before it."""

    digest: bytes
    at: datetime
    until: datetime
    quiet_before: datetime


@dataclass(frozen=True)
class State:
    """What is remembered of one subject: `failures` counted as of `quiet_since`, the latest of them one by one."""

    failures: int = 0
    quiet_since: datetime | None = None
    wait_until: datetime | None = None
    recent: tuple[Failure, ...] = ()
    alarmed_at: datetime | None = None


def failures(state: State, limits: Limits, now: datetime) -> int:
    """How many failures still count."""
    return settled(state, limits, now).failures


def remaining_wait(state: State, now: datetime) -> timedelta:
    """How long nothing is checked from now on; zero when a try is allowed."""
    return max(timedelta(), state.wait_until - now) if state.wait_until else timedelta()


def settled(state: State, limits: Limits, now: datetime) -> State:
    """The state with everything forgotten that is due."""
    if state.quiet_since is None:
        return state
    # A clock that was set back must forget nothing and must not count backwards.
    forgotten = max(0, (now - state.quiet_since) // limits.forget_after)
    left = state.failures - forgotten
    if left <= 0:
        return replace(state, failures=0, quiet_since=None, recent=())
    return replace(
        state,
        failures=left,
        quiet_since=state.quiet_since + forgotten * limits.forget_after,
        recent=state.recent[-left:],
    )


def counted(state: State, digest: bytes, limits: Limits, now: datetime) -> tuple[State, bool]:
    """The state after a wrong entry, and whether this one crossed the alarm's threshold."""
    state = settled(state, limits, now)
    if not limits.repeats_count and any(failure.digest == digest for failure in state.recent):
        return state, False
    total = state.failures + 1
    until = now + limits.wait_after(total)
    recent = (*state.recent, Failure(digest, now, until, state.quiet_since or now))[-KEPT:]
    crossed = _crosses(state, recent, limits, now)
    return (
        State(
            failures=total,
            quiet_since=now,
            wait_until=until if until > now else state.wait_until,
            recent=recent,
            alarmed_at=now if crossed else state.alarmed_at,
        ),
        crossed,
    )


def just_typed(state: State, limits: Limits, now: datetime) -> tuple[Failure, ...]:
    """The failures of the last minute; it stands still during a wait, when nobody can correct a slip."""
    left, later, found = limits.takes_back, now, 0
    for failure in reversed(state.recent):
        left -= max(timedelta(), later - failure.until)
        if left < timedelta():
            break
        found, later = found + 1, failure.at
    return state.recent[len(state.recent) - found :]


def taken_back(state: State, slips: Collection[bytes], limits: Limits, now: datetime) -> State:
    """The state after a success whose slips these are: the ones just typed have never happened."""
    state = settled(state, limits, now)
    slipped = {failure for failure in just_typed(state, limits, now) if failure.digest in slips}
    kept: list[Failure] = []
    moved: datetime | None = None
    for failure in state.recent:
        if failure in slipped:
            moved = moved or failure.quiet_before
        else:
            kept.append(replace(failure, quiet_before=moved) if moved else failure)
            moved = None
    left = state.failures - len(slipped)
    quiet_since = (moved or state.quiet_since) if left else None
    # Without them the quiet has lasted longer: something may be due by now that was not a moment ago.
    return settled(replace(state, failures=left, quiet_since=quiet_since, recent=tuple(kept)), limits, now)


def _crosses(state: State, recent: tuple[Failure, ...], limits: Limits, now: datetime) -> bool:
    """The alarm sounds once: not again while an earlier one is as young as the failures it counts."""
    since = now - limits.alarm_within
    if state.alarmed_at is not None and state.alarmed_at > since:
        return False
    return sum(failure.at > since for failure in recent) >= limits.alarm_at
