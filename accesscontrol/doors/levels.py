"""Weekly hours and access levels as records: names, notes, and what they mean from now on."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Channel, Role, Shift
from accounts import audit
from accounts.refusals import Refusal, refusing


class ShiftNameTaken(Refusal):
    code = "taken"
    field = "name"
    text = "Other weekly hours have this name already."
    constraint = "shift_name_unique"


class RoleNameTaken(Refusal):
    code = "taken"
    field = "name"
    text = "Another access level has this name already."
    constraint = "role_name_unique"


@transaction.atomic
def save_shift(
    shift: Shift, values: Mapping[str, Any], *, times: Iterable[Stretch] | None, by: audit.Actor, now: datetime
) -> Shift:
    """Write name, notes and what is done on holidays, and (not None) the stretches that hold from now on."""
    is_new, before = shift.pk is None, shift.on_holiday
    _write(shift, values, ("name", "notes", "on_holiday"), ShiftNameTaken, by=by, now=now)
    if not is_new and before != shift.on_holiday:
        granting.set_on_holiday(shift, shift.on_holiday, by=by, now=now)
    if times is not None:
        granting.set_times(shift, times, by=by, now=now)
    return shift


@transaction.atomic
def save_role(
    role: Role, values: Mapping[str, Any], *, channels: Iterable[Channel] | None, by: audit.Actor, now: datetime
) -> Role:
    """Write a role's own fields, and (not None) the channels that it opens from now on."""
    is_new = role.pk is None
    before = role.shift_id
    _write(role, values, ("name", "notes", "site", "shift", "rotate_after_days"), RoleNameTaken, by=by, now=now)
    if not is_new and before != role.shift_id:
        granting.set_shift(role, role.shift, by=by, now=now)
    if channels is not None:
        granting.set_channels(role, channels, by=by, now=now)
    return role


def _write(
    row: Any,
    values: Mapping[str, Any],
    writable: Iterable[str],
    taken: type[Refusal],
    *,
    by: audit.Actor,
    now: datetime,
) -> None:
    is_new = row.pk is None
    changed = [name for name in writable if name in values and (is_new or getattr(row, name) != values[name])]
    for name in changed:
        setattr(row, name, values[name])
    if is_new:
        row.created_at = now
    if not changed:
        return
    with refusing(taken):
        row.save(**({"force_insert": True} if is_new else {"update_fields": [*changed, "updated_at"]}))
    verb = "create" if is_new else "change"
    audit.record(verb, row._meta.model_name, row.pk, by=by, now=now, fields=() if is_new else changed)
