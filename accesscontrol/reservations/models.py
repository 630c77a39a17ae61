"""A person's right to be let in at some channels during `[start_time, end_time)`."""

from datetime import datetime
from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accesscontrol.doors.models import Channel, Shift
from accesscontrol.people.models import Group, GroupMembership, Person
from accounts.tenancy import TenantForeignKey, TenantModel


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
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "visit"
        constraints = [
            models.CheckConstraint(
                condition=Q(start_time__lt=F("end_time")),
                name="reservation_period",
                violation_error_message="The reservation must end after it starts.",
            )
        ]
        indexes = [
            models.Index(fields=["tenant", "person", "end_time"], name="reservation_of_person"),
            models.Index(fields=["tenant", "end_time"], name="reservation_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.start_time:%Y-%m-%d %H:%M} to {self.end_time:%Y-%m-%d %H:%M}"

    def is_over(self, now: datetime) -> bool:
        return self.cancelled_at is not None or self.end_time <= now


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
        return f"{self.start_time:%Y-%m-%d %H:%M} to {self.end_time:%Y-%m-%d %H:%M}"

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
