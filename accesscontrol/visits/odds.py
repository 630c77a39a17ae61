"""How many PINs each keypad accepts, and what guessing is worth there.

A keypad accepts the live PINs of everybody with a right there, now or coming: through roles of their own or of
their groups, or a reservation. Counting stops at 10,000, where the longest PIN is recommended anyway: the odds
are then at least what is said. Where duress is on, each PIN opens in two ways.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import SHORTEST_PIN
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id
from pins.policy import guess_odds, odds_in_words

COUNTED = 10**4
TRIES = 10
HIGHEST = 0.001

_PIN = f"""c.tenant_id = %(tenant)s AND c.type = {int(CredentialType.PIN)} AND c.revoked_at IS NULL
                  AND c.erased_at IS NULL"""
_DIGITS = f"COALESCE(c.digits, {SHORTEST_PIN})"

# Doors with the same roles are counted once: buildings have many doors and few kinds of them.
_SQL = f"""
WITH door AS MATERIALIZED (
    SELECT d.id, COALESCE(array_agg(rc.role_id ORDER BY rc.role_id) FILTER (WHERE rc.role_id IS NOT NULL), '{{{{}}}}')
                 AS roles
    FROM doors_channel d
    LEFT JOIN doors_rolechannel rc ON rc.tenant_id = d.tenant_id AND rc.channel_id = d.id AND rc.ended_at IS NULL
    WHERE d.tenant_id = %(tenant)s {{which}}
    GROUP BY d.id),
by_roles AS MATERIALIZED (
    SELECT kind.roles, found.digits, count(*) AS pins
    FROM (SELECT DISTINCT roles FROM door) kind
    CROSS JOIN LATERAL (
        SELECT {_DIGITS} AS digits
        FROM (SELECT DISTINCT person_id FROM (
                  SELECT pr.person_id FROM people_personrole pr
                  WHERE pr.tenant_id = %(tenant)s AND pr.role_id = ANY(kind.roles) AND pr.ended_at IS NULL
                  UNION ALL
                  SELECT gm.person_id FROM people_grouprole gr
                  JOIN people_groupmembership gm ON gm.tenant_id = gr.tenant_id AND gm.group_id = gr.group_id
                  WHERE gr.tenant_id = %(tenant)s AND gr.role_id = ANY(kind.roles)
                    AND gr.ended_at IS NULL AND gm.ended_at IS NULL
                  LIMIT {2 * COUNTED}) every_right) p
        JOIN credentials_credential c ON c.person_id = p.person_id AND {_PIN}
        LIMIT {COUNTED}) found
    GROUP BY kind.roles, found.digits),
by_reservation AS (
    SELECT door.id, found.digits, count(*) AS pins
    FROM door
    CROSS JOIN LATERAL (
        SELECT {_DIGITS} AS digits
        FROM (SELECT DISTINCT r.person_id FROM reservations_reservationchannel rr
              JOIN reservations_reservation r ON r.tenant_id = rr.tenant_id AND r.id = rr.reservation_id
              WHERE rr.tenant_id = %(tenant)s AND rr.channel_id = door.id AND rr.ended_at IS NULL
                AND r.cancelled_at IS NULL AND r.end_time > %(now)s) p
        JOIN credentials_credential c ON c.person_id = p.person_id AND {_PIN}
        WHERE NOT EXISTS (SELECT FROM people_personrole pr
                          WHERE pr.tenant_id = %(tenant)s AND pr.person_id = p.person_id
                            AND pr.role_id = ANY(door.roles) AND pr.ended_at IS NULL)
          AND NOT EXISTS (SELECT FROM people_groupmembership gm
                          JOIN people_grouprole gr ON gr.tenant_id = gm.tenant_id AND gr.group_id = gm.group_id
                          WHERE gm.tenant_id = %(tenant)s AND gm.person_id = p.person_id
                            AND gr.role_id = ANY(door.roles) AND gm.ended_at IS NULL AND gr.ended_at IS NULL)
        LIMIT {COUNTED}) found
    GROUP BY door.id, found.digits)
SELECT door.id, by_roles.digits, by_roles.pins FROM door JOIN by_roles USING (roles)
UNION ALL
SELECT id, digits, pins FROM by_reservation
"""


@dataclass(frozen=True)
class Odds:
    """The PINs that open a channel by their length; `ways` 2 where each has a duress PIN."""

    pins: Counter[int] = field(default_factory=Counter)
    ways: int = 1

    @property
    def count(self) -> int:
        return self.pins.total()

    @property
    def active(self) -> int:
        """How many entries open: the N of the rule for the length."""
        return self.count * self.ways

    @property
    def chance(self) -> float:
        """The probability that ten guesses open, all spent on the length in use where they are worth most."""
        return guess_odds(self._worth[1], self._worth[0], TRIES)

    @property
    def in_words(self) -> str:
        """Such as "about 1 in 2,500 for ten tries"."""
        return odds_in_words(self._worth[1], self._worth[0], TRIES)

    @property
    def warning(self) -> str | None:
        """What to do where ten guesses open more often than 1 in 1,000."""
        if self.chance <= HIGHEST * (1 + 1e-9):
            return None
        digits = self._worth[0]
        return (
            f"Guessing is too easy here: {self.in_words}. {self.pins[digits]:,} of the PINs that open this door have "
            f"{digits} digits; issue longer ones."
        )

    @property
    def _worth(self) -> tuple[int, int]:
        """Length and number of the entries among which one guess hits most often."""
        number = {digits: count * self.ways for digits, count in self.pins.items()}
        return max(number.items(), key=lambda one: one[1] / 10.0 ** one[0], default=(SHORTEST_PIN, 0))


def of_channels(channel_ids: Iterable[int] | None, now: datetime) -> dict[int, Odds]:
    """The odds at these channels, or at all of the tenant's, in one query however many they are."""
    ids = None if channel_ids is None else list(channel_ids)
    ways = ways_to_open()
    found = {channel_id: Odds(ways=ways) for channel_id in ids or ()}
    for channel_id, digits, pins in _counted(ids, now):
        found.setdefault(channel_id, Odds(ways=ways)).pins[digits] += pins
    return found


def busiest(channel_ids: Iterable[int] | None, now: datetime) -> int:
    """How many PINs the busiest of these keypads accepts, or the busiest of all the tenant's."""
    return max((one.count for one in of_channels(channel_ids, now).values()), default=0)


def ways_to_open() -> int:
    """How many entries open for each PIN: two where there is a duress PIN."""
    return 2 if Tenant.objects.filter(pk=current_tenant_id(), duress_enabled=True).exists() else 1


def _counted(ids: list[int] | None, now: datetime) -> list[tuple[Any, ...]]:
    sql = _SQL.format(which="" if ids is None else "AND d.id = ANY(%(ids)s)")
    with connection.cursor() as cursor:
        cursor.execute(sql, {"tenant": current_tenant_id(), "now": now, "ids": ids})
        return cursor.fetchall()
