"""Doors, and the roles and shifts that say who opens which of them during which weekly times."""

from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Lower
from django.utils import timezone

from accesscontrol.doors.hours import OnHoliday, Stretch
from accounts.models import ApiKey, Site
from accounts.tenancy import TenantForeignKey, TenantModel

SHORTEST_PIN, LONGEST_PIN = 4, 8

ON_HOLIDAY = [
    (OnHoliday.CLOSED.value, "Closed"),
    (OnHoliday.AS_USUAL.value, "As usual"),
    (OnHoliday.HOLIDAY_HOURS.value, "The holiday's own hours"),
]
# What a tick must carry to the credentials of everybody with a right there.
ROTATION_CHANGED = Q(rotation_applied_days=None) | ~Q(rotation_applied_days=Coalesce("rotate_after_days", 0))


class Channel(TenantModel):
    """A door controller or keypad at a site; screens say “door”."""

    class Direction(models.TextChoices):
        IN = "in", "In"
        OUT = "out", "Out"
        NONE = "none", "Not known"

    class State(models.TextChoices):
        NORMAL = "normal", "Ready"
        UNLOCKED = "unlocked", "Held open"
        LOCKED_DOWN = "locked_down", "Locked down"

    site = TenantForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    shortest_pin = models.PositiveSmallIntegerField(
        default=SHORTEST_PIN, validators=[MinValueValidator(SHORTEST_PIN), MaxValueValidator(LONGEST_PIN)]
    )
    longest_pin = models.PositiveSmallIntegerField(
        default=LONGEST_PIN, validators=[MinValueValidator(SHORTEST_PIN), MaxValueValidator(LONGEST_PIN)]
    )
    direction = models.CharField(max_length=4, choices=Direction, default=Direction.IN)
    is_visitor_door = models.BooleanField("visitor door", default=False)
    release_seconds = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(1)])
    # Written by access/commands.py alone, which keeps what was before in ChannelState and tells the controller.
    state = models.CharField(max_length=12, choices=State, default=State.NORMAL, editable=False)
    relock_at = models.DateTimeField(null=True, editable=False)
    auto_unlock_shift = TenantForeignKey(
        "doors.Shift", on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    # Whether controllers may keep a list of who opens this door, to decide alone while the server is away.
    keeps_offline_list = models.BooleanField("works through an outage", default=False)
    offline_visitor_hours = models.PositiveSmallIntegerField(
        "admits visitors for (hours)", default=12, validators=[MinValueValidator(1)]
    )
    # Wrong PINs cost the channel time; the numbers are tried by the simulation in tests/test_throttle.py.
    free_tries = models.PositiveSmallIntegerField("wrong PINs without a wait", default=3)
    first_wait_seconds = models.PositiveIntegerField(default=30, validators=[MinValueValidator(1)])
    longest_wait_seconds = models.PositiveIntegerField(default=3600, validators=[MinValueValidator(1)])
    rotate_after_days = models.PositiveSmallIntegerField(
        "rotate PINs after (days)", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    # The period that a tick has carried to the credentials; none when it must look again (visits/rotation.py).
    rotation_applied_days = models.PositiveSmallIntegerField(null=True, default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "door"
        constraints = [
            models.UniqueConstraint("tenant", "site", Lower("name"), name="channel_name_unique"),
            models.CheckConstraint(
                condition=Q(shortest_pin__gte=SHORTEST_PIN)
                & Q(longest_pin__lte=LONGEST_PIN)
                & Q(shortest_pin__lte=F("longest_pin")),
                name="channel_pin_length",
                violation_error_message="The longest PIN must not be shorter than the shortest (4 to 8 digits).",
            ),
            models.CheckConstraint(
                condition=Q(first_wait_seconds__gte=1) & Q(first_wait_seconds__lte=F("longest_wait_seconds")),
                name="channel_waits",
                violation_error_message="The longest wait must not be shorter than the first.",
            ),
            models.CheckConstraint(
                condition=Q(rotate_after_days=None) | Q(rotate_after_days__gte=1),
                name="channel_rotation",
                violation_error_message="A PIN is rotated after one day or more.",
            ),
            models.CheckConstraint(
                condition=Q(relock_at=None) | Q(state="unlocked"), name="channel_relocks_what_is_held_open"
            ),
        ]
        indexes = [models.Index(fields=["tenant"], condition=ROTATION_CHANGED, name="channel_rotation_changed")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_locked_down(self) -> bool:
        return self.state == self.State.LOCKED_DOWN

    def stands(self, now: datetime) -> "Channel.State":
        """What was commanded, as it stands now: a door that was held open until an instant is normal after it."""
        return standing(self.state, self.relock_at, now)

    def accepts(self, pin: str) -> bool:
        """Whether the keypad takes a PIN of this length."""
        return self.shortest_pin <= len(pin) <= self.longest_pin


def standing(state: str, relock_at: datetime | None, now: datetime) -> Channel.State:
    """A commanded state at an instant."""
    if state == Channel.State.UNLOCKED and relock_at is not None and relock_at <= now:
        return Channel.State.NORMAL
    return Channel.State(state)


class ChannelState(TenantModel):
    """What was commanded of a channel, by whom and why, for a period. Before the first one it was normal."""

    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=12, choices=Channel.State)
    relock_at = models.DateTimeField(null=True)
    auto_unlock_shift = TenantForeignKey("doors.Shift", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=250, blank=True)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.BigIntegerField(null=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "channel"], condition=Q(ended_at=None), name="channel_state_current"
            )
        ]
        indexes = [models.Index(fields=["tenant", "channel", "started_at"], name="channel_state_history")]


class ReaderChannel(TenantModel):
    """A reader key may ask for this channel."""

    api_key = TenantForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    channel = TenantForeignKey(Channel, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "api_key", "channel"], name="reader_channel_unique")]


