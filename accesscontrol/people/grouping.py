"""Groups as records; who is in them and which roles they share stands in records.py."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accesscontrol.people.models import Group
from accounts import audit
from accounts.refusals import Refusal, refusing

WRITABLE = ("name", "notes", "site")


class GroupNameTaken(Refusal):
    code = "taken"
    field = "name"
    text = "Another group has this name already."
    constraint = "group_name_unique"


@transaction.atomic
def save(group: Group, values: Mapping[str, Any], *, by: audit.Actor, now: datetime) -> Group:
    """Add or change a group; refuses a name that another has."""
    is_new = group.pk is None
    changed = [name for name in WRITABLE if name in values and (is_new or getattr(group, name) != values[name])]
    for name in changed:
        setattr(group, name, values[name])
    if is_new:
        group.created_at = now
    if changed:
        with refusing(GroupNameTaken):
            group.save(**({"force_insert": True} if is_new else {"update_fields": [*changed, "updated_at"]}))
        verb = "create" if is_new else "change"
        audit.record(verb, "group", group.pk, by=by, now=now, fields=() if is_new else changed)
    return group
