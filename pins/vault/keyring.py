"""The keys that protect PINs. They come from the environment or a file and are never in the database.

A version is a number; new values use the current one, look-ups use every live one. From each key two are derived,
one that seals and one that fingerprints.
"""

import base64
import binascii
import json
import os
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
_LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Keyring:
    """Live keys by version, and the version that new values get."""

    keys: dict[int, bytes] = field(repr=False)
    current: int

    @cached_property
    def sealing(self) -> dict[int, bytes]:
        """What values are encrypted with, by version."""
        return {version: _derive(key, b"gatehouse seal") for version, key in self.keys.items()}

    @cached_property
    def fingerprinting(self) -> dict[int, bytes]:
        """What values are found with, by version."""
        return {version: _derive(key, b"gatehouse fingerprint") for version, key in self.keys.items()}


def _derive(key: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label).derive(key)


def parse(text: str, source: str) -> Keyring:
    """Read `{"keys": {"1": "<base64 of 32 bytes>"}, "current": 1}`; anything else stops the start."""
    try:
        found: dict[str, Any] = json.loads(text)
        keys = {int(version): base64.b64decode(key, validate=True) for version, key in found["keys"].items()}
        current = int(found["current"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise ImproperlyConfigured(
            f'{source} must hold JSON such as {{"keys": {{"1": "…"}}, "current": 1}}.'
        ) from None
    if short := [version for version, key in keys.items() if len(key) != KEY_BYTES]:
        raise ImproperlyConfigured(f"{source}: PIN key {short[0]} must be {KEY_BYTES} bytes in base64.")
    if current not in keys or not all(1 <= version <= 32767 for version in keys):
        raise ImproperlyConfigured(f"{source}: the current PIN key {current} is missing.")
    return Keyring(keys, current)


class _Source:
    """The keyring in use; a file that was changed while the product serves is read again within a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._looked_at = float("-inf")
        self._keyring: Keyring | None = None

    def get(self) -> Keyring:
        moment = time.monotonic()
        if self._keyring is not None and moment - self._looked_at < _LOOK_AGAIN_SECONDS:
            return self._keyring
        with self._lock:
            self._looked_at = moment
            seen = self._stamp()
            if self._keyring is None or seen != self._seen:
                self._keyring, self._seen = self._read(), seen
            return self._keyring

    def _stamp(self) -> tuple[object, ...]:
        if settings.PIN_KEYS or not settings.PIN_KEYS_FILE:
            return (settings.PIN_KEYS,)
        try:
            found = os.stat(settings.PIN_KEYS_FILE)
        except OSError:
            return (settings.PIN_KEYS_FILE, None)
        return (settings.PIN_KEYS_FILE, found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> Keyring:
        if settings.PIN_KEYS:
            return parse(settings.PIN_KEYS, "PIN_KEYS")
        if not settings.PIN_KEYS_FILE:
            raise ImproperlyConfigured("Set PIN_KEYS or PIN_KEYS_FILE: PINs cannot be sealed without a key.")
        try:
            with open(settings.PIN_KEYS_FILE, encoding="utf-8") as file:
                return parse(file.read(), f"PIN_KEYS_FILE {settings.PIN_KEYS_FILE}")
        except OSError as error:
            raise ImproperlyConfigured(
                f"PIN_KEYS_FILE {settings.PIN_KEYS_FILE} cannot be read: {error.strerror}."
            ) from None

    def forget(self) -> None:
        self._keyring = None


_source = _Source()


def keyring() -> Keyring:
    """The keyring in use."""
    return _source.get()


def reload() -> None:
    """Read the keyring again at the next use."""
    _source.forget()