class Shift(TenantModel):
    """Weekly hours, in the time zone of the site where they are used."""

    name = models.CharField(max_length=120)
    # The hours of one recurring visit, made and listed with it alone.
    is_private = models.BooleanField(default=False, editable=False)
    # The times carry it too, for the periods in which it held.
    on_holiday = models.CharField("on holidays", max_length=14, choices=ON_HOLIDAY, default=OnHoliday.CLOSED.value)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "weekly hours"
        verbose_name_plural = "weekly hours"
        constraints = [
            models.UniqueConstraint("tenant", Lower("name"), condition=Q(is_private=False), name="shift_name_unique")
        ]

    def __str__(self) -> str:
        return self.name


class SiteHours(TenantModel):
    """When a site is open for visitors; a site without a row has no closing time."""

    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")
    shift = TenantForeignKey(Shift, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = "opening hours"
        verbose_name_plural = "opening hours"
        constraints = [models.UniqueConstraint(fields=["tenant", "site"], name="site_hours_unique")]

    def __str__(self) -> str:
        return f"{self.site}: {self.shift}"


class Holiday(TenantModel):
    """Days on which a site does not keep its week. A change ends the row and starts another: the past stays."""

    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=120)
    first_day = models.DateField()
    last_day = models.DateField()
    is_yearly = models.BooleanField("every year", default=False)
    # Pairs of local times such as ["09:00:00", "12:00:00"]; none is closed all day. See doors/holidays.py.
    hours = models.JSONField(default=list, blank=True)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(first_day__lte=F("last_day")),
                name="holiday_days",
                violation_error_message="The last day must not be before the first.",
            ),
            models.UniqueConstraint(
                fields=["tenant", "site", "first_day", "last_day", "is_yearly"],
                condition=Q(ended_at=None),
                name="holiday_unique",
                violation_error_message="There is a holiday on these days at this site already.",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "site", "last_day"], name="holiday_of_site")]

    def __str__(self) -> str:
        return self.name


class ShiftTime(TenantModel):
    """One stretch of a week. It belongs to the day it starts on; an end at or before the start is the next day."""

    class Weekday(models.IntegerChoices):
        MONDAY = 0, "Monday"
        TUESDAY = 1, "Tuesday"
        WEDNESDAY = 2, "Wednesday"
        THURSDAY = 3, "Thursday"
        FRIDAY = 4, "Friday"
        SATURDAY = 5, "Saturday"
        SUNDAY = 6, "Sunday"

    shift = TenantForeignKey(Shift, on_delete=models.CASCADE, related_name="times")
    weekday = models.PositiveSmallIntegerField(choices=Weekday)
    start_time = models.TimeField()
    end_time = models.TimeField()
    on_holiday = models.CharField(max_length=14, choices=ON_HOLIDAY, default=OnHoliday.CLOSED.value)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(weekday__lte=6), name="shift_time_weekday"),
            models.UniqueConstraint(
                fields=["tenant", "shift", "weekday", "start_time"],
                condition=Q(ended_at=None),
                name="shift_time_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_weekday_display()} {self.start_time:%H:%M}-{self.end_time:%H:%M}"

    @property
    def stretch(self) -> Stretch:
        return Stretch(self.weekday, self.start_time, self.end_time, OnHoliday(self.on_holiday))


class Role(TenantModel):
    """Which channels, during which weekly hours; screens say “access level”. No shift means always."""

    name = models.CharField(max_length=120)
    site = TenantForeignKey(Site, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    shift = TenantForeignKey(Shift, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    rotate_after_days = models.PositiveSmallIntegerField(
        "rotate PINs after (days)", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    # The period that a tick has carried to the credentials; none when it must look again (visits/rotation.py).
    rotation_applied_days = models.PositiveSmallIntegerField(null=True, default=0, editable=False)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "access level"
        constraints = [
            models.UniqueConstraint("tenant", Lower("name"), name="role_name_unique"),
            models.CheckConstraint(
                condition=Q(rotate_after_days=None) | Q(rotate_after_days__gte=1),
                name="role_rotation",
                violation_error_message="A PIN is rotated after one day or more.",
            ),
        ]
        indexes = [models.Index(fields=["tenant"], condition=ROTATION_CHANGED, name="role_rotation_changed")]

    def __str__(self) -> str:
        return self.name


class RoleChannel(TenantModel):
    """The role opened this channel during this shift, for a period; a changed shift starts a new period."""

    role = TenantForeignKey(Role, on_delete=models.CASCADE, related_name="+")
    channel = TenantForeignKey(Channel, on_delete=models.PROTECT, related_name="+")
    shift = TenantForeignKey(Shift, on_delete=models.PROTECT, null=True, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "role", "channel"], condition=Q(ended_at=None), name="role_channel_unique"
            )
        ]
        indexes = [models.Index(fields=["tenant", "channel", "role"], name="role_channel_of_channel")]
