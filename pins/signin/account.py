"""Whose PIN it is: a member of staff in one tenant, or a Subscriber; nothing else about either."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    MEMBERSHIP = "membership"
    SUBSCRIBER = "subscriber"


@dataclass(frozen=True)
class Account:
    """One account of the current tenant; `kind` is also what the audit calls it."""

    kind: Kind
    id: int

    @property
    def columns(self) -> dict[str, Any]:
        """Where its row is found."""
        return {f"{self.kind}_id": self.id}

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}"


def of_member(membership_id: int) -> Account:
    """A member of staff."""
    return Account(Kind.MEMBERSHIP, membership_id)


def of_subscriber(subscriber_id: int) -> Account:
    """An account of the tenant's own application."""
    return Account(Kind.SUBSCRIBER, subscriber_id)
