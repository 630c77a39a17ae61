"""The keys that protect PINs. They come from the environment or a file and are never in the database.

A version is a number; new values use the current one, look-ups use every live one. From each key others are
derived, one for each use. A file that was changed while the product serves is read again within a second.
"""

import base64
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
NEWEST_POSSIBLE = 32_767
_LOOK_AGAIN_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Keyring:
    """Live keys by version, and the version that new values get."""

    keys: dict[int, bytes] = field(repr=False)
    current: int

    @cached_property
    def sealing(self) -> dict[int, bytes]:
        """What values are encrypted with, by version."""
        return self._derived(b"gatehouse seal")

    @cached_property
    def fingerprinting(self) -> dict[int, bytes]:
        """What values are found with, by version, oldest first."""
        return self._derived(b"gatehouse fingerprint")

    @cached_property
    def throttling(self) -> dict[int, bytes]:
        """What wrong entries are known again with, by version."""
        return self._derived(b"gatehouse throttle")

    @cached_property
    def wrapping(self) -> dict[int, bytes]:
        """What short secrets are wrapped with, by version: the two keys of AES-256-SIV."""
        return self._derived(b"gatehouse wrap", length=2 * KEY_BYTES)

    def _derived(self, label: bytes, length: int = KEY_BYTES) -> dict[int, bytes]:
        return {
            version: HKDF(algorithm=SHA256(), length=length, salt=None, info=label).derive(key)
            for version, key in sorted(self.keys.items())
        }


def parse(text: str, source: str) -> Keyring:
    """Read `{"keys": {"1": "<base64 of 32 bytes>"}, "current": 1}`; anything else stops the start."""
    try:
        found = json.loads(text)
        keys = {int(version): base64.b64decode(key, validate=True) for version, key in found["keys"].items()}
        current = int(found["current"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ImproperlyConfigured(
            f'{source} must hold JSON such as {{"keys": {{"1": "<base64 of 32 bytes>"}}, "current": 1}}.'
        ) from None
    for version, key in keys.items():
        if len(key) != KEY_BYTES:
            raise ImproperlyConfigured(f"{source}: PIN key {version} must be {KEY_BYTES} bytes in base64.")
        if not 1 <= version <= NEWEST_POSSIBLE:
            raise ImproperlyConfigured(f"{source}: {version} is not between 1 and {NEWEST_POSSIBLE}.")
    if current not in keys:
        raise ImproperlyConfigured(f"{source}: the current PIN key {current} is missing.")
    return Keyring(keys, current)


class _Source:
    """The keyring in use, and what it was read from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keyring: Keyring | None = None
        self._stamp: tuple[object, ...] = ()
        self._looked_at = float("-inf")

    def get(self) -> Keyring:
        ring = self._keyring
        if ring is not None and time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return ring
        with self._lock:
            return self._look()

    def _look(self) -> Keyring:
        self._looked_at = time.monotonic()
        try:
            stamp = _stamp()
            if self._keyring is None or stamp != self._stamp:
                self._keyring, self._stamp = _read(), stamp
        except ImproperlyConfigured as fault:
            if self._keyring is None:
                raise
            # Doors go on opening with the keys that were good when the product started.
            logger.warning("the PIN keys were changed and cannot be used: %s", fault)
        return self._keyring

    def look_again(self) -> Keyring:
        with self._lock:
            return self._look()

    def forget(self) -> None:
        with self._lock:
            self._keyring = None


def _stamp() -> tuple[object, ...]:
    if settings.PIN_KEYS or not settings.PIN_KEYS_FILE:
        return (settings.PIN_KEYS,)
    try:
        found = Path(settings.PIN_KEYS_FILE).stat()
    except OSError as error:
        raise _unreadable(error) from None
    return (settings.PIN_KEYS_FILE, found.st_mtime_ns, found.st_size, found.st_ino)


def _read() -> Keyring:
    if settings.PIN_KEYS:
        return parse(settings.PIN_KEYS, "PIN_KEYS")
    if not settings.PIN_KEYS_FILE:
        raise ImproperlyConfigured("Set PIN_KEYS or PIN_KEYS_FILE: PINs cannot be sealed without a key.")
    try:
        text = Path(settings.PIN_KEYS_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise _unreadable(error) from None
    return parse(text, f"PIN_KEYS_FILE {settings.PIN_KEYS_FILE}")


def _unreadable(error: Exception) -> ImproperlyConfigured:
    reason = error.strerror if isinstance(error, OSError) else "it is not text"
    return ImproperlyConfigured(f"PIN_KEYS_FILE {settings.PIN_KEYS_FILE} cannot be read: {reason}.")


_source = _Source()


def keyring() -> Keyring:
    """The keyring in use; refuses to start without a whole one."""
    return _source.get()


def keyring_with(version: int) -> Keyring:
    """The keyring in use, read again where it lacks a version that another process may have added just now."""
    ring = _source.get()
    return ring if version in ring.keys else _source.look_again()


def reload() -> None:
    """Forget the keyring, and read it again at the next use."""
    _source.forget()
