"""What leads to a new PIN: the wish for one, which exists for identifiers that are nobody's too, and a code."""

from typing import ClassVar

from django.db import models

from accounts.tenancy import TenantForeignKey, TenantModel
from pins.signin.models.subscribers import Subscriber


class ResetCode(TenantModel):
    """The one code of an account on its way by e-mail or SMS, as a keyed digest; a new one takes its place."""

    subscriber = TenantForeignKey(Subscriber, on_delete=models.CASCADE, related_name="+", db_index=False)
    medium = models.CharField(max_length=10)
    digest = models.BinaryField(max_length=32)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "subscriber", "medium"], name="signin_code_one_per_medium")
        ]
        indexes = [models.Index(fields=["expires_at", "tenant"], name="signin_code_over")]

    def __str__(self) -> str:
        return f"reset code {self.pk}"


class ForgottenPin(TenantModel):
    """Somebody asked for a new PIN. Whether the account exists is looked up later, so that the answer cannot tell."""

    # Identifier, its kind, address of the page, language; sealed for the row, which goes once it is dealt with.
    sealed = models.BinaryField()
    asked_at = models.DateTimeField()

    sealed_column: ClassVar[str] = "sealed"

    class Meta:
        verbose_name = "wish for a new PIN"
        verbose_name_plural = "wishes for a new PIN"
        indexes = [models.Index(fields=["asked_at", "tenant"], name="signin_forgotten_first")]

    def __str__(self) -> str:
        return f"forgotten PIN {self.pk}"
