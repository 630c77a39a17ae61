"""Everything the rule needs, in one query: channel, credential, person, and their rights at this channel.

Written as SQL because the door waits for it: one round trip, one index probe per join, whatever the number of
people, credentials and events. The rule itself stands in `decision`.
"""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from accesscontrol.access.decision import Attendance, Facts, Grant, Holder
from accesscontrol.credentials.lifecycle import TABLE
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.holidays import clocks
from accesscontrol.doors.hours import Holiday, OnHoliday, Stretch
from accesscontrol.doors.models import standing
from accounts.tenancy import current_tenant_id
from pins.policy import duress
from pins.vault.fingerprints import digests
from pins.vault.models import Fingerprint
from pins.vault.sealing import Tampered, open_sealed

logger = logging.getLogger(__name__)


def _held(table: str) -> str:
    return f"{table}.started_at <= %(now)s AND ({table}.ended_at IS NULL OR {table}.ended_at > %(now)s)"


def _hours(shift: str) -> str:
    return f"""CASE WHEN {shift} IS NULL THEN NULL ELSE COALESCE(
        (SELECT json_agg(json_build_array(st.weekday, st.start_time, st.end_time, st.on_holiday))
         FROM doors_shifttime st
         WHERE st.tenant_id = c.tenant_id AND st.shift_id = {shift} AND {_held("st")}), '[]'::json) END"""


_HAS_ROLE = f"""(
    EXISTS (SELECT FROM people_personrole pr
            WHERE pr.tenant_id = c.tenant_id AND pr.person_id = p.id AND {_held("pr")} {{role_of_person}})
    OR EXISTS (SELECT FROM people_groupmembership gm
               JOIN people_grouprole gr ON gr.tenant_id = gm.tenant_id AND gr.group_id = gm.group_id
               WHERE gm.tenant_id = c.tenant_id AND gm.person_id = p.id AND {_held("gm")} AND {_held("gr")}
               {{role_of_group}}))"""

_SQL = f"""
SELECT c.site_id, s.time_zone, c.state, c.relock_at, {_hours("c.auto_unlock_shift_id")}, c.release_seconds,
       c.free_tries, c.first_wait_seconds, c.longest_wait_seconds,
       -- One that is over where the day ends last matters no more: a stretch of yesterday may still be open.
       (SELECT json_agg(json_build_array(h.first_day, h.last_day, h.is_yearly, h.hours)) FROM doors_holiday h
        WHERE h.tenant_id = c.tenant_id AND h.site_id = c.site_id AND {_held("h")}
          AND (h.is_yearly OR h.last_day >= (%(now)s::timestamptz AT TIME ZONE 'UTC')::date - 3)),
       cr.id, cr.sealed, found.kind, cr.type, cr.enabled, cr.ends_at,
       p.id, p.first_name, p.last_name, p.enabled AND p.deleted_at IS NULL, p.valid_from, p.valid_to,
       (SELECT json_agg(json_build_array(rc.role_id, {_hours("rc.shift_id")}))
        FROM doors_rolechannel rc
        WHERE rc.tenant_id = c.tenant_id AND rc.channel_id = c.id AND {_held("rc")}
          AND {
    _HAS_ROLE.format(role_of_person="AND pr.role_id = rc.role_id", role_of_group="AND gr.role_id = rc.role_id")
}),
       (SELECT json_agg(json_build_array(r.id, {_hours("r.shift_id")}, r.shift_id IS NOT NULL, COALESCE(
           (SELECT r.grace_seconds FROM doors_shift own
            WHERE own.tenant_id = c.tenant_id AND own.id = r.shift_id AND own.is_private), 0),
           r.needs_check_in, r.checked_in_at, r.checked_out_at, r.arrived_at, r.max_uses, r.uses, r.last_use_at))
        FROM reservations_reservation r
        JOIN reservations_reservationchannel rr
          ON rr.tenant_id = r.tenant_id AND rr.reservation_id = r.id AND rr.ended_at IS NULL
        WHERE r.tenant_id = c.tenant_id AND r.person_id = p.id AND rr.channel_id = c.id
          AND r.cancelled_at IS NULL AND r.start_time - make_interval(secs => r.grace_seconds) <= %(now)s
          AND r.end_time > %(now)s),
       EXISTS (SELECT FROM reservations_reservation r
               JOIN reservations_reservationchannel rr
                 ON rr.tenant_id = r.tenant_id AND rr.reservation_id = r.id AND rr.ended_at IS NULL
               WHERE r.tenant_id = c.tenant_id AND r.person_id = p.id AND rr.channel_id = c.id
                 AND r.cancelled_at IS NULL AND r.end_time > cr.created_at),
       cr.expired_at IS NOT NULL OR (
           NOT {_HAS_ROLE.format(role_of_person="", role_of_group="")}
           AND (SELECT max(LEAST(r.end_time, r.cancelled_at)) FROM reservations_reservation r
                WHERE r.tenant_id = c.tenant_id AND r.person_id = p.id
                  AND LEAST(r.end_time, r.cancelled_at) > cr.created_at) <= %(now)s)
FROM doors_channel c
JOIN accounts_site s ON s.tenant_id = c.tenant_id AND s.id = c.site_id
LEFT JOIN LATERAL ({{found}} LIMIT 1) found ON true
LEFT JOIN credentials_credential cr
  ON cr.tenant_id = c.tenant_id AND cr.id = found.holder_id AND cr.type = found.type AND cr.sealed IS NOT NULL
LEFT JOIN people_person p ON p.tenant_id = cr.tenant_id AND p.id = cr.person_id
WHERE c.id = %(channel)s
  AND (%(reader)s::bigint IS NULL OR EXISTS (
      SELECT FROM doors_readerchannel k
      WHERE k.tenant_id = c.tenant_id AND k.api_key_id = %(reader)s AND k.channel_id = c.id))
"""

