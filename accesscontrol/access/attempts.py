"""A value is presented at a channel: decide, record, and let wrong PINs cost time, in one transaction.

At most five statements. The try is counted before its outcome is known to anybody: the row lock of the throttle
is held until the answer is committed. The reader learns admitted or rejected, never why. A duress PIN runs the
same statements as the plain one: an alarm is written by the statement that writes the event.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from accesscontrol.access import facts, repeats
from accesscontrol.access.decision import Decision, Facts, decide
from accesscontrol.access.models import Alarm, Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import SAME_USE
from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.throttle.attempts import Subject, Waiting, begin, lift, waiting
from pins.throttle.limits import Limits

# What no keypad can have as a PIN is no guess and costs nobody time.
_COULD_BE_A_PIN = re.compile(r"[0-9]{4,8}", re.ASCII)
_OUT_OF_HOURS = {
    Reason.CREDENTIAL_EXPIRED,
    Reason.PERSON_NOT_ENABLED,
    Reason.PERSON_NOT_ACTIVE,
    Reason.NOT_PERMITTED_AT_THIS_TIME,
    Reason.NOT_CHECKED_IN,
}


class NoSuchChannel(Refusal):
    code = "not_found"
    status = 404
    text = "There is no such channel."


@dataclass(frozen=True)
class Answer:
    """What the reader is told."""

    event_id: int
    admitted: bool
    person_id: int | None = None
    person_name: str = ""
    release_seconds: int | None = None
    retry_after: int | None = None


def event_code(admitted: bool, reason: Reason, type: CredentialType, *, was_open: bool = False) -> int:
    """The contract's event code."""
    if was_open:
        return 16
    if admitted:
        return 11 if type == CredentialType.PIN else 10
    if reason in _OUT_OF_HOURS:
        return 21
    if reason is Reason.LOCKDOWN:
        return 22
    return 24 if type == CredentialType.PIN else 20


def subject_of(channel_id: int) -> Subject:
    """What wrong PINs at this channel are counted under."""
    return Subject("channel", str(channel_id))


def attempt(
    channel_id: int,
    value: str,
    *,
    type: CredentialType,
    now: datetime,
    reader_key_id: int | None = None,
    attempt_id: str | None = None,
) -> Answer:
    """Decide about a presented value; the same `attempt_id` gets the same answer and costs nothing again."""
    event_id = None
    if attempt_id is not None:
        question = repeats.asked(channel_id, value, type)
        event_id = repeats.claim(channel_id, attempt_id, question, reader_key_id=reader_key_id, now=now)
        if event_id is None:
            event = repeats.answered(channel_id, attempt_id, question, reader_key_id=reader_key_id)
            if event is None:
                raise NoSuchChannel
            return _as_before(event)
    found = facts.find(channel_id, value, type=type, now=now, reader_key_id=reader_key_id)
    if found is None:
        raise NoSuchChannel
    decision, retry_after, crossed = _tried(found, value, now)
    alarm = _alarm(found, decision, crossed)
    event_id, admitted = _record(found, decision, retry_after, event_id, alarm, now)
    if not admitted:
        return Answer(event_id, admitted=False, retry_after=retry_after)
    holder = found.facts.holder
    assert holder is not None
    return Answer(
        event_id,
        admitted=True,
        person_id=holder.person_id,
        person_name=holder.person_name,
        release_seconds=found.door.release_seconds,
    )


def _tried(found: facts.Found, value: str, now: datetime) -> tuple[Decision, int | None, bool]:
    """The decision, the seconds that the channel now waits, and whether failures crossed the alarm's threshold."""
    door, known = found.door, found.facts
    if known.type == CredentialType.CARD or not (known.holder or _COULD_BE_A_PIN.fullmatch(value)):
        return decide(known, now), None, False
    limits = Limits(
        free=door.free_tries,
        first_wait=timedelta(seconds=door.first_wait_seconds),
        longest_wait=timedelta(seconds=door.longest_wait_seconds),
    )
    tried = begin(subject_of(door.channel_id), limits, now, entry=value)
    if isinstance(tried, Waiting):
        return Decision(Reason.THROTTLED), tried.retry_after, False
    decision = decide(known, now)
    if known.holder is None:
        outcome = tried.wrong()
        return decision, outcome.retry_after, outcome.crossed
    if decision.admitted:
        # The slips before it were slips of the plain PIN, also where the duress PIN was typed at last.
        tried.right(found.pin)
    else:
        # A live PIN that fails only for time or door is nobody's guess.
        tried.spared()
    return decision, None, False


def _alarm(found: facts.Found, decision: Decision, crossed: bool) -> Alarm.Kind | None:
    if found.exchanged:
        return Alarm.Kind.TAMPERING
    if crossed:
        return Alarm.Kind.GUESSING
    # Silent whether the door opens or not; only during a wait nothing is checked, duress no more than the rest.
    return Alarm.Kind.DURESS if found.is_duress and decision.reason is not Reason.THROTTLED else None


