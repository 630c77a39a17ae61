"""A one-time code that other software has sent or shows, and how many codes went to an address in a day.

The code itself is nowhere: only a keyed digest, bound to its tenant and its row. Its receiver is sealed for the row,
for sending again. Both tables are emptied as time passes.
"""

import hmac
from datetime import datetime
from typing import Final

from django.db import models

from accounts.tenancy import TenantModel
from pins.vault.keyring import keyring

MOST_TRIES: Final = 5


class Code(TenantModel):
    """One code: five tries, one use."""

    public_id = models.CharField(max_length=40)
    purpose = models.CharField(max_length=60)
    length = models.PositiveSmallIntegerField()
    life_seconds = models.PositiveIntegerField()
    key_version = models.PositiveSmallIntegerField()
    digest = models.BinaryField(max_length=32)
    reference_digest = models.BinaryField(max_length=32)
    # Medium, address, language and order reference; null where the code was handed to the caller.
    receiver = models.BinaryField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "public_id"], name="code_public_id_unique")]
        indexes = [models.Index(fields=["expires_at", "tenant"], name="code_over")]

    def __str__(self) -> str:
        return f"{self.public_id[:9]}…"

    def is_open(self, now: datetime) -> bool:
        """Whether the next try could still be right."""
        return self.used_at is None and self.tries < MOST_TRIES and now < self.expires_at

    def set_value(self, value: str) -> None:
        """Remember a code by its digest alone."""
        ring = keyring()
        self.key_version = ring.current
        self.digest = self._digest("code", value)

    def set_reference(self, order_reference: str) -> None:
        """Remember what must be shown beside the code; "" for nothing. Needs the key version that is set."""
        self.reference_digest = self._digest("reference", order_reference)

    def matches(self, value: str, order_reference: str) -> bool:
        """Compare both in constant time; False once the key is gone."""
        if self.key_version not in keyring().fingerprinting:
            return False
        same_value = hmac.compare_digest(self._digest("code", value), bytes(self.digest))
        wanted = self._digest("reference", order_reference)
        return hmac.compare_digest(wanted, bytes(self.reference_digest)) and same_value

    def _digest(self, part: str, text: str) -> bytes:
        key = keyring().fingerprinting[self.key_version]
        return hmac.digest(key, f"{part}|{self.tenant_id}|{self.public_id}|{text}".encode(), "sha256")


class AddressDay(TenantModel):
    """How many codes were sent to one address on one day (UTC); the address is a keyed digest."""

    digest = models.BinaryField(max_length=32)
    day = models.DateField()
    codes = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "digest", "day"], name="code_address_day_unique")
        ]
        indexes = [models.Index(fields=["day", "tenant"], name="code_address_day_over")]