# The credential whose value was presented.
_BY_VALUE = _SQL.format(
    found="""
    SELECT f.holder_id, f.kind, %(type)s::smallint AS type
    FROM unnest(%(versions)s::smallint[], %(digests)s::bytea[]) AS d (version, digest)
    JOIN vault_fingerprint f
      ON f.tenant_id = c.tenant_id AND f.key_version = d.version AND f.digest = d.digest"""
)

# The credential that a person has: one that works before one that does not, a PIN before a card.
_BY_PERSON = _SQL.format(
    found="""
    SELECT held.id AS holder_id, 'plain' AS kind, held.type FROM credentials_credential held
    WHERE held.tenant_id = c.tenant_id AND held.person_id = %(person)s AND held.sealed IS NOT NULL
    ORDER BY held.enabled AND (held.ends_at IS NULL OR held.ends_at > %(now)s) DESC, held.type DESC, held.id DESC"""
)


@dataclass(frozen=True)
class Door:
    """What the channel itself says, beside the facts for the rule."""

    channel_id: int
    site_id: int
    release_seconds: int
    free_tries: int
    first_wait_seconds: int
    longest_wait_seconds: int


@dataclass(frozen=True)
class Found:
    """One answer of the query; `exchanged` when the stored value is not the one whose fingerprint led to it.

    `pin` is the holder's plain PIN: what was presented, unless that was the duress PIN (`is_duress`).
    """

    door: Door
    facts: Facts
    exchanged: bool = False
    is_duress: bool = False
    pin: str | None = field(default=None, repr=False)


def find(
    channel_id: int, value: str, *, type: CredentialType, now: datetime, reader_key_id: int | None = None
) -> Found | None:
    """Facts about a presented value at a channel; None where the channel is absent or not this reader's."""
    by_version = digests(value, type=type.slug)
    with connection.cursor() as cursor:
        cursor.execute(
            _BY_VALUE,
            {
                "now": now,
                "channel": channel_id,
                "reader": reader_key_id,
                "type": int(type),
                "versions": list(by_version),
                "digests": list(by_version.values()),
            },
        )
        row = cursor.fetchone()
    if row is None:
        return None
    door, facts, sealed, kind = _read(row, channel_id, type, now)
    if facts.holder is None:
        return Found(door, facts)
    is_duress = kind == Fingerprint.Kind.DURESS
    kept = _genuine(sealed, value, facts.holder.credential_id, is_duress=is_duress)
    if kept is None:
        return Found(door, replace(facts, holder=None, grants=(), has_other_time=False), exchanged=True)
    return Found(door, facts, is_duress=is_duress, pin=kept)