_WRITE = """
WITH {came}raised AS (
    INSERT INTO access_alarm (tenant_id, kind, site_id, channel_id, person_id, raised_at, acknowledged_reason)
    SELECT %(tenant)s, %(alarm)s, %(site)s, %(channel)s, %(in_danger)s::bigint, %(now)s, ''
    WHERE %(alarm)s::text IS NOT NULL)
INSERT INTO access_event (id, tenant_id, channel_id, person_id, credential_id, credential_type, code, admitted, reason,
                          release_seconds, retry_after, occurred_at)
VALUES (COALESCE(%(event)s::bigint, nextval(pg_get_serial_sequence('access_event', 'id'))), %(tenant)s, %(channel)s,
        %(person)s, %(credential)s, %(type)s, {outcome}, %(retry)s, %(now)s)
RETURNING id, admitted
"""

_RECORD = _WRITE.format(came="", outcome="%(code)s, %(admitted)s, %(reason)s, %(release)s")

# The visitor arrives, or a use is counted, by the statement that writes the event. Of two who use the last one at the
# same time, the second waits for the row, finds that nothing is left, and is written down as rejected.
_RECORD_VISIT = _WRITE.format(
    came="""came AS (
    UPDATE reservations_reservation SET
        arrived_at = CASE WHEN %(arrives)s THEN %(now)s ELSE arrived_at END,
        host_told_at = CASE WHEN %(arrives)s THEN NULL ELSE host_told_at END,
        no_show_at = NULL,
        uses = uses + CASE WHEN last_use_at > %(same_use)s THEN 0 ELSE 1 END,
        last_use_at = CASE WHEN last_use_at > %(same_use)s THEN last_use_at ELSE %(now)s END
    WHERE tenant_id = %(tenant)s AND id = %(visit)s
      AND (max_uses IS NULL OR uses < max_uses OR last_use_at > %(same_use)s)
    RETURNING id, uses),
-- Kept for reports on the past; a use that is the one before has its number, and is not written again.
used AS (
    INSERT INTO reservations_reservationuse (tenant_id, reservation_id, number, used_at, recorded_at)
    SELECT %(tenant)s, id, uses, %(now)s, %(now)s FROM came
    ON CONFLICT (tenant_id, reservation_id, number) DO NOTHING),
""",
    outcome="""CASE WHEN EXISTS (SELECT FROM came) THEN %(code)s ELSE %(late_code)s END, EXISTS (SELECT FROM came),
        CASE WHEN EXISTS (SELECT FROM came) THEN '' ELSE %(late_reason)s END,
        CASE WHEN EXISTS (SELECT FROM came) THEN %(release)s::integer END""",
)


def _record(
    found: facts.Found,
    decision: Decision,
    retry_after: int | None,
    event_id: int | None,
    alarm: Alarm.Kind | None,
    now: datetime,
) -> tuple[int, bool]:
    """Write the event, the alarm and what it is for the visit, in one statement; returns its id and if admitted."""
    known: Facts = found.facts
    visit = _visit_of(decision, now)
    # During a wait nothing is checked, so nothing is known of who it was.
    holder = None if decision.reason is Reason.THROTTLED else known.holder
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD_VISIT if visit else _RECORD,
            visit
            | {
                "event": event_id,
                "tenant": current_tenant_id(),
                "site": found.door.site_id,
                "channel": found.door.channel_id,
                "person": holder.person_id if holder else None,
                "credential": holder.credential_id if holder else None,
                "type": int(known.type),
                "code": event_code(decision.admitted, decision.reason, known.type, was_open=decision.was_open),
                "admitted": decision.admitted,
                "reason": decision.reason.value,
                "release": found.door.release_seconds if decision.admitted else None,
                "retry": retry_after,
                "alarm": alarm.value if alarm else None,
                "in_danger": holder.person_id if holder and alarm is Alarm.Kind.DURESS else None,
                "now": now,
            },
        )
        event_id, admitted = cursor.fetchone()
        return int(event_id), bool(admitted)


def _visit_of(decision: Decision, now: datetime) -> dict[str, Any]:
    """What an admission changes of its visit; empty where that is nothing."""
    grant = decision.grant
    if not decision.admitted or grant is None or grant.reservation_id is None:
        return {}
    arrives = grant.attendance.is_arrival(now)
    if not arrives and grant.attendance.max_uses is None:
        return {}
    late = Reason.CREDENTIAL_EXPIRED
    return {
        "visit": grant.reservation_id,
        "arrives": arrives,
        "same_use": now - SAME_USE,
        "late_reason": late.value,
        "late_code": 21,
    }


def _as_before(event: Event) -> Answer:
    person: Person | None = event.person if event.admitted else None
    return Answer(
        event.pk,
        admitted=event.admitted,
        person_id=person.pk if person else None,
        person_name=person.name if person else "",
        release_seconds=event.release_seconds,
        retry_after=event.retry_after,
    )


def lift_wait(channel: Channel, *, by: audit.Actor, now: datetime) -> bool:
    """End a channel's wait after wrong PINs; says whether there was one."""
    lifted = lift(subject_of(channel.pk))
    if lifted:
        audit.record("lift", "channel", channel.pk, by=by, now=now, fields=["wait"])
    return lifted


def guessed_at(now: datetime) -> set[int]:
    """The channels that wait after wrong PINs, or have an open alarm of guessing."""
    alarms = Alarm.objects.filter(kind=Alarm.Kind.GUESSING, acknowledged_at=None, channel__isnull=False)
    waits = {int(channel_id) for channel_id in waiting("channel", now)}
    return waits | set(alarms.values_list("channel_id", flat=True))
