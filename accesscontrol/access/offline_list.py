"""Who opens a channel, for a controller that must decide alone while the server is away: entries with a version.

The list is computed from the rights as they stand and compared with the entries that are kept; what differs gets the
next version, under a lock. So versions are in the order of their commits, and a cursor that stands at one misses
nothing. Whether there is anything to compute is asked of AuditEvents by transaction: below the horizon that was taken
before the list was computed every transaction was over, so whatever came later has a number at or above it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q

from accesscontrol.access import following
from accesscontrol.access.models import OfflineEntry, OfflineList
from accesscontrol.doors import holidays
from accesscontrol.doors.hours import holiday_on
from accesscontrol.doors.models import Channel, ShiftTime
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import SAME_STAY
from accounts.models import AuditEvent, Site
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id

# How far a controller knows the holidays of its site: longer than any outage.
_HOLIDAYS_AHEAD_DAYS = 400
# Whatever no AuditEvent tells of, such as a right that is over, is found so late.
COMPUTED_EVERY = timedelta(minutes=5)
# What changes who may open a door.
_TELLING = Q(
    subject_type__in=(
        "person",
        "credential",
        "reservation",
        "group_reservation",
        "group",
        "role",
        "shift",
        "channel",
        "tenant",
    )
) & ~Q(verb__in=("reveal", "deliver", "not_delivered", "refuse", "lift", "admit", "admit_person"))


class KeepsNoList(Refusal):
    code = "offline_list_off"
    status = 409
    text = "This door is not set to work through an outage."


@dataclass(frozen=True)
class Place:
    """How far a controller has read: everything up to a version, and of the next one up to a credential."""

    version: int = 0
    credential_id: int = 0


@transaction.atomic
def refresh(channel: Channel, now: datetime) -> OfflineList:
    """The list of a channel, computed anew where something may have changed."""
    if not channel.keeps_offline_list:
        raise KeepsNoList
    OfflineList.objects.bulk_create([OfflineList(channel=channel)], ignore_conflicts=True)
    kept = OfflineList.objects.select_for_update(of=("self",)).get(channel=channel)
    horizon = following.horizon()
    if kept.computed_at is not None and now < kept.computed_at + COMPUTED_EVERY and not _something_changed(kept):
        return kept
    wanted = dict(_entries(channel.pk, now))
    known = {row.credential_id: row.facts for row in OfflineEntry.objects.filter(channel=channel)}
    changed: dict[int, Any] = {pk: facts for pk, facts in wanted.items() if known.get(pk) != facts}
    changed |= {pk: None for pk, facts in known.items() if facts is not None and pk not in wanted}
    if changed:
        kept.version += 1
        OfflineEntry.objects.bulk_create(
            [
                OfflineEntry(channel=channel, credential_id=pk, facts=facts, version=kept.version)
                for pk, facts in changed.items()
            ],
            update_conflicts=True,
            unique_fields=["tenant", "channel", "credential"],
            update_fields=["facts", "version"],
            batch_size=2000,
        )
    kept.horizon, kept.computed_at = horizon, now
    kept.save(update_fields=["version", "horizon", "computed_at"])
    return kept


def page(channel: Channel, after: Place | None, most: int) -> list[OfflineEntry]:
    """The entries past a place, in the order of their changes; from the beginning without what was taken away."""
    rows = OfflineEntry.objects.filter(channel=channel).select_related("credential")
    if after is None:
        rows = rows.filter(facts__isnull=False)
    else:
        beyond = Q(version__gt=after.version) | Q(version=after.version, credential_id__gt=after.credential_id)
        rows = rows.filter(beyond, version__gte=after.version)
    return list(rows.order_by("version", "credential_id")[:most])


def taken(kept: OfflineList, version: int) -> None:
    """A controller has shown that it has everything up to a version."""
    OfflineList.objects.filter(pk=kept.pk, taken_version__lt=version).update(taken_version=version)


def behind(channel_ids: Iterable[int]) -> set[int]:
    """Which of these channels have a list that no controller has taken whole."""
    rows = OfflineList.objects.filter(channel_id__in=list(channel_ids), taken_version__lt=F("version"))
    return set(rows.values_list("channel_id", flat=True))


def outdated(channel_ids: Iterable[int]) -> set[int]:
    """Which of these channels have a list that something may have changed since it was computed."""
    since = AuditEvent.objects.filter(_TELLING, tenant_id=OuterRef("tenant_id"), xact_id__gte=OuterRef("horizon"))
    rows = OfflineList.objects.filter(Exists(since), channel_id__in=list(channel_ids))
    return set(rows.values_list("channel_id", flat=True))


def hours_of(shift_id: int | None) -> list[list[Any]] | None:
    """Weekly hours as a list has them; None is always, an empty list never."""
    return _all_hours([shift_id]).get(shift_id, []) if shift_id is not None else None


def holidays_of(site: Site, now: datetime) -> list[dict[str, Any]]:
    """The holidays of a site day by day, so that a controller need not know which of two goes first."""
    known = holidays.of_site(site.pk)
    # A stretch that began on the day before may still be open.
    yesterday = now.astimezone(site.zone).date() - timedelta(days=1)
    found = []
    for day in (yesterday + timedelta(days=number) for number in range(_HOLIDAYS_AHEAD_DAYS)) if known else ():
        holiday = holiday_on(day, known)
        if holiday is not None:
            hours = [[start.isoformat(), end.isoformat()] for start, end in holiday.hours]
            found.append({"day": day.isoformat(), "hours": hours})
    return found


def _something_changed(kept: OfflineList) -> bool:
    return AuditEvent.objects.filter(_TELLING, xact_id__gte=kept.horizon).exists()


_ALIVE = "({0}.ended_at IS NULL OR {0}.ended_at > %(now)s)"
_GRANTS = f"""
    SELECT pr.person_id, rc.role_id, NULL::bigint AS reservation_id, rc.shift_id, false AS awaits, 0 AS early,
           GREATEST(pr.started_at, rc.started_at) AS since, LEAST(pr.ended_at, rc.ended_at) AS until
    FROM doors_rolechannel rc
    JOIN people_personrole pr ON pr.tenant_id = rc.tenant_id AND pr.role_id = rc.role_id
    WHERE rc.tenant_id = %(tenant)s AND rc.channel_id = %(channel)s
      AND {_ALIVE.format("rc")} AND {_ALIVE.format("pr")}
    UNION ALL
    SELECT gm.person_id, rc.role_id, NULL, rc.shift_id, false, 0,
           GREATEST(gm.started_at, gr.started_at, rc.started_at), LEAST(gm.ended_at, gr.ended_at, rc.ended_at)
    FROM doors_rolechannel rc
    JOIN people_grouprole gr ON gr.tenant_id = rc.tenant_id AND gr.role_id = rc.role_id
    JOIN people_groupmembership gm ON gm.tenant_id = gr.tenant_id AND gm.group_id = gr.group_id
    WHERE rc.tenant_id = %(tenant)s AND rc.channel_id = %(channel)s
      AND {_ALIVE.format("rc")} AND {_ALIVE.format("gr")} AND {_ALIVE.format("gm")}
    UNION ALL
    SELECT r.person_id, NULL, r.id, r.shift_id, r.needs_check_in AND NOT here.is_checked_in,
           CASE WHEN own.id IS NULL THEN 0 ELSE r.grace_seconds END,
           GREATEST(
               r.start_time - make_interval(secs => r.grace_seconds),
               -- Who has left for today comes again tomorrow.
               CASE WHEN r.shift_id IS NOT NULL AND NOT here.is_checked_in THEN
                   (date_trunc('day', r.checked_out_at AT TIME ZONE s.time_zone) + interval '1 day')
                   AT TIME ZONE s.time_zone END),
           LEAST(
               r.end_time,
               -- A check-in is of one stay.
               CASE WHEN r.shift_id IS NOT NULL AND r.needs_check_in AND here.is_checked_in
                   THEN r.checked_in_at + make_interval(secs => %(stay)s) END)
    FROM reservations_reservationchannel rr
    JOIN reservations_reservation r ON r.tenant_id = rr.tenant_id AND r.id = rr.reservation_id
    JOIN doors_channel c ON c.tenant_id = rr.tenant_id AND c.id = rr.channel_id
    JOIN accounts_site s ON s.tenant_id = c.tenant_id AND s.id = c.site_id
    -- Hours of the visit's own open early each time, as its start does; hours that others share do not.
    LEFT JOIN doors_shift own ON own.tenant_id = r.tenant_id AND own.id = r.shift_id AND own.is_private
    CROSS JOIN LATERAL (
        SELECT r.checked_in_at IS NOT NULL AND (r.checked_out_at IS NULL OR r.checked_out_at < r.checked_in_at)
               AND (r.shift_id IS NULL OR r.checked_in_at > %(now)s - make_interval(secs => %(stay)s))
               AS is_checked_in) here
    WHERE rr.tenant_id = %(tenant)s AND rr.channel_id = %(channel)s AND rr.ended_at IS NULL
      AND r.cancelled_at IS NULL AND r.end_time > %(now)s
      -- Uses are counted by the server alone: what is limited does not open without it.
      AND r.max_uses IS NULL
