"""A one-time code that other software has sent or shows, and how many codes went to an address in a day.

The code itself is nowhere: only a keyed digest of it and its order reference, bound to tenant and row. The reference
and the receiver are sealed for the row, for sending again. Both tables are emptied as time passes.
"""

import hmac
import json
from datetime import datetime
from typing import Final

from django.db import models

from accounts.tenancy import TenantModel
from pins.vault.keyring import keyring

MOST_TRIES: Final = 5


def id_of(text: str) -> str:
    """An id as it was sent; what can be none is nobody's, since PostgreSQL refuses some texts with an error."""
    return text if text.isascii() and text.isprintable() else ""


class Code(TenantModel):
    """One code: five tries, one use."""

    public_id = models.CharField(max_length=40)
    purpose = models.CharField(max_length=60)
    length = models.PositiveSmallIntegerField()
    life_seconds = models.PositiveIntegerField()
    key_version = models.PositiveSmallIntegerField()
    digest = models.BinaryField(max_length=32)
    # The order reference, and the receiver where the code was not handed to the caller.
    sealed = models.BinaryField()
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

    def remember(self, value: str, order_reference: str) -> None:
        """Keep the digest of a code and of what must be shown beside it; "" for nothing."""
        self.key_version = keyring().current
        self.digest = self._digest(value, order_reference)

    def matches(self, value: str, order_reference: str) -> bool:
        """Compare in constant time; False once the key is gone."""
        if self.key_version not in keyring().fingerprinting:
            return False
        return hmac.compare_digest(self._digest(value, order_reference), bytes(self.digest))

    def _digest(self, value: str, order_reference: str) -> bytes:
        key = keyring().fingerprinting[self.key_version]
        bound = ["code", self.tenant_id, self.public_id, value, order_reference]
        return hmac.digest(key, json.dumps(bound).encode(), "sha256")


class AddressDay(TenantModel):
    """How many codes were sent to one address on one day (UTC); the address is a keyed digest."""

    digest = models.BinaryField(max_length=32)
    day = models.DateField()
    codes = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "digest", "day"], name="code_address_day_unique")]
        indexes = [models.Index(fields=["day", "tenant"], name="code_address_day_over")]
