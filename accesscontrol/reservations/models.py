"""A person's right to be let in at some channels during `[start_time, end_time)`, and what came of it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accesscontrol.doors.models import Channel, Shift
from accesscontrol.people.models import Group, GroupMembership, Person
from accounts.models import Membership
from accounts.tenancy import TenantForeignKey, TenantModel


class GroupVisit(TenantModel):
    """Visitors who come together: one host, the same doors, the same period."""

    name = models.CharField(max_length=120)
    # Who holds the PIN that all of them share, where they share one.
    shared_person = TenantForeignKey(Person, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    form_token = models.CharField(max_length=60, blank=True, editable=False)
    created_by = models.CharField(max_length=40, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "group visit"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "form_token"], condition=~Q(form_token=""), name="group_visit_form_token_unique"
            )
        ]

    def __str__(self) -> str:
        return self.name


# What a tick clears once it is over: nobody came (visits/arriving.py).
AWAITED = Q(cancelled_at=None, arrived_at=None, checked_in_at=None, no_show_at=None)
# What a tick tells a host of (visits/host_notice.py).
HOST_UNTOLD = Q(host__isnull=False, arrived_at__isnull=False, host_told_at=None)
LONGEST_GRACE = timedelta(days=1)
# Who came to a visit with weekly hours longer ago has come another time.
SAME_STAY = timedelta(hours=20)
# Uses so soon after a counted one are that one: a door that was missed, the next door on the way.
SAME_USE = timedelta(minutes=5)


class Reservation(TenantModel):
    """The right itself; where it was moved, `ReservationPeriod` keeps what held before."""

    person = TenantForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    shift = TenantForeignKey(Shift, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    channels = models.ManyToManyField(Channel, through="ReservationChannel", related_name="+")
    cancelled_at = models.DateTimeField(null=True, editable=False)
    # One entry in the visitor's calendar, whatever becomes of the visit: each message about it has a higher sequence.
    calendar_uid = models.UUIDField(default=uuid4, editable=False)
    calendar_sequence = models.PositiveIntegerField(default=0, editable=False)
    # Whom the visitor comes to see: a member of staff, or a name alone.
    host = TenantForeignKey(Membership, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    host_name = models.CharField("host without a sign-in", max_length=120, blank=True)
    purpose = models.CharField(max_length=250, blank=True)
    company = models.CharField(max_length=120, blank=True)
    group = TenantForeignKey(GroupVisit, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    # The PIN works so long before the start.
    grace_seconds = models.PositiveIntegerField(default=0)
    needs_check_in = models.BooleanField("opens only after check-in", default=False)
    # Counted by access/attempts.py; `SAME_USE` says which are one.
    max_uses = models.PositiveIntegerField(null=True, blank=True)
    uses = models.PositiveIntegerField(default=0, editable=False)
    last_use_at = models.DateTimeField(null=True, editable=False)
    # The latest coming and going; a visit that comes back every week has many.
    arrived_at = models.DateTimeField(null=True, editable=False)
    host_told_at = models.DateTimeField(null=True, editable=False)
    checked_in_at = models.DateTimeField(null=True, editable=False)
    checked_out_at = models.DateTimeField(null=True, editable=False)
    no_show_at = models.DateTimeField(null=True, editable=False)
    external_id = models.CharField("id in another system", max_length=120, blank=True)
    form_token = models.CharField(max_length=60, blank=True, editable=False)
    # Actors as audit writes them, such as "staff:7"; a change that was not seen is not overwritten.
    version = models.PositiveIntegerField(default=1, editable=False)
    changed_by = models.CharField(max_length=40, blank=True, editable=False)
    created_by = models.CharField(max_length=40, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "visit"
        constraints = [
            models.CheckConstraint(
                condition=Q(start_time__lt=F("end_time")),
                name="reservation_period",
                violation_error_message="The reservation must end after it starts.",
            ),
            models.UniqueConstraint(
                fields=["tenant", "external_id"], condition=~Q(external_id=""), name="reservation_external_id_unique"
            ),
            models.UniqueConstraint(
                fields=["tenant", "form_token"], condition=~Q(form_token=""), name="reservation_form_token_unique"
            ),
            models.CheckConstraint(
                condition=Q(grace_seconds__lte=LONGEST_GRACE.total_seconds()),
                name="reservation_grace",
                violation_error_message="The PIN works at most one day before the start.",
            ),
            models.CheckConstraint(
                condition=Q(max_uses=None) | Q(max_uses__gte=1),
                name="reservation_max_uses",
                violation_error_message="A visit that may be used has one use or more.",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "person", "end_time"], name="reservation_of_person"),
            models.Index(fields=["tenant", "end_time"], name="reservation_by_end"),
            models.Index(fields=["tenant", "updated_at"], name="reservation_by_update"),
            models.Index(fields=["tenant", "host_name"], condition=~Q(host_name=""), name="reservation_of_named_host"),
            models.Index(
                fields=["tenant", "host", "end_time"], condition=Q(host__isnull=False), name="reservation_of_host"
            ),
            models.Index(fields=["tenant", "group"], condition=Q(group__isnull=False), name="reservation_of_group"),
            models.Index(fields=["end_time", "tenant"], condition=AWAITED, name="reservation_awaited"),
            models.Index(fields=["tenant", "arrived_at"], condition=HOST_UNTOLD, name="reservation_host_untold"),
        ]

    def __str__(self) -> str:
        begins, ends = timezone.localtime(self.start_time), timezone.localtime(self.end_time)
        return f"{begins.day} {begins:%b %Y, %H:%M} to {ends.day} {ends:%b %Y, %H:%M %Z}"

    def is_over(self, now: datetime) -> bool:
        return self.cancelled_at is not None or self.end_time <= now

    @property
    def opens_at(self) -> datetime:
        """When the PIN works for the first time: the grace before the stated start."""
        return self.start_time - timedelta(seconds=self.grace_seconds)

    @property
    def comes_back(self) -> bool:
        """Limited to weekly hours: who leaves is expected again."""
        return self.shift_id is not None

    def is_here(self, now: datetime) -> bool:
        """Whether the visitor came and was not seen to leave; of a visit that comes back, this time."""
        came = came_at(self, now)
        return came is not None and (self.checked_out_at is None or self.checked_out_at < came)

    @property
    def hosted_by(self) -> str:
        """The host as screens show them."""
        return str(self.host.user) if self.host is not None else self.host_name


def came_at(visit: Any, now: datetime) -> datetime | None:
    """When the visitor came, by the columns of a visit; an earlier stay at one that comes back every week is none."""
    came: datetime | None = visit.arrived_at
    if came is not None and visit.shift_id is not None and now - came >= SAME_STAY:
        return None
    return came


class ReservationChannel(TenantModel):
    """The reservation covered this channel, for a period."""

    reservation = TenantForeignKey(Reservation, on_delete=models.CASCADE, related_name="reservationchannels")
    channel = TenantForeignKey(Channel, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "reservation", "channel"],
                condition=Q(ended_at=None),
                name="reservation_channel_unique",
            )
        ]
        indexes = [models.Index(fields=["tenant", "channel"], name="reservation_channel_of_channel")]


class ReservationPeriod(TenantModel):
    """What a reservation granted, as it stood during a period; an open one stands now."""

    reservation = TenantForeignKey(Reservation, on_delete=models.CASCADE, related_name="+")
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    shift = TenantForeignKey(Shift, on_delete=models.PROTECT, null=True, related_name="+")
    grace_seconds = models.PositiveIntegerField(default=0)
    needs_check_in = models.BooleanField(default=False)
    max_uses = models.PositiveIntegerField(null=True)
    checked_in_at = models.DateTimeField(null=True)
    checked_out_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "reservation"],
                condition=Q(ended_at=None),
                name="reservation_period_current",
            )
        ]
        indexes = [models.Index(fields=["tenant", "end_time", "start_time"], name="reservation_period_by_end")]


class ReservationUse(TenantModel):
    """One use of a visit that was counted, when it was made and since when it counts: a controller may tell it late."""

    reservation = TenantForeignKey(Reservation, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    used_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "reservation", "number"], name="reservation_use_unique")
        ]


class GroupReservation(TenantModel):
    """A person is in some groups during `[start_time, end_time)`; the memberships themselves carry these periods."""

    person = TenantForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(start_time__lt=F("end_time")), name="group_reservation_period")
        ]
        indexes = [
            models.Index(fields=["tenant", "end_time"], name="group_reservation_by_end"),
            models.Index(fields=["tenant", "person"], name="group_reservation_of_person"),
        ]

    def __str__(self) -> str:
        begins, ends = timezone.localtime(self.start_time), timezone.localtime(self.end_time)
        return f"{begins.day} {begins:%b %Y, %H:%M} to {ends.day} {ends:%b %Y, %H:%M %Z}"

    def state(self, now: datetime) -> str:
        """What the API calls it: pending, active or deactivated."""
        if self.ended_at is not None or self.end_time <= now:
            return "deactivated"
        return "pending" if now < self.start_time else "active"


class GroupReservationGroup(TenantModel):
    """One of its groups, and the membership that holds for its period."""

    group_reservation = TenantForeignKey(GroupReservation, on_delete=models.CASCADE, related_name="groups")
    group = TenantForeignKey(Group, on_delete=models.PROTECT, related_name="+")
    membership = TenantForeignKey(GroupMembership, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "group_reservation", "group"], name="group_reservation_group_unique"
            )
        ]
