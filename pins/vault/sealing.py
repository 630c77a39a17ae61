"""Values sealed with AES-256-GCM-SIV for the one row that holds them: moved to another row they do not open.

Layout: format (1 byte), key version (2), nonce (12), ciphertext of the padded value with its tag. The padding to
multiples of 16 bytes hides how long a PIN is.
"""

import json
import secrets
import struct
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from pins.vault.keyring import keyring, keyring_with

FORMAT = 1
_HEAD = struct.Struct(">BH")
_NONCE_BYTES = 12
_BLOCK = 16


class Tampered(Exception):
    """A sealed value does not open for this row: it was changed, exchanged, or its key is gone."""


def seal(text: str, *, tenant_id: int, table: str, row_id: int | str) -> bytes:
    """Encrypt for this row under the current key."""
    ring = keyring()
    head = _HEAD.pack(FORMAT, ring.current)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    bound = _bound(head, tenant_id, table, row_id)
    return head + nonce + AESGCMSIV(ring.sealing[ring.current]).encrypt(nonce, _padded(text.encode()), bound)


def open_sealed(sealed: bytes, *, tenant_id: int, table: str, row_id: int | str) -> str:
    """Decrypt what was sealed for this row; raises Tampered for anything else."""
    head, rest = sealed[: _HEAD.size], sealed[_HEAD.size :]
    version = key_version_of(sealed)
    key = keyring_with(version).sealing.get(version)
    if key is None:
        raise Tampered(f"a sealed value in {table} needs PIN key {version}, which the keyring lacks")
    try:
        padded = AESGCMSIV(key).decrypt(
            rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound(head, tenant_id, table, row_id)
        )
    except (InvalidTag, ValueError):
        raise Tampered(f"a sealed value in {table} does not open for its row") from None
    return padded[4 : 4 + int.from_bytes(padded[:4])].decode()


def seal_json(value: Any, *, tenant_id: int, table: str, row_id: int | str) -> bytes:
    """Encrypt a JSON value for this row."""
    return seal(json.dumps(value, ensure_ascii=False), tenant_id=tenant_id, table=table, row_id=row_id)


def open_json(sealed: bytes, *, tenant_id: int, table: str, row_id: int | str) -> Any:
    """Decrypt a JSON value that was sealed for this row."""
    return json.loads(open_sealed(sealed, tenant_id=tenant_id, table=table, row_id=row_id))


def key_version_of(sealed: bytes) -> int:
    """The version of the key that a value is sealed under; raises Tampered where it is no sealed value."""
    if len(sealed) < _HEAD.size or sealed[0] != FORMAT:
        raise Tampered("not a sealed value")
    return int(_HEAD.unpack_from(sealed)[1])


def _padded(data: bytes) -> bytes:
    filled = len(data).to_bytes(4) + data
    return filled + bytes(-len(filled) % _BLOCK)


def _bound(head: bytes, tenant_id: int, table: str, row_id: int | str) -> bytes:
    return head + f"|{tenant_id}|{table}|{row_id}".encode()
