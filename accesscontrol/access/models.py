"""What happened at the channels. Events are only added and read, and partitioned by month."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.people.models import Person
from accounts.models import Site
from accounts.tenancy import TenantForeignKey, TenantModel
from pins.deliveries.models import Delivery

# What the numbers of a rule may be on its page, least and most.
PATTERN_BOUNDS = {
    "wrong_pins_count": (2, 500),
    "wrong_pins_minutes": (1, 1440),
    "two_sites_minutes": (1, 1440),
    "unusual_hours_days": (5, 56),
    "unusual_hours_apart": (1, 11),
    "expired_pins_count": (2, 100),
    "expired_pins_hours": (1, 168),
    "shared_pin_times": (2, 50),
    "shared_pin_count": (2, 10_000),
}


class Reason(models.TextChoices):
    """Why somebody was not let in; ONVIF's DenyReason words in snake case where it has one."""

    NONE = "", _("Let in")
    INVALID_PIN = "invalid_pin", _("Unknown PIN")
    INVALID_CARD = "invalid_card", _("Unknown card")
    CREDENTIAL_NOT_ENABLED = "credential_not_enabled", _("PIN or card is disabled")
    CREDENTIAL_EXPIRED = "credential_expired", _("PIN or card has expired")
    PERSON_NOT_ENABLED = "person_not_enabled", _("Person is disabled")
    PERSON_NOT_ACTIVE = "person_not_active", _("Outside the person's validity")
    UNAUTHORIZED = "unauthorized", _("No right at this door")
    NOT_PERMITTED_AT_THIS_TIME = "not_permitted_at_this_time", _("Not at this time")
    NOT_CHECKED_IN = "not_checked_in", _("Has not checked in")
    LOCKDOWN = "lockdown", _("Door is locked down")
    THROTTLED = "throttled", _("Door is waiting after wrong PINs")


class Event(TenantModel):
    """What happened at a channel: admitted, or rejected and why. Ids only, never what was typed.

    `occurred_at` is when it happened there, `recorded_at` when it was written here; followers order by
    (`xact_id`, `id`), because an id alone would skip a transaction that commits late.
    """

    channel = TenantForeignKey(Channel, on_delete=models.PROTECT, related_name="+")
    person = TenantForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    credential = TenantForeignKey(Credential, on_delete=models.PROTECT, null=True, related_name="+")
    # None: nothing was presented, the door was opened by command.
    credential_type = models.PositiveSmallIntegerField(choices=CredentialType, default=CredentialType.PIN, null=True)
    code = models.PositiveSmallIntegerField()
    admitted = models.BooleanField()
    reason = models.CharField(max_length=30, choices=Reason, blank=True)
    # What the reader was answered, so that a repeated attempt gets the same.
    release_seconds = models.PositiveIntegerField(null=True)
    retry_after = models.PositiveIntegerField(null=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())
    xact_id = models.BigIntegerField(db_default=RawSQL("pg_current_xact_id()::text::bigint", []), editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-occurred_at", "-id"], name="event_newest_first"),
            models.Index(fields=["tenant", "person", "-occurred_at"], name="event_of_person"),
            models.Index(fields=["tenant", "channel", "-occurred_at"], name="event_of_channel"),
            models.Index(fields=["tenant", "xact_id", "id"], name="event_in_order"),
            # Who was not let in, and why: a rare reason is found without reading everything.
            models.Index(fields=["tenant", "-occurred_at", "-id"], condition=Q(admitted=False), name="event_rejected"),
            models.Index(
                fields=["tenant", "reason", "-occurred_at"], condition=Q(admitted=False), name="event_by_reason"
            ),
        ]

    def __str__(self) -> str:
        moment = timezone.localtime(self.occurred_at)
        return f"{'Let in' if self.admitted else 'Not let in'}, {moment.day} {moment:%b %Y, %H:%M:%S %Z}"


class EventCount(TenantModel):
    """How often a channel let in and not, in the quarter of an hour that begins then; see `counting`."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    begins_at = models.DateTimeField()
    let_in = models.PositiveIntegerField()
    not_let_in = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "channel", "begins_at"], name="event_count_unique")]
        indexes = [models.Index(fields=["tenant", "begins_at"], name="event_count_by_time")]


class EventCountPosition(TenantModel):
    """Every event of a transaction below it is counted."""

    xact_id = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="event_count_position_unique")]


class Attempt(TenantModel):
    """Which event a reader's `attempt_id` led to; asked again, it gets the same answer (see `repeats`)."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    attempt_id = models.CharField(max_length=100)
    asked = models.BinaryField(max_length=32)
    event_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "channel", "attempt_id"], name="attempt_unique"),
        ]
        indexes = [models.Index(fields=["occurred_at"], name="attempt_age")]


