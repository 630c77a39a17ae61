"""The record that a PIN or a card belongs to a person. The value is sealed for its row, never kept in clear."""

from datetime import datetime

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accesscontrol.people.models import Person
from accounts.keys import random_token
from accounts.tenancy import TenantForeignKey, TenantModel


class CredentialType(models.IntegerChoices):
    """The types that exist, with the ids that the API's contract fixes."""

    CARD = 5, _("Card")
    PIN = 6, _("PIN")

    @property
    def slug(self) -> str:
        return "pin" if self is CredentialType.PIN else "credentials_number"

    @property
    def code(self) -> int:
        return 10 if self is CredentialType.PIN else 200


def new_public_id() -> str:
    return f"cred_{random_token()[:20]}"


class Credential(TenantModel):
    """A PIN or a card of a person; `sealed` is empty once it is revoked or erased."""

    public_id = models.CharField(max_length=40, unique=True, default=new_public_id, editable=False)
    person = TenantForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    type = models.PositiveSmallIntegerField(choices=CredentialType, default=CredentialType.PIN)
    sealed = models.BinaryField(null=True, editable=False)
    # How long the PIN is: without it nobody could say what guessing is worth at a door. Empty for cards.
    digits = models.PositiveSmallIntegerField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    expired_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)
    # When a tick must look whether the credential still has a right; see visits/expiry.py.
    due_at = models.DateTimeField(null=True, editable=False)
    rotate_after_days = models.PositiveSmallIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    # When a tick must look whether it is to be rotated, or whether its overlap is over; see visits/rotation.py.
    rotate_at = models.DateTimeField(null=True, editable=False)
    # Once it was rotated: when it dies, and what the person has instead.
    ends_at = models.DateTimeField(null=True, editable=False)
    replaced_by = TenantForeignKey("self", on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "PIN or card"
        verbose_name_plural = "PINs & cards"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "person", "type"],
                condition=Q(revoked_at=None, erased_at=None, ends_at=None),
                name="credential_one_of_type",
            ),
            models.CheckConstraint(
                condition=Q(rotate_after_days=None) | Q(rotate_after_days__gte=1), name="credential_rotation"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "person"], name="credential_of_person"),
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="credential_due"),
            models.Index(fields=["rotate_at"], condition=Q(rotate_at__isnull=False), name="credential_rotation_due"),
        ]

    def __str__(self) -> str:
        return f"{self.get_type_display()} {self.public_id[:9]}…"

    def is_live(self) -> bool:
        """Neither revoked nor erased: it holds its value."""
        return self.revoked_at is None and self.erased_at is None

    def is_over(self, now: datetime) -> bool:
        """Rotated, and the overlap is past: it opens nothing, whether or not a tick has looked."""
        return self.ends_at is not None and self.ends_at <= now


class CredentialState(TenantModel):
    """Whether a credential was enabled, for a period; it ends for good when the credential does."""

    credential = TenantForeignKey(Credential, on_delete=models.CASCADE, related_name="+")
    enabled = models.BooleanField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "credential"], condition=Q(ended_at=None), name="credential_state_current"
            )
        ]
