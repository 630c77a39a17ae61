"""Who is told of what happens, what they are sent, and what they answered. The row is the queue.

A `Dispatch` is one happening for one subscription. Of those about one subject only the first unsettled one is
queued; the others are held until it is settled, so that nobody hears of things out of order.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.tenancy import TenantForeignKey, TenantModel


class Kind(models.TextChoices):
    """What one can be told of."""

    PERSON = "person", "People: added, changed, deleted"
    CREDENTIAL = "credential", "PINs and cards: issued, disabled, ended"
    RESERVATION = "reservation", "Visits: reserved, moved, cancelled"
    ACCESS = "access", "Doors: somebody was let in or not"
    ALARM = "alarm", "Alarms: raised, acknowledged"
    DELIVERY = "delivery", "Messages: sent, failed, bounced"


class Subscription(TenantModel):
    """An address that is told of some kinds of happenings, from a position in their order."""

    class Form(models.TextChoices):
        STANDARD = "standard", "Standard Webhooks"
        DOORFLOW = "doorflow", "DoorFlow: headers Signature and Timestamp"
        SEAM = "seam", "Seam: events of locks and access codes"

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        FAILING = "failing", "Paused after a day of failures"
        ENDED = "ended", "Ended"

    name = models.CharField(max_length=120)
    url = models.CharField("address", max_length=500)
    form = models.CharField(max_length=10, choices=Form, default=Form.STANDARD)
    kinds = ArrayField(models.CharField(max_length=12, choices=Kind))
    # Of what happens at doors only these codes, at these doors; empty for all. With codes it is a notification rule.
    event_codes = ArrayField(models.PositiveSmallIntegerField(), default=list, editable=False)
    channel_ids = ArrayField(models.BigIntegerField(), default=list, editable=False)
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE, editable=False)
    # The secret, and after a rotation the one before it, which signs as well until `earlier_until`.
    secrets = models.BinaryField(null=True, editable=False)
    earlier_until = models.DateTimeField(null=True, editable=False)
    # The last happening that was collected: its transaction, its source, its row (see happenings.py).
    xact_id = models.BigIntegerField(editable=False)
    source = models.SmallIntegerField(default=-1, editable=False)
    row_id = models.BigIntegerField(default=0, editable=False)
    # Since when no try has succeeded; how many in a row got no answer at all; until when the address is left alone.
    failing_since = models.DateTimeField(null=True, editable=False)
    misses = models.PositiveSmallIntegerField(default=0, editable=False)
    rest_until = models.DateTimeField(null=True, editable=False)
    # Which worker sends for this subscription.
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)

    sealed_column: ClassVar = "secrets"

    class Meta:
        verbose_name = "webhook"
        constraints = [
            models.CheckConstraint(
                condition=Q(state="ended", secrets__isnull=True) | (~Q(state="ended") & Q(secrets__isnull=False)),
                name="webhook_has_a_secret",
            )
        ]
        indexes = [
            # The finder: which subscriptions may have something to do.
            models.Index(fields=["tenant", "id"], condition=Q(state="active"), name="webhook_active")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_live(self) -> bool:
        return self.state != self.State.ENDED


class Dispatch(TenantModel):
    """One happening on its way to one address. `body` is what is signed and sent, at every try the same."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        HELD = "held", "Waits for an earlier one"
        SENDING = "sending", "Sending"
        SENT = "sent", "Delivered"
        FAILED = "failed", "Failed"

    UNSETTLED: ClassVar = (State.QUEUED, State.HELD, State.SENDING)

    subscription = TenantForeignKey(Subscription, on_delete=models.CASCADE, related_name="+")
    message_id = models.CharField(max_length=60)
    type = models.CharField(max_length=60)
    subject = models.CharField(max_length=60)
    body = models.TextField()
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    # While a worker has the row, the end of its lease: whatever becomes due is found by this one column.
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    is_replay = models.BooleanField(default=False)
    occurred_at = models.DateTimeField()
    collected_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "webhook message"
        constraints = [
            # Collected twice, such as after the database was restored, it is still sent once.
            models.UniqueConstraint(
                fields=["tenant", "subscription", "message_id"],
                condition=Q(is_replay=False),
                name="dispatch_collected_once",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "sending"], next_attempt_at__isnull=False, settled_at__isnull=True)
                | Q(state="held", next_attempt_at__isnull=True, settled_at__isnull=True)
                | Q(state__in=["sent", "failed"], next_attempt_at__isnull=True, settled_at__isnull=False),
                name="dispatch_holds_what_its_state_needs",
            ),
        ]
        indexes = [
            models.Index(
                fields=["subscription", "next_attempt_at"],
                condition=Q(state__in=["queued", "sending"]),
                name="dispatch_due",
            ),
            models.Index(
                fields=["tenant", "subscription", "subject", "id"],
                condition=Q(state__in=["queued", "sending", "held"]),
                name="dispatch_unsettled",
            ),
            models.Index(fields=["tenant", "subject"], name="dispatch_of_subject"),
            models.Index(fields=["settled_at"], condition=Q(settled_at__isnull=False), name="dispatch_age"),
            # The log of one subscription, and of all.
            models.Index(fields=["tenant", "subscription", "-id"], name="dispatch_of_subscription"),
            models.Index(fields=["tenant", "-id"], name="dispatch_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"


class Try(TenantModel):
    """One request: what was answered, and how soon. `answer` is its beginning, `error` a code."""

    dispatch = TenantForeignKey(Dispatch, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveSmallIntegerField()
    status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=40, blank=True)
    answer = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField()
    tried_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "tries"
        indexes = [models.Index(fields=["tenant", "dispatch", "number"], name="try_of_dispatch")]

    def __str__(self) -> str:
        return str(self.status or self.error)


class Replay(TenantModel):
    """A period that is to be told again, collected in the order of time; `source` and `row_id` as above."""

    subscription = TenantForeignKey(Subscription, on_delete=models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    # The last happening that was collected.
    occurred_at = models.DateTimeField()
    source = models.SmallIntegerField(default=-1)
    row_id = models.BigIntegerField(default=0)
    collected = models.PositiveIntegerField(default=0)
    asked_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(starts_at__lt=models.F("ends_at")), name="webhook_replay_period")
        ]
        indexes = [
            models.Index(
                fields=["tenant", "subscription", "id"], condition=Q(done_at=None), name="webhook_replay_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M}"
