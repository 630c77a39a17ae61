"""Short secrets in a text column of a library, wrapped with AES-256-SIV for the one holder whom they are bound to.

Layout, in hexadecimal digits: key version (2 bytes), synthetic nonce that is the tag too (16), the secret. A column of
80 digits holds 22 bytes: a nonce and a tag of their own, as in `sealing`, would not fit.
"""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from pins.vault.keyring import keyring, keyring_with
from pins.vault.sealing import Tampered

_HEAD = struct.Struct(">H")


def wrap(secret: bytes, *, bound: str) -> str:
    """Encrypt for this holder under the current key."""
    ring = keyring()
    head = _HEAD.pack(ring.current)
    return (head + AESSIV(ring.wrapping[ring.current]).encrypt(secret, [head, bound.encode()])).hex()


def unwrap(text: str, *, bound: str) -> bytes:
    """Decrypt what was wrapped for this holder; raises Tampered for anything else."""
    version = version_of(text)
    key = keyring_with(version).wrapping.get(version)
    if key is None:
        raise Tampered(f"a wrapped secret needs PIN key {version}, which the keyring lacks")
    wrapped = bytes.fromhex(text)
    try:
        return AESSIV(key).decrypt(wrapped[_HEAD.size :], [wrapped[: _HEAD.size], bound.encode()])
    except (InvalidTag, ValueError):
        raise Tampered("a wrapped secret does not open for its holder") from None


def version_of(text: str) -> int:
    """The version of the key that a secret is wrapped under; raises Tampered where it is no wrapped secret."""
    try:
        return int(_HEAD.unpack_from(bytes.fromhex(text))[0])
    except (ValueError, struct.error):
        raise Tampered("not a wrapped secret") from None
