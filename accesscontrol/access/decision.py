"""The rule: may this credential open this channel at this instant, and if not, why. Pure.

It reads facts and decides; the door and the access check ask the same function. The order of the reasons goes
from the credential over the person to the right and the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from accesscontrol.access.models import Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.hours import Stretch, is_open
from accesscontrol.doors.models import Channel


@dataclass(frozen=True)
class Grant:
    """A right at the channel: from a role, or from a reservation whose period contains the instant.

    `hours` None means always, an empty tuple never.
    """

    hours: tuple[Stretch, ...] | None
    role_id: int | None = None
    reservation_id: int | None = None


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
        return Decision(Reason.NONE, was_open=True)
    if not holder.credential_enabled:
        return Decision(Reason.CREDENTIAL_NOT_ENABLED)
    if holder.ends_at is not None and now >= holder.ends_at:
        return Decision(Reason.CREDENTIAL_EXPIRED)
    if not holder.person_enabled:
        return Decision(Reason.PERSON_NOT_ENABLED)
    if _is_outside(holder.valid_from, holder.valid_to, now):
        return Decision(Reason.PERSON_NOT_ACTIVE)
    for grant in facts.grants:
        if grant.hours is None or is_open(grant.hours, now, facts.zone):
            return Decision(Reason.NONE, grant)
    if facts.grants:
        return Decision(Reason.NOT_PERMITTED_AT_THIS_TIME)
    if holder.is_expired:
        return Decision(Reason.CREDENTIAL_EXPIRED)
    if facts.has_other_time:
        return Decision(Reason.NOT_PERMITTED_AT_THIS_TIME)
    return Decision(Reason.UNAUTHORIZED)


def is_held_open(facts: Facts, now: datetime) -> bool:
    """Held open by a command, or by weekly hours; a lock-down goes before both."""
    if facts.state == Channel.State.NORMAL and facts.auto_unlock is not None:
        return is_open(facts.auto_unlock, now, facts.zone)
    return facts.state == Channel.State.UNLOCKED


def _is_outside(valid_from: datetime | None, valid_to: datetime | None, now: datetime) -> bool:
    return (valid_from is not None and now < valid_from) or (valid_to is not None and now >= valid_to)
