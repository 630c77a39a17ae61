"""How many PINs each keypad accepts, and what guessing is worth there.

A keypad accepts the live PINs of everybody with a right there, now or coming: through roles of their own or of
their groups, or a reservation. Counting stops at 100,000 rights, far past where the longest PIN is recommended: the
odds are then at least what is said. Where duress is on, each PIN opens in two ways.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from django.core.cache import cache
from django.db import connection

from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import SHORTEST_PIN
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id
from pins.policy import guess_odds, odds_in_words

COUNTED = 10**4
TRIES = 10
HIGHEST = 0.001
_SHOWN_SECONDS = 60

# The length of a PIN -> who has one, a bit for each person.
People = dict[int, int]

# Each role's people are read once, however many doors it opens; who comes to a door twice is told in Python. The PINs
# are written in place where they are joined: kept aside, they were copied twice, a third of the time.
_SQL = f"""
WITH opens AS MATERIALIZED (
    SELECT rc.channel_id, rc.role_id FROM doors_rolechannel rc
    WHERE rc.tenant_id = %(tenant)s AND rc.ended_at IS NULL {{where_role}}),
pin AS NOT MATERIALIZED (
    SELECT c.person_id, COALESCE(c.digits, {SHORTEST_PIN}) AS digits FROM credentials_credential c
    WHERE c.tenant_id = %(tenant)s AND c.type = {int(CredentialType.PIN)}
      AND c.revoked_at IS NULL AND c.erased_at IS NULL),
has AS (
    SELECT pr.role_id, pr.person_id FROM people_personrole pr
    WHERE pr.tenant_id = %(tenant)s AND pr.ended_at IS NULL AND pr.role_id IN (SELECT role_id FROM opens)
    UNION ALL
    SELECT gr.role_id, gm.person_id FROM people_grouprole gr
    JOIN people_groupmembership gm ON gm.tenant_id = gr.tenant_id AND gm.group_id = gr.group_id
    WHERE gr.tenant_id = %(tenant)s AND gr.ended_at IS NULL AND gm.ended_at IS NULL
      AND gr.role_id IN (SELECT role_id FROM opens)
    LIMIT {10 * COUNTED}),
visits AS (
    SELECT rr.channel_id, r.person_id FROM reservations_reservation r
    JOIN reservations_reservationchannel rr
      ON rr.tenant_id = r.tenant_id AND rr.reservation_id = r.id AND rr.ended_at IS NULL
    WHERE r.tenant_id = %(tenant)s AND r.cancelled_at IS NULL AND r.end_time > %(now)s {{where_visit}}
    LIMIT {10 * COUNTED})
SELECT 'opens', role_id, 0, array_agg(channel_id) FROM opens GROUP BY role_id
UNION ALL
SELECT 'role', has.role_id, pin.digits, array_agg(pin.person_id) FROM has JOIN pin USING (person_id) GROUP BY 2, 3
UNION ALL
SELECT 'door', visits.channel_id, pin.digits, array_agg(pin.person_id) FROM visits JOIN pin USING (person_id)
GROUP BY 2, 3
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
    doors: defaultdict[int, list[People]] = defaultdict(list)
    roles: defaultdict[int, People] = defaultdict(dict)
    places: dict[int, int] = {}
    rows = _read(ids, now)
    for what, key, digits, people in rows:
        if what == "role":
            roles[key][digits] = _as_bits(people, places)
        elif what == "door":
            doors[key].append({digits: _as_bits(people, places)})
    for what, key, _, channels in rows:
        if what == "opens":
            for channel_id in channels:
                doors[channel_id].append(roles[key])
    found = {channel_id: Odds(ways=ways) for channel_id in ids or ()}
    return found | {channel_id: Odds(_together(parts), ways) for channel_id, parts in doors.items()}


def lately(channel_ids: Iterable[int], now: datetime) -> dict[int, Odds]:
    """The same for lists of doors, at most a minute old: it reads everybody who may open one of them.

    What is decided by the odds, and the page of one door, ask `of_channels`.
    """
    ids = sorted(channel_ids)
    key = f"odds:{current_tenant_id()}:{sha256(repr(ids).encode()).hexdigest()}"
    found: dict[int, Odds] | None = cache.get(key)
    if found is None:
        found = of_channels(ids, now)
        cache.set(key, found, _SHOWN_SECONDS)
    return found


def _as_bits(people: list[int], places: dict[int, int]) -> int:
    """A set of people as one number: uniting thousands for a thousand doors is then a matter of milliseconds."""
    numbers = [places.setdefault(person, len(places)) for person in people]
    held = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        held[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(held, "little")


def _together(parts: list[People]) -> Counter[int]:
    united: defaultdict[int, int] = defaultdict(int)
    for part in parts:
        for digits, bits in part.items():
            united[digits] |= bits
    return Counter({digits: bits.bit_count() for digits, bits in united.items()})


def busiest(channel_ids: Iterable[int] | None, now: datetime) -> int:
    """How many PINs the busiest of these keypads accepts, or the busiest of all the tenant's."""
    return max((one.count for one in of_channels(channel_ids, now).values()), default=0)


def ways_to_open() -> int:
    """How many entries open for each PIN: two where there is a duress PIN."""
    return 2 if Tenant.objects.filter(pk=current_tenant_id(), duress_enabled=True).exists() else 1


def _read(ids: list[int] | None, now: datetime) -> list[tuple[str, int, int, list[int]]]:
    sql = _SQL.format(
        where_role="" if ids is None else "AND rc.channel_id = ANY(%(ids)s)",
        where_visit="" if ids is None else "AND rr.channel_id = ANY(%(ids)s)",
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, {"tenant": current_tenant_id(), "now": now, "ids": ids})
        rows: list[tuple[str, int, int, list[int]]] = cursor.fetchall()
        return rows
