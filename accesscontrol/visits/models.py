"""Links that reveal a PIN (revealing.py), files of people (importing/), and steps for many at once (batches.py)."""

from django.contrib.postgres.fields import ArrayField
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


class Import(TenantModel):
    """A file of people, groups and cards. Its content is erased once it is applied; what became of its rows stays."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", "Uploaded"
        CHECKING = "checking", "Checking"
        CHECKED = "checked", "Checked"
        APPLYING = "applying", "Applying"
        FINISHED = "finished", "Finished"

    name = models.CharField("file", max_length=120, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.UPLOADED, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False)
    # What each column means and how the file is to be taken: visits/importing/plans.py.
    plan = models.JSONField(null=True, editable=False)
    actor_kind = models.CharField(max_length=20, editable=False)
    actor_id = models.BigIntegerField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    checked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["tenant"], condition=Q(state="checking"), name="import_to_check"),
            models.Index(fields=["created_at"], condition=~Q(state__in=["applying", "finished"]), name="import_stale"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_content(self) -> bool:
        return self.state != self.State.FINISHED


class ImportPart(TenantModel):
    """Some hundred rows of a file, sealed: a JSON list of a row's number and its cells."""

    sealed_column = "sealed"

    source = TenantForeignKey(Import, on_delete=models.CASCADE, related_name="+")
    first_line = models.PositiveIntegerField()
    last_line = models.PositiveIntegerField()
    sealed = models.BinaryField(null=True)

    class Meta:
        verbose_name = "part of an imported file"
        verbose_name_plural = "parts of imported files"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "source", "first_line"], name="import_part_unique"),
        ]


class ImportRow(TenantModel):
    """What a row of a file would do. Its cells stand in a part; here are ids, names of fields and reasons."""

    class Fate(models.TextChoices):
        PENDING = "pending", "To be checked"
        NEW = "new", "New"
        CHANGED = "changed", "Changed"
        UNCHANGED = "unchanged", "Unchanged"
        REFUSED = "refused", "Refused"

    source = TenantForeignKey(Import, on_delete=models.CASCADE, related_name="+")
    line = models.PositiveIntegerField()
    fate = models.CharField(max_length=10, choices=Fate, default=Fate.PENDING)
    # Where it is refused: which field is meant, and why.
    field = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=250, blank=True)
    changed = ArrayField(models.CharField(max_length=40), default=list)
    # The row before it that is about the same person or card.
    twin = models.PositiveIntegerField(null=True)
    person = TenantForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="+")
    # Somebody else whom the reason speaks of.
    other = TenantForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="+")
    # When the person had last been changed as this was found out.
    seen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "source", "line"], name="import_row_unique")]
        indexes = [models.Index(fields=["tenant", "source", "fate", "line"], name="import_row_fate")]


class Batch(TenantModel):
    """A step for the people, visits or rows of a file in its items; nothing happens before it is started."""

    class Kind(models.TextChoices):
        ISSUE = "issue", "Issue PINs"
        ROTATE = "rotate", "Rotate PINs"
        DISABLE = "disable", "Disable PINs"
        ENABLE = "enable", "Enable PINs"
        REVOKE = "revoke", "Revoke PINs"
        REGROUP = "regroup", "Move between groups"
        MOVE = "move", "Move visits"
        IMPORT = "import", "Import people"

    kind = models.CharField(max_length=10, choices=Kind, editable=False)
    # The medium that issued PINs are sent by; empty for none.
    deliver = models.CharField(max_length=10, blank=True, editable=False)
    # What else was said of a move: see visits/moving.py.
    plan = models.JSONField(null=True, editable=False)
    source = TenantForeignKey(Import, on_delete=models.CASCADE, null=True, editable=False, related_name="+")
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
            models.CheckConstraint(condition=Q(finished_at=None) | Q(started_at__isnull=False), name="batch_order"),
            models.UniqueConstraint(fields=["tenant", "source"], name="batch_of_import"),
        ]
        indexes = [
            models.Index(fields=["tenant"], condition=Q(started_at__isnull=False, finished_at=None), name="batch_open"),
            models.Index(fields=["created_at"], condition=Q(started_at=None), name="batch_not_started"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """What is done to how many."""
        if self.kind in (Batch.Kind.MOVE, Batch.Kind.IMPORT):
            verb, noun = ("Move", "visit") if self.kind == Batch.Kind.MOVE else ("Import", "row")
            return f"{verb} {self.total:,} {noun}{'' if self.total == 1 else 's'}"
        return f"{self.get_kind_display()} for {self.total:,} {'person' if self.total == 1 else 'people'}"

    @property
    def worked_off(self) -> int:
        return self.done + self.left_out + self.failed

    def is_running(self) -> bool:
        return self.started_at is not None and self.finished_at is None


class BatchItem(TenantModel):
    """What became of one person, visit or row of a batch; `reason` says why not, or what to know."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DONE = "done", "Done"
        LEFT_OUT = "left_out", "Left out"
        FAILED = "failed", "Failed"

    batch = TenantForeignKey(Batch, on_delete=models.CASCADE, related_name="+")
    person = TenantForeignKey(Person, on_delete=models.CASCADE, null=True, related_name="+")
    reservation = TenantForeignKey(Reservation, on_delete=models.CASCADE, null=True, related_name="+")
    row = TenantForeignKey(ImportRow, on_delete=models.CASCADE, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    reason = models.CharField(max_length=250, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "batch", "person"], name="batch_item_unique"),
            models.UniqueConstraint(fields=["tenant", "batch", "reservation"], name="batch_item_visit_unique"),
            models.UniqueConstraint(fields=["tenant", "batch", "row"], name="batch_item_row_unique"),
            models.CheckConstraint(
                condition=Q(person__isnull=False, reservation=None, row=None)
                | Q(person=None, reservation__isnull=False, row=None)
                | Q(person=None, reservation=None, row__isnull=False),
                name="batch_item_of_one",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "batch", "id"], condition=Q(state="pending"), name="batch_item_pending"),
            models.Index(fields=["tenant", "batch", "state", "id"], name="batch_item_state"),
        ]
