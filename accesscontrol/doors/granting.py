"""What a role opens and when weekly hours are: changed by ending periods and starting new ones, never in place."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from accesscontrol.doors.hours import OnHoliday, Stretch
from accesscontrol.doors.models import Channel, ReaderChannel, Role, RoleChannel, Shift, ShiftTime
from accesscontrol.doors.periods import OPEN, follow
from accounts import audit
from accounts.models import ApiKey
from accounts.refusals import Refusal


class OverlappingHours(Refusal):
    code = "overlapping_hours"
    field = "times"
    text = "Two of these times start together on the same day."


@transaction.atomic
def set_times(shift: Shift, stretches: Iterable[Stretch], *, by: audit.Actor, now: datetime) -> None:
    """Give weekly hours these stretches from now on; what held before is kept."""
    on_holiday = OnHoliday(Shift.objects.select_for_update().get(pk=shift.pk).on_holiday)
    wanted = [replace(stretch, on_holiday=on_holiday) for stretch in stretches]
    if len({(stretch.weekday, stretch.start_time) for stretch in wanted}) != len(wanted):
        raise OverlappingHours
    current = {row.stretch: row.pk for row in ShiftTime.objects.filter(OPEN, shift=shift)}
    gone = [pk for stretch, pk in current.items() if stretch not in wanted]
    ShiftTime.objects.filter(pk__in=gone).update(ended_at=now)
    ShiftTime.objects.bulk_create(
        ShiftTime(
            shift=shift,
            weekday=stretch.weekday,
            start_time=stretch.start_time,
            end_time=stretch.end_time,
            on_holiday=on_holiday.value,
            started_at=now,
        )
        for stretch in wanted
        if stretch not in current
    )
    audit.record("change", "shift", shift.pk, by=by, now=now, fields=["times"])


@transaction.atomic
def set_on_holiday(shift: Shift, on_holiday: str, *, by: audit.Actor, now: datetime) -> None:
    """Say what weekly hours do on holidays from now on."""
    Shift.objects.filter(pk=shift.pk).update(on_holiday=OnHoliday(on_holiday).value, updated_at=now)
    shift.on_holiday = OnHoliday(on_holiday).value
    set_times(shift, [row.stretch for row in ShiftTime.objects.filter(OPEN, shift=shift)], by=by, now=now)
    audit.record("change", "shift", shift.pk, by=by, now=now, fields=["on_holiday"])


@transaction.atomic
def set_channels(role: Role, channels: Iterable[Channel], *, by: audit.Actor, now: datetime) -> None:
    """Let a role open these channels, during its shift, from now on; what held before is kept."""
    role = Role.objects.select_for_update(of=("self",)).get(pk=role.pk)
    rows = RoleChannel.objects.filter(role=role)
    # Rows that still carry an earlier shift end with it.
    rows.filter(OPEN).exclude(shift=role.shift).update(ended_at=now)
    wanted = {role.pk: [channel.pk for channel in channels]}
    if follow(rows, "role_id", "channel_id", wanted, now=now, shift_id=role.shift_id):
        Role.objects.filter(pk=role.pk).update(rotation_applied_days=None)
        audit.record("change", "role", role.pk, by=by, now=now, fields=["channels"])


@transaction.atomic
def set_shift(role: Role, shift: Shift | None, *, by: audit.Actor, now: datetime) -> None:
    """Limit a role to weekly hours, or (None) let it open always, from now on."""
    Role.objects.filter(pk=role.pk).update(shift=shift, updated_at=now)
    role.shift = shift
    channels = list(Channel.objects.filter(pk__in=RoleChannel.objects.filter(OPEN, role=role).values("channel_id")))
    set_channels(role, channels, by=by, now=now)
    audit.record("change", "role", role.pk, by=by, now=now, fields=["shift"])


@transaction.atomic
def bind_reader(reader_key: ApiKey, channels: Iterable[Channel], *, by: audit.Actor, now: datetime) -> None:
    """Let a reader key ask for exactly these channels, from now on."""
    wanted = {channel.pk for channel in channels}
    rows = ReaderChannel.objects.filter(api_key=reader_key)
    current = set(rows.values_list("channel_id", flat=True))
    if wanted == current:
        return
    rows.exclude(channel_id__in=wanted).delete()
    ReaderChannel.objects.bulk_create(
        ReaderChannel(api_key=reader_key, channel_id=channel_id) for channel_id in sorted(wanted - current)
    )
    audit.record("change", "api_key", reader_key.pk, by=by, now=now, fields=["channels"])
