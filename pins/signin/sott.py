"""The proof that a registration comes from an application of the tenant: a period, encrypted with the pair's secret.

Format of the contract's clients: base64 of AES-256-CBC over `start#apikey#end` in UTC, `*`, and the MD5 of that text
as a check digit. One client writes the hour on a 12-hour clock without saying which half: both are meant.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from accounts import keys

_START_VALUE: Final = b"tu89geji340t89u2"
_INSTANT: Final = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})[ T](\d{1,2}):(\d{1,2}):(\d{1,2})")
# Clocks of servers differ.
_SLACK: Final = timedelta(minutes=5)
LONGEST: Final = 500


def is_good(text: str, apikey: str, *, now: datetime) -> bool:
    """Whether the proof was made with the secret of this key, for now."""
    body, _, check = text.strip().partition("*")
    if len(text) > LONGEST or not hmac.compare_digest(_md5(body), check.lower().encode()):
        return False
    try:
        sealed = base64.b64decode(body, validate=True)
    except binascii.Error:
        return False
    if not sealed or len(sealed) % 16:
        return False
    return any(_covers(_opened(sealed, secret), apikey, now) for secret in keys.secrets_of(apikey))


def _md5(body: str) -> bytes:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest().encode()


def _opened(sealed: bytes, secret: str) -> str:
    decryptor = Cipher(algorithms.AES(_key_of(secret)), modes.CBC(_START_VALUE)).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    return padded[: -padded[-1] or None].decode("utf-8", "replace")


@lru_cache(maxsize=256)
def _key_of(secret: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha1", secret.encode(), bytes(8), 10_000, 32)


def _covers(plain: str, apikey: str, now: datetime) -> bool:
    parts = plain.split("#")
    if len(parts) != 3 or parts[1].lower() != apikey.lower():
        return False
    return any(
        start - _SLACK <= now <= end + _SLACK and end - start <= timedelta(days=1)
        for start in _instants(parts[0])
        for end in _instants(parts[2])
    )


def _instants(text: str) -> Iterator[datetime]:
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        return
    year, month, day, hour, minute, second = map(int, found.groups())
    # On a 12-hour clock 12 is the hour before 1, in either half.
    for possible in {hour % 12, hour % 12 + 12} if 1 <= hour <= 12 else {hour}:
        try:
            yield datetime(year, month, day, possible, minute, second, tzinfo=UTC)
        except ValueError:
            continue
