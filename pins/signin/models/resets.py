"""What leads to a new PIN: a code, and the wish for one. Both exist for identifiers that are nobody's too."""

from datetime import datetime
from typing import Final

from django.db import models

from accounts.tenancy import TenantForeignKey, TenantModel
from pins.signin.models.subscribers import Subscriber

MOST_TRIES: Final = 5


class ResetCode(TenantModel):
    """The one code of an identifier, as a keyed digest bound to it; a new one takes its place."""

    # Keyed digest of the identifier as it was typed: its kind and value.
    identifier = models.BinaryField(max_length=32)
    subscriber = TenantForeignKey(Subscriber, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "identifier"], name="signin_code_one_per_identifier")]
        indexes = [models.Index(fields=["expires_at", "tenant"], name="signin_code_over")]

    def __str__(self) -> str:
        return f"reset code {self.pk}"

    def is_dead(self) -> bool:
        return self.tries >= MOST_TRIES

    def is_over(self, now: datetime) -> bool:
        return now >= self.expires_at


class ForgottenPin(TenantModel):
    """Somebody asked for a new PIN. Whether the account exists is looked up later, so that the answer cannot tell."""

    # Identifier, its kind, address of the page, language; sealed for the row, which goes once it is dealt with.
    sealed = models.BinaryField()
    asked_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["asked_at", "tenant"], name="signin_forgotten_first")]

    def __str__(self) -> str:
        return f"forgotten PIN {self.pk}"