class Alarm(TenantModel):
    """Something at a site that somebody must look at; acknowledged with a reason."""

    class Kind(models.TextChoices):
        GUESSING = "guessing", "PINs are being guessed"
        TAMPERING = "tampering", "A stored PIN or card was exchanged"
        DURESS = "duress", "Somebody was forced to open"
        SILENCE = "silence", "A door controller is silent"
        WRONG_PINS = "wrong_pins", "Many wrong PINs at a door"
        TWO_SITES = "two_sites", "One PIN or card at two sites within minutes"
        UNUSUAL_HOURS = "unusual_hours", "Let in at an unusual hour"
        EXPIRED_PINS = "expired_pins", "An expired PIN is tried again and again"
        SHARED_PIN = "shared_pin", "A shared PIN is used far more than before"

    kind = models.CharField(max_length=20, choices=Kind)
    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")
    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, null=True, related_name="+")
    # Who is in danger, where that is what the alarm is about.
    person = TenantForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    raised_at = models.DateTimeField()
    # Of suspicious patterns: what it is about, how often it was seen, and when last. See access/patterns.
    subject = models.CharField(max_length=40, blank=True, db_default="", editable=False)
    count = models.PositiveIntegerField(db_default=1, editable=False)
    last_at = models.DateTimeField(null=True, editable=False)
    # When it was over by itself, such as a controller that is heard again; it may still be acknowledged.
    ended_at = models.DateTimeField(null=True, editable=False)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_reason = models.CharField(max_length=250, blank=True)
    xact_id = models.BigIntegerField(db_default=RawSQL("pg_current_xact_id()::text::bigint", []), editable=False)
    # When a tick looked whom to tell (access/telling.py); whoever writes an alarm leaves it empty.
    told_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "subject"],
                condition=Q(acknowledged_at=None) & ~Q(subject=""),
                name="alarm_one_open_of_subject",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-raised_at"], name="alarm_newest_first"),
            models.Index(fields=["tenant", "xact_id", "id"], name="alarm_in_order"),
            models.Index(fields=["tenant"], condition=Q(told_at=None), name="alarm_untold"),
        ]

    def __str__(self) -> str:
        moment = timezone.localtime(self.raised_at)
        return f"{self.get_kind_display()}, {moment.day} {moment:%b %Y, %H:%M %Z}"


class PatternRules(TenantModel):
    """What the tenant calls suspicious, one row; without it the defaults here hold. See access/patterns."""

    wrong_pins = models.BooleanField("Many wrong PINs at a door", default=True)
    wrong_pins_count = models.PositiveSmallIntegerField(default=8)
    wrong_pins_minutes = models.PositiveSmallIntegerField(default=15)
    two_sites = models.BooleanField("One PIN or card at two sites", default=True)
    two_sites_minutes = models.PositiveSmallIntegerField(default=10)
    unusual_hours = models.BooleanField("Let in at an unusual hour", default=True)
    unusual_hours_days = models.PositiveSmallIntegerField(default=15)
    unusual_hours_apart = models.PositiveSmallIntegerField(default=3)
    expired_pins = models.BooleanField("An expired PIN is tried again", default=True)
    expired_pins_count = models.PositiveSmallIntegerField(default=3)
    expired_pins_hours = models.PositiveSmallIntegerField(default=24)
    shared_pin = models.BooleanField("A shared PIN is used far more", default=True)
    shared_pin_times = models.PositiveSmallIntegerField(default=3)
    shared_pin_count = models.PositiveSmallIntegerField(default=20)

    class Meta:
        verbose_name = "pattern rules"
        verbose_name_plural = "pattern rules"
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="pattern_rules_one"),
            *(
                models.CheckConstraint(condition=Q(**{f"{name}__gte": 1, f"{name}__lte": most}), name=f"pattern_{name}")
                for name, (_, most) in PATTERN_BOUNDS.items()
            ),
        ]

    def __str__(self) -> str:
        return "Suspicious patterns"