def of_person(channel_id: int, person_id: int, *, now: datetime) -> Facts | None:
    """Facts about a person at a channel, as if they presented what they have; None where there is no such channel."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_PERSON, {"now": now, "channel": channel_id, "reader": None, "person": person_id})
        row = cursor.fetchone()
    return None if row is None else _read(row, channel_id, CredentialType.PIN, now)[1]


def _read(row: Sequence[Any], channel_id: int, type: CredentialType, now: datetime) -> tuple[Door, Facts, bytes, str]:
    """A row of the query: the door, the facts, and the sealed value with the kind of fingerprint that led to it."""
    site_id, zone, state, relock_at, auto_unlock, release, *rest = row
    free, first, longest, holidays, credential_id, sealed, kind, held, *rest = rest
    door = Door(channel_id, site_id, release, free, first, longest)
    facts = Facts(
        type=type if held is None else CredentialType(held),
        zone=ZoneInfo(zone),
        state=standing(state, relock_at, now),
        auto_unlock=_stretches(auto_unlock),
        holidays=tuple(_holiday(*row) for row in holidays or ()),
        holder=None,
    )
    if credential_id is None:
        return door, facts, b"", ""
    (
        enabled,
        ends_at,
        person_id,
        first_name,
        last_name,
        person_enabled,
        valid_from,
        valid_to,
        roles,
        reserved,
        other,
        over,
    ) = rest
    holder = Holder(
        credential_id=credential_id,
        credential_enabled=enabled,
        ends_at=ends_at,
        is_expired=bool(over),
        person_id=person_id,
        person_name=f"{first_name} {last_name}".strip(),
        person_enabled=person_enabled,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    grants = [Grant(_stretches(hours), role_id=role_id) for role_id, hours in roles or ()]
    grants += [_reserved(row) for row in reserved or ()]
    return door, replace(facts, holder=holder, grants=grants, has_other_time=other), bytes(sealed), kind


def _reserved(row: Sequence[Any]) -> Grant:
    number, hours, comes_back, early, needs_check_in, came, left, arrived, max_uses, uses, last_use = row
    return Grant(
        _stretches(hours),
        reservation_id=number,
        attendance=Attendance(
            comes_back=comes_back,
            early=timedelta(seconds=early),
            needs_check_in=needs_check_in,
            checked_in_at=_instant(came),
            checked_out_at=_instant(left),
            arrived_at=_instant(arrived),
            max_uses=max_uses,
            uses=uses,
            last_use_at=_instant(last_use),
        ),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _stretches(hours: Sequence[Sequence[Any]] | None) -> tuple[Stretch, ...] | None:
    if hours is None:
        return None
    return tuple(
        Stretch(weekday, time.fromisoformat(start_time), time.fromisoformat(end_time), OnHoliday(on_holiday))
        for weekday, start_time, end_time, on_holiday in hours
    )


def _holiday(first_day: str, last_day: str, is_yearly: bool, hours: list[list[str]]) -> Holiday:
    return Holiday(date.fromisoformat(first_day), date.fromisoformat(last_day), is_yearly, clocks(hours))


def _genuine(sealed: bytes, value: str, credential_id: int, *, is_duress: bool) -> str | None:
    """The sealed value, if what was presented stands for it: rows that were exchanged in the database open nothing."""
    try:
        kept = open_sealed(sealed, tenant_id=current_tenant_id(), table=TABLE, row_id=credential_id)
    except Tampered:
        kept = ""
    # A row that was tampered with may call a card's fingerprint one of duress.
    meant = duress(kept) if is_duress and kept.isdecimal() else kept
    if hmac.compare_digest(meant.encode(), value.encode()):
        return kept
    logger.error("credential %s does not hold the value that its fingerprint stands for", credential_id)
    return None