"""
# By their ids, so that a table that nobody has analysed yet is still asked by its indexes.
_PEOPLE = """
SELECT id, enabled, valid_from, valid_to, kind FROM people_person
WHERE tenant_id = %(tenant)s AND id = ANY(%(people)s::bigint[]) AND deleted_at IS NULL
"""
_CREDENTIALS = """
SELECT id, person_id, type, enabled, ends_at FROM credentials_credential
WHERE tenant_id = %(tenant)s AND person_id = ANY(%(people)s::bigint[]) AND sealed IS NOT NULL
  AND (ends_at IS NULL OR ends_at > %(now)s)
"""


def _entries(channel_id: int, now: datetime) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every credential with a right here now or to come, with what the rule needs to know of it."""
    tenant_id = current_tenant_id()
    with connection.cursor() as cursor:
        cursor.execute(
            _GRANTS, {"tenant": tenant_id, "channel": channel_id, "now": now, "stay": SAME_STAY.total_seconds()}
        )
        granted = cursor.fetchall()
        people = {person_id for person_id, *_ in granted}
        cursor.execute(_PEOPLE, {"tenant": tenant_id, "people": list(people)})
        states = {person_id: state for person_id, *state in cursor.fetchall()}
        cursor.execute(_CREDENTIALS, {"tenant": tenant_id, "people": list(states), "now": now})
        credentials = cursor.fetchall()
    hours = _all_hours({row[3] for row in granted if row[3] is not None})
    grants: dict[int, list[dict[str, Any]]] = {person_id: [] for person_id in people}
    # In one order, so that what has not changed compares equal.
    for person_id, role_id, reservation_id, shift_id, awaits, early, since, until in sorted(granted, key=repr):
        grants[person_id].append(
            {
                "role_id": role_id,
                "reservation_id": reservation_id,
                "from": _text(since),
                "until": _text(until),
                "hours": None if shift_id is None else hours.get(shift_id, []),
                "early_seconds": early,
                "awaits_check_in": awaits,
            }
        )
    for pk, person_id, credential_type, enabled, ends_at in credentials:
        person_enabled, valid_from, valid_to, kind = states[person_id]
        yield (
            pk,
            {
                "type": credential_type,
                "enabled": enabled,
                "ends_at": _text(ends_at),
                "person_enabled": person_enabled,
                "valid_from": _text(valid_from),
                "valid_to": _text(valid_to),
                "is_visitor": kind == Person.Kind.VISITOR,
                "grants": grants[person_id],
            },
        )


def _all_hours(shift_ids: Iterable[int]) -> dict[int, list[list[Any]]]:
    found: dict[int, list[list[Any]]] = {}
    rows = ShiftTime.objects.filter(shift_id__in=list(shift_ids), ended_at=None).order_by("weekday", "start_time")
    for row in rows:
        stretch = [row.weekday, row.start_time.isoformat(), row.end_time.isoformat(), row.on_holiday]
        found.setdefault(row.shift_id, []).append(stretch)
    return found


def _text(moment: datetime | None) -> str | None:
    # To the microsecond: a right begins and ends for the controller when it does for the server.
    return moment.astimezone(UTC).isoformat() if moment else None