class PatternPlace(TenantModel):
    """How far the events of a tenant were looked at for patterns, in the order of recording."""

    xact_id = models.BigIntegerField(default=0)
    row_id = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="pattern_place_one")]


class ChannelCommand(TenantModel):
    """Something a channel's controller is to do. Of one channel, ids are in the order of commits (see `commands`)."""

    class Kind(models.TextChoices):
        ADMIT = "admit", "Open"
        ADMIT_PERSON = "admit_person", "Open for a person"
        UNLOCK = "unlock", "Hold open"
        NORMAL = "normal", "Back to normal"
        LOCKDOWN = "lockdown", "Lock down"
        UNLOCKDOWN = "unlockdown", "End lock-down"
        AUTO_UNLOCK = "auto_unlock", "Held open in weekly hours"

    class Outcome(models.TextChoices):
        DONE = "done", "Done"
        DENIED = "denied", "Denied"

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=12, choices=Kind)
    person = TenantForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    relock_at = models.DateTimeField(null=True)
    shift = TenantForeignKey(Shift, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=250, blank=True)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.BigIntegerField(null=True)
    issued_at = models.DateTimeField()
    # A door must not open long after somebody asked for it.
    expires_at = models.DateTimeField(null=True)
    # A later command has made this one void before it was taken.
    superseded_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=8, choices=Outcome, blank=True)
    xact_id = models.BigIntegerField(db_default=RawSQL("pg_current_xact_id()::text::bigint", []), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(acknowledged_at=None, outcome="") | (Q(acknowledged_at__isnull=False) & ~Q(outcome="")),
                name="channel_command_outcome",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "channel", "id"],
                condition=Q(acknowledged_at=None, superseded_at=None),
                name="channel_command_waiting",
            ),
            models.Index(fields=["tenant", "xact_id", "id"], name="channel_command_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.issued_at:%Y-%m-%d %H:%M:%S}"


class ChannelContact(TenantModel):
    """When a channel's controller was last heard; only of controllers that follow commands or keep a list."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    last_contact_at = models.DateTimeField()
    # Set while its silence is an alarm.
    silence = TenantForeignKey(Alarm, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "channel"], name="channel_contact_unique")]
        indexes = [
            models.Index(fields=["last_contact_at"], condition=Q(silence=None), name="channel_contact_due"),
        ]


class OfflineList(TenantModel):
    """Who opens a channel, as its controllers may keep it for an outage; see `offline_list`."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    # Of the newest change in the entries; only grows.
    version = models.BigIntegerField(default=0)
    # What a controller has shown that it has.
    taken_version = models.BigIntegerField(default=0)
    # Every transaction below it is part of the entries.
    horizon = models.BigIntegerField(default=0)
    computed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "channel"], name="offline_list_unique")]


class OfflineEntry(TenantModel):
    """What a list says of one credential; `facts` None tells controllers to forget it."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    credential = TenantForeignKey(Credential, on_delete=models.CASCADE, related_name="+")
    facts = models.JSONField(null=True)
    version = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "channel", "credential"], name="offline_entry_unique")]
        indexes = [models.Index(fields=["tenant", "channel", "version", "credential"], name="offline_entry_in_order")]


class OfflineEvent(TenantModel):
    """Which event a controller's own event id became; sent again, it is the same one."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    source_id = models.CharField(max_length=100)
    told = models.BinaryField(max_length=32)
    event_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "channel", "source_id"], name="offline_event_unique")]


class AlarmRecipient(TenantModel):
    """Somebody who is told of alarms at a site, or at every site; kinds are those of Alarm."""

    name = models.CharField(max_length=120)
    site = TenantForeignKey(Site, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    medium = models.CharField(max_length=10, choices=Delivery.Medium, default=Delivery.Medium.EMAIL)
    address = models.CharField("e-mail address or mobile number", max_length=254)
    language = models.CharField(max_length=10, choices=settings.LANGUAGES, blank=True)
    kinds = ArrayField(models.CharField(max_length=20), default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "alarm recipient"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "site", "medium", "address"],
                condition=Q(ended_at=None),
                nulls_distinct=False,
                name="alarm_recipient_unique",
                violation_error_message="This address is told of the alarms of this site already.",
            ),
        ]

    def __str__(self) -> str:
        return self.name
