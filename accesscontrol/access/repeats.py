"""A reader that did not get its answer asks again with the same `attempt_id`: one event, one penalty, one answer.

The answer holds for ten minutes and for the same value only. A reader whose counter starts anew must neither open
for somebody else nor for a PIN that was revoked meanwhile.
"""

import hmac
from datetime import datetime, timedelta

from django.db import connection

from accesscontrol.access.models import Attempt, Event
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import ReaderChannel
from accounts.refusals import Refusal
from pins.throttle.attempts import Subject, digest_of

SAME_ANSWER_FOR = timedelta(minutes=10)

_CLAIM = """
INSERT INTO access_attempt (tenant_id, channel_id, attempt_id, asked, event_id, occurred_at)
SELECT c.tenant_id, c.id, %(attempt_id)s, %(asked)s, nextval(pg_get_serial_sequence('access_event', 'id')), %(now)s
FROM doors_channel c
WHERE c.id = %(channel)s
  AND (%(reader)s::bigint IS NULL OR EXISTS (
      SELECT FROM doors_readerchannel k
      WHERE k.tenant_id = c.tenant_id AND k.api_key_id = %(reader)s AND k.channel_id = c.id))
ON CONFLICT (tenant_id, channel_id, attempt_id) DO UPDATE
SET asked = EXCLUDED.asked, event_id = EXCLUDED.event_id, occurred_at = EXCLUDED.occurred_at
WHERE access_attempt.occurred_at <= %(before)s
RETURNING event_id
"""


class AttemptIdReused(Refusal):
    code = "attempt_id_reused"
    status = 409
    field = "attempt_id"
    text = "This attempt_id was used for another value."


def asked(channel_id: int, value: str, type: CredentialType) -> bytes:
    """A keyed digest of the question: enough to know it again."""
    return digest_of(Subject("attempt", str(channel_id)), f"{type.slug}|{value}")


def claim(channel_id: int, attempt_id: str, question: bytes, *, reader_key_id: int | None, now: datetime) -> int | None:
    """Claim an attempt id, with the id of its event to be; None when it was answered within ten minutes."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "attempt_id": attempt_id,
                "asked": question,
                "now": now,
                "channel": channel_id,
                "reader": reader_key_id,
                "before": now - SAME_ANSWER_FOR,
            },
        )
        row = cursor.fetchone()
    return row[0] if row else None


def answered(channel_id: int, attempt_id: str, question: bytes, *, reader_key_id: int | None) -> Event | None:
    """The event that this attempt id led to, None where the channel is not this reader's; refuses another value."""
    bound = ReaderChannel.objects.filter(api_key_id=reader_key_id, channel_id=channel_id)
    attempt = Attempt.objects.filter(channel_id=channel_id, attempt_id=attempt_id).first()
    if attempt is None or (reader_key_id is not None and not bound.exists()):
        return None
    if not hmac.compare_digest(bytes(attempt.asked), question):
        raise AttemptIdReused
    event: Event = Event.objects.select_related("person").get(pk=attempt.event_id, occurred_at=attempt.occurred_at)
    return event
