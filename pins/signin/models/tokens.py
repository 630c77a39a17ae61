from datetime import datetime

from django.db import models
from django.db.models import Q

from accounts.tenancy import TenantForeignKey, TenantModel
from pins.signin.models.subscribers import Subscriber


class Token(TenantModel):
    """Something a Subscriber's program shows again: a keyed digest of 122 random bits, with an end."""

    class Kind(models.TextChoices):
        ACCESS = "access", "Access token"
        REFRESH = "refresh", "Refresh token"
        SESSION = "session", "PIN session token"
        PIN_AUTH = "pin_auth", "PIN auth token"
        STEP_UP = "step_up", "Second factor validation token"
        RESET = "reset", "PIN reset token"

    kind = models.CharField(max_length=10, choices=Kind)
    subscriber = TenantForeignKey(Subscriber, on_delete=models.CASCADE, related_name="+", db_index=False)
    digest = models.BinaryField(max_length=32)
    # Tokens of one sign-in share it: an access token and what renews it end together.
    family = models.UUIDField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "digest"], name="signin_token_digest_unique")]
        indexes = [
            models.Index(fields=["tenant", "subscriber", "kind"], name="signin_token_of_subscriber"),
            models.Index(fields=["expires_at", "tenant"], name="signin_token_over"),
            # A link is opened before its tenant is known.
            models.Index(fields=["digest"], condition=Q(kind="reset"), name="signin_token_of_link"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    def is_live(self, now: datetime) -> bool:
        return self.used_at is None and self.revoked_at is None and now < self.expires_at
