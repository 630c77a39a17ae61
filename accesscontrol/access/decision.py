"""The rule: may this credential open this channel at this instant, and if not, why. Pure.

It reads facts and decides; the door and the access check ask the same function. The order of the reasons goes
from the credential over the person to the right and the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from accesscontrol.access.models import Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors import hours
from accesscontrol.doors.hours import Holiday, Stretch, is_open
from accesscontrol.doors.models import Channel
from accesscontrol.reservations.models import SAME_STAY, SAME_USE


@dataclass(frozen=True)
class Attendance:
    """What a reservation asks of its visitor beyond the time, and what of that has happened.

    `early` is the grace before each of its own weekly hours; that before the start is in the period already.
    """

    comes_back: bool = False
    early: timedelta = timedelta(0)
    needs_check_in: bool = False
    checked_in_at: datetime | None = None
    checked_out_at: datetime | None = None
    arrived_at: datetime | None = None
    max_uses: int | None = None
    uses: int = 0
    last_use_at: datetime | None = None

    def is_checked_in(self, now: datetime) -> bool:
        """Seen at the desk, and not gone since."""
        if self.checked_in_at is None or (self.checked_out_at and self.checked_out_at >= self.checked_in_at):
            return False
        return not self.comes_back or now - self.checked_in_at < SAME_STAY

    def is_used_up(self, now: datetime) -> bool:
        """Every use was made, and the last one is not the same."""
        if self.max_uses is None or self.uses < self.max_uses:
            return False
        return self.last_use_at is None or now - self.last_use_at >= SAME_USE

    def is_arrival(self, now: datetime) -> bool:
        """Whether an admission now is the visitor's coming, and not a step further in."""
        if self.arrived_at is None or (self.checked_out_at and self.checked_out_at >= self.arrived_at):
            return True
        return self.comes_back and now - self.arrived_at >= SAME_STAY


@dataclass(frozen=True)
class Grant:
    """A right at the channel: from a role, or from a reservation whose period, with its grace, contains the instant.

    `hours` None means always, an empty tuple never.
    """

    hours: tuple[Stretch, ...] | None
    role_id: int | None = None
    reservation_id: int | None = None
    attendance: Attendance = Attendance()


@dataclass(frozen=True)
class Holder:
    """The credential that was found and the person it belongs to; one that was rotated works until `ends_at`."""

    credential_id: int
    credential_enabled: bool
    ends_at: datetime | None
    is_expired: bool
    person_id: int
    person_name: str
    person_enabled: bool
    valid_from: datetime | None
    valid_to: datetime | None


@dataclass(frozen=True)
class Facts:
    """What the rule needs to know; `holder` None when nobody holds what was presented.

    `has_other_time` says that a reservation at this channel exists for another time.
    """

    type: CredentialType
    zone: ZoneInfo
    state: Channel.State
    holder: Holder | None
    # During these hours the door is held open; None without such hours.
    auto_unlock: tuple[Stretch, ...] | None = None
    # Of the door's site, as far as they still matter.
    holidays: tuple[Holiday, ...] = ()
    grants: Sequence[Grant] = ()
    has_other_time: bool = False


@dataclass(frozen=True)
class Decision:
    """Admitted (with the grant that opened, or by a held-open door), or rejected with a reason."""

    reason: Reason
    grant: Grant | None = None
    was_open: bool = False

    @property
    def admitted(self) -> bool:
        return self.reason is Reason.NONE


def decide(facts: Facts, now: datetime) -> Decision:
    """Apply the rule at this instant."""
    holder = facts.holder
    if holder is None:
        if facts.type == CredentialType.CARD:
            return Decision(Reason.INVALID_CARD)
        return Decision(Reason.INVALID_PIN)
    if facts.state == Channel.State.LOCKED_DOWN:
        return Decision(Reason.LOCKDOWN)
    if is_held_open(facts, now):
        # Whoever is known goes in, as everybody does; the event says that the door was open.
        own = next((grant for grant in facts.grants if why_not(grant, now, facts) is Reason.NONE), None)
        return Decision(Reason.NONE, own, was_open=True)
    if not holder.credential_enabled:
        return Decision(Reason.CREDENTIAL_NOT_ENABLED)
    if holder.ends_at is not None and now >= holder.ends_at:
        return Decision(Reason.CREDENTIAL_EXPIRED)
    if not holder.person_enabled:
        return Decision(Reason.PERSON_NOT_ENABLED)
    if _is_outside(holder.valid_from, holder.valid_to, now):
        return Decision(Reason.PERSON_NOT_ACTIVE)
    reasons = set()
    for grant in facts.grants:
        reason = why_not(grant, now, facts)
        if reason is Reason.NONE:
            return Decision(Reason.NONE, grant)
        reasons.add(reason)
    # What the visitor can mend at the desk comes first.
    for reason in (Reason.NOT_CHECKED_IN, Reason.NOT_PERMITTED_AT_THIS_TIME, Reason.CREDENTIAL_EXPIRED):
        if reason in reasons:
            return Decision(reason)
    if holder.is_expired:
        return Decision(Reason.CREDENTIAL_EXPIRED)
    if facts.has_other_time:
        return Decision(Reason.NOT_PERMITTED_AT_THIS_TIME)
    return Decision(Reason.UNAUTHORIZED)


def why_not(grant: Grant, now: datetime, facts: Facts) -> Reason:
    """What this right lacks at this instant, in the hours of the place; Reason.NONE where it opens."""
    asked, opened_at = grant.attendance, None
    if grant.hours is not None:
        opened_at = hours.opened_at(grant.hours, now, facts.zone, facts.holidays, early=asked.early)
        if opened_at is None:
            return Reason.NOT_PERMITTED_AT_THIS_TIME
    if asked.is_used_up(now):
        return Reason.CREDENTIAL_EXPIRED
    if asked.needs_check_in and not asked.is_checked_in(now):
        return Reason.NOT_CHECKED_IN
    left = asked.checked_out_at
    if left is not None and opened_at is not None and left >= opened_at - asked.early and not asked.is_checked_in(now):
        # Checked out for today: the same hours of another day open again.
        return Reason.NOT_PERMITTED_AT_THIS_TIME
    return Reason.NONE


def is_held_open(facts: Facts, now: datetime) -> bool:
    """Held open by a command, or by weekly hours; a lock-down goes before both."""
    if facts.state == Channel.State.NORMAL and facts.auto_unlock is not None:
        return is_open(facts.auto_unlock, now, facts.zone, facts.holidays)
    return facts.state == Channel.State.UNLOCKED


def _is_outside(valid_from: datetime | None, valid_to: datetime | None, now: datetime) -> bool:
    return (valid_from is not None and now < valid_from) or (valid_to is not None and now >= valid_to)
