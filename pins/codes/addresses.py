"""Where a code is sent, and how many codes one address gets in a day: nobody's telephone is flooded from here."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.db import connection

from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.vault.keyring import keyring


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Who gets a code: `medium` is email or sms, `address` an e-mail address or +49…."""

    medium: str
    address: str
    language: str = "en"


class AddressLimitExceeded(Refusal):
    code = "address_limit_exceeded"
    status = 429
    field = "deliver"
    text = "Too many codes were sent to this address today."


# The row lock makes parallel requests for one address stand in line until each is committed.
_COUNT = """
    INSERT INTO codes_addressday AS counted (tenant_id, digest, day, codes) VALUES (%s, %s, %s, 1)
    ON CONFLICT (tenant_id, digest, day) DO UPDATE SET codes = counted.codes + 1
    RETURNING id, codes
"""


def count(receiver: Receiver, *, by: audit.Actor, now: datetime) -> None:
    """Count a code for this address; refuses past CODES_PER_ADDRESS_PER_DAY, days being those of UTC."""
    day = now.astimezone(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [current_tenant_id(), _digest(receiver), day])
        row_id, codes = cursor.fetchone()
    over = codes - settings.CODES_PER_ADDRESS_PER_DAY
    if over == 1:
        audit.record("cap", "code_address", row_id, by=by, now=now)
    if over > 0:
        midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
        raise AddressLimitExceeded(retry_after=max(1, int((midnight - now).total_seconds())))


def _digest(receiver: Receiver) -> bytes:
    keys = keyring().fingerprinting
    text = f"code address|{current_tenant_id()}|{receiver.medium}|{receiver.address.lower()}"
    # The oldest live key: another current key must not start the day anew.
    return hmac.digest(keys[min(keys)], text.encode(), "sha256")
