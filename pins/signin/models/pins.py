from django.db import models
from django.db.models import Q

from accounts.models import Membership
from accounts.tenancy import TenantForeignKey, TenantModel
from pins.signin.models.subscribers import Subscriber


class SignInPin(TenantModel):
    """The PIN of one account, as a keyed digest bound to tenant and account; or that it was skipped.

    A digest cannot be made anew without the PIN: a row moves to the current key with the next right entry.
    """

    membership = TenantForeignKey(Membership, on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    subscriber = TenantForeignKey(Subscriber, on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    key_version = models.PositiveSmallIntegerField(null=True)
    digest = models.BinaryField(max_length=32, null=True)
    set_at = models.DateTimeField(null=True)
    skipped_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "sign-in PIN"
        constraints = [
            models.CheckConstraint(
                condition=Q(membership__isnull=True, subscriber__isnull=False)
                | Q(membership__isnull=False, subscriber__isnull=True),
                name="signin_pin_of_one_account",
            ),
            models.UniqueConstraint(fields=["tenant", "membership"], name="signin_pin_one_per_membership"),
            models.UniqueConstraint(fields=["tenant", "subscriber"], name="signin_pin_one_per_subscriber"),
            models.CheckConstraint(
                condition=Q(digest__isnull=True, key_version__isnull=True, set_at__isnull=True)
                | Q(digest__isnull=False, key_version__isnull=False, set_at__isnull=False),
                name="signin_pin_is_whole",
            ),
        ]
        # Which keys are still needed.
        indexes = [models.Index(fields=["tenant", "key_version"], name="signin_pin_by_key")]

    def __str__(self) -> str:
        return f"sign-in PIN {self.pk}"
