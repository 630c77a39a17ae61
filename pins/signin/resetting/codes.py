"""The code that resets a PIN: six digits, minutes to live, five tries, one use. A resend takes its place."""

import hmac
import json
from datetime import datetime
from enum import StrEnum
from typing import Final

from accounts import keys
from accounts.tenancy import current_tenant_id
from pins.generator import Space, draw
from pins.signin.models import ResetCode, SignInSettings, Subscriber

LENGTH: Final = 6
MOST_TRIES: Final = 5


class Found(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    USED = "used"
    OVER = "over"


def issue(subscriber: Subscriber, medium: str, settings: SignInSettings, *, now: datetime) -> tuple[str, datetime]:
    """A new code for an account, in the place of the one before, and when it ends."""
    value = draw(Space(LENGTH))
    ends = now + settings.otp_life
    ResetCode.objects.update_or_create(
        subscriber=subscriber,
        medium=medium,
        defaults={
            "digest": keys.digest(_text(subscriber.pk, medium, value)),
            "tries": 0,
            "created_at": now,
            "expires_at": ends,
            "used_at": None,
        },
    )
    return value, ends


# Counted before it is looked at: parallel tries stand in line at the row.
_COUNT = """
    UPDATE signin_resetcode SET tries = LEAST(tries + 1, 1000)
     WHERE tenant_id = %(tenant)s AND subscriber_id = %(subscriber)s AND medium = %(medium)s
    RETURNING *
"""


def find(subscriber: Subscriber | None, medium: str, value: str, *, now: datetime) -> tuple[Found, ResetCode | None]:
    """Try a code; used and over are told only to whoever shows the right one. Nobody's takes as long."""
    number = subscriber.pk if subscriber else 0
    wanted = {"tenant": current_tenant_id(), "subscriber": number, "medium": medium}
    code: ResetCode | None = next(iter(ResetCode.objects.raw(_COUNT, wanted)), None)
    held = bytes(code.digest) if code else bytes(32)
    is_right = any(hmac.compare_digest(held, digest) for digest in keys.digests(_text(number, medium, value)))
    if code is None or not is_right or code.tries > MOST_TRIES:
        return Found.WRONG, None
    if code.used_at is not None:
        return Found.USED, None
    if now >= code.expires_at:
        return Found.OVER, None
    return Found.RIGHT, code


def use(code: ResetCode, *, now: datetime) -> None:
    """A code that worked works no more."""
    code.used_at = now
    code.save(update_fields=["used_at"])


def _text(subscriber_id: int, medium: str, value: str) -> str:
    return json.dumps(["reset code", current_tenant_id(), subscriber_id, medium, value])
