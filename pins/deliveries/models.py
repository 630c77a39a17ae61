"""A message to one address, and what it is about. The row is the queue.

`content` is what the template needs, sealed for its row; it is erased once the message is sent or cancelled.
An address, a PIN and what a gateway answered in words never stand in `last_error`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantForeignKey, TenantManager, TenantModel


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def about(self, kind: str, object_ids: Iterable[int]) -> "DeliveryQuerySet":
        """Messages about these objects, such as ("reservation", [7])."""
        subjects = DeliverySubject.objects.filter(kind=kind, object_id__in=list(object_ids))
        return self.filter(id__in=subjects.values("delivery_id"))

    def unsent(self) -> "DeliveryQuerySet":
        """Nobody has it and it is not cancelled: waiting, on the way, failed, or come back."""
        return self.filter(state__in=Delivery.UNSENT)

    def undelivered(self) -> "DeliveryQuerySet":
        """What did not get there: somebody has to do something about it."""
        return self.filter(state__in=[Delivery.State.FAILED, Delivery.State.BOUNCED])


DeliveryManager = TenantManager.from_queryset(DeliveryQuerySet)


class Delivery(TenantModel):
    """One message to one address."""

    class Medium(models.TextChoices):
        EMAIL = "email", _("E-mail")
        SMS = "sms", _("SMS")

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        # It was sent, and the provider reports that it did not arrive.
        BOUNCED = "bounced", "Bounced"
        CANCELLED = "cancelled", "Cancelled"

    UNSENT: ClassVar = (State.QUEUED, State.SENDING, State.FAILED, State.BOUNCED)

    medium = models.CharField(max_length=10, choices=Medium)
    # Empty once the person was erased.
    address = models.CharField(max_length=254, blank=True)
    template = models.CharField(max_length=40)
    language = models.CharField(max_length=20, default="en")
    content = models.BinaryField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    # While a worker has the row, the end of its lease: whatever becomes due is found by this one column.
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    message_id = models.CharField(max_length=255)
    last_error = models.CharField(max_length=60, blank=True)
    queued_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)

    sealed_column: ClassVar[str] = "content"
    objects: ClassVar["DeliveryManager[Any]"] = DeliveryManager()

    class Meta:
        verbose_name = "message"
        constraints = [
            models.UniqueConstraint(fields=["message_id"], name="delivery_message_id_unique"),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "sending"], next_attempt_at__isnull=False, content__isnull=False)
                | Q(state="failed", next_attempt_at__isnull=True, failed_at__isnull=False)
                | Q(state="sent", next_attempt_at__isnull=True, content__isnull=True, sent_at__isnull=False)
                | Q(
                    state="bounced",
                    next_attempt_at__isnull=True,
                    content__isnull=True,
                    sent_at__isnull=False,
                    failed_at__isnull=False,
                )
                | Q(state="cancelled", next_attempt_at__isnull=True, content__isnull=True),
                name="delivery_holds_what_its_state_needs",
            ),
        ]
        indexes = [
            # Claiming: what is due for one tenant.
            models.Index(
                fields=["tenant", "next_attempt_at"],
                condition=Q(state__in=["queued", "sending"]),
                name="delivery_due",
            ),
            # The finder: which tenants have something due.
            models.Index(
                fields=["next_attempt_at", "tenant"],
                condition=Q(state__in=["queued", "sending"]),
                name="delivery_due_anywhere",
            ),
            # Tidying: failed messages whose content is still kept.
            models.Index(
                fields=["failed_at", "tenant"],
                condition=Q(state="failed", content__isnull=False),
                name="delivery_failed_and_kept",
            ),
            # What did not get there, whether or not it can be sent again.
            models.Index(
                fields=["tenant", "-queued_at"], condition=Q(state__in=["failed", "bounced"]), name="delivery_failed"
            ),
            # The list of deliveries and the board's "failed".
            models.Index(fields=["tenant", "-queued_at"], name="delivery_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.get_medium_display()} “{self.template.replace('_', ' ')}”, {self.get_state_display().lower()}"

    def is_resendable(self, now: datetime) -> bool:
        """Failed, and content and address are still there."""
        return self.state == self.State.FAILED and self.content is not None and bool(self.address)


class DeliverySubject(TenantModel):
    """What a message is about, such as ("reservation", 7): its end cancels the message."""

    delivery = TenantForeignKey(Delivery, on_delete=models.CASCADE, related_name="subjects", db_index=False)
    kind = models.CharField(max_length=40)
    object_id = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "kind", "object_id"], name="delivery_subject_unique")
        ]
        indexes = [models.Index(fields=["tenant", "kind", "object_id", "delivery"], name="delivery_subject_by_object")]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"
