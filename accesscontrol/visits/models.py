"""Links that reveal a PIN (see visits/revealing.py), and steps for many people at once (see visits/batches.py)."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accesscontrol.credentials.models import Credential
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts.tenancy import TenantForeignKey, TenantModel
from pins.deliveries.models import Delivery


class RevealLink(TenantModel):
    """One link in one message. Whether it still reveals anything is asked of the visit and the PIN, each time."""

    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    delivery = TenantForeignKey(Delivery, on_delete=models.CASCADE, related_name="reveal_links")
    credential = TenantForeignKey(Credential, on_delete=models.CASCADE, related_name="+")
    reservation = TenantForeignKey(Reservation, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField()
    # Where there is no visit whose end it could die at.
    expires_at = models.DateTimeField(null=True)
    views = models.PositiveIntegerField(default=0)
    first_viewed_at = models.DateTimeField(null=True)
    last_viewed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(reservation__isnull=False) | Q(expires_at__isnull=False),
                name="reveal_link_ends",
            )
        ]

    def __str__(self) -> str:
        return f"link of message {self.delivery_id}"


class Batch(TenantModel):
    """A step for the people chosen in its items; nothing happens before it is started."""

    class Kind(models.TextChoices):
        ISSUE = "issue", "Issue PINs"
        ROTATE = "rotate", "Rotate PINs"
        DISABLE = "disable", "Disable PINs"
        ENABLE = "enable", "Enable PINs"
        REVOKE = "revoke", "Revoke PINs"

    kind = models.CharField(max_length=10, choices=Kind, editable=False)
    # The medium that issued PINs are sent by; empty for none.
    deliver = models.CharField(max_length=10, blank=True, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False)
    done = models.PositiveIntegerField(default=0, editable=False)
    left_out = models.PositiveIntegerField(default=0, editable=False)
    failed = models.PositiveIntegerField(default=0, editable=False)
    # Whoever started it, or chose its people before that.
    actor_kind = models.CharField(max_length=20, editable=False)
    actor_id = models.BigIntegerField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "bulk step"
        verbose_name_plural = "bulk steps"
        constraints = [
            models.CheckConstraint(condition=Q(finished_at=None) | Q(started_at__isnull=False), name="batch_order")
        ]
        indexes = [
            models.Index(fields=["tenant"], condition=Q(started_at__isnull=False, finished_at=None), name="batch_open"),
            models.Index(fields=["created_at"], condition=Q(started_at=None), name="batch_not_started"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} for {self.total}"

    @property
    def worked_off(self) -> int:
        return self.done + self.left_out + self.failed

    def is_running(self) -> bool:
        return self.started_at is not None and self.finished_at is None


class BatchItem(TenantModel):
    """What became of one person of a batch; `reason` says why not, or what to know."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DONE = "done", "Done"
        LEFT_OUT = "left_out", "Left out"
        FAILED = "failed", "Failed"

    batch = TenantForeignKey(Batch, on_delete=models.CASCADE, related_name="+")
    person = TenantForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    reason = models.CharField(max_length=250, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "batch", "person"], name="batch_item_unique")]
        indexes = [
            models.Index(fields=["tenant", "batch", "id"], condition=Q(state="pending"), name="batch_item_pending"),
            models.Index(fields=["tenant", "batch", "state", "id"], name="batch_item_state"),
        ]
