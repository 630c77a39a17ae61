from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from accesscontrol.doors import granting
from accesscontrol.doors.admin import previews
from accesscontrol.doors.admin.choosing import DoorsField, offer, some_of, with_hidden
from accesscontrol.doors.models import Channel, Role, RoleChannel
from accesscontrol.doors.periods import OPEN
from accounts.admin.records import RecordForm, TenantAdmin, visible_rows
from accounts.admin_site import staff
from accounts.rights import Right


class RoleForm(RecordForm):
    doors = DoorsField(help_text="Whoever has this access level may open these doors.")

    class Meta:
        labels = {"shift": "Weekly hours"}
        help_texts = {
            "shift": "Without weekly hours the doors open at any time.",
            "rotate_after_days": "Whoever has this access level gets a new PIN so often. Empty: never for this level.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "doors", Channel, "site")
        if self.instance.pk:
            rows = RoleChannel.objects.filter(OPEN, role=self.instance)
            self.initial["doors"] = list(rows.values_list("channel_id", flat=True))


@admin.register(Role)
class RoleAdmin(TenantAdmin):
    """Access levels: which doors, during which weekly hours."""

    form = RoleForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    site_lookup = "site_id"
    fields = ("name", "site", "doors", "shift", "rotate_after_days", "notes")
    readonly_fields = ("opens",)
    list_display = ("name", "doors", "hours", "site")
    list_select_related = ("shift", "site")
    ordering = ("name", "id")
    empty_words = "An access level names doors and weekly hours. Give it to people or groups."

    def get_fields(self, request: HttpRequest, obj: Role | None = None) -> Any:
        return self.fields if obj is None else ("name", "site", "doors", "shift", "opens", *self.fields[4:])

    def is_open(self, request: HttpRequest, obj: Role) -> bool:
        # What also opens doors at other sites is not for members of some of them to change.
        site_ids = staff(request).site_ids
        if site_ids is None:
            return True
        doors = RoleChannel.objects.filter(OPEN, role=obj)
        return obj.site_id in site_ids and not doors.exclude(channel__site_id__in=site_ids).exists()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Role]:
        doors = visible_rows(request, Channel)
        rows = RoleChannel.objects.filter(OPEN, role=OuterRef("pk"), channel__in=doors)
        names = ArraySubquery(rows.order_by("channel__name").values("channel__name"))
        return super().get_queryset(request).annotate(door_names=names)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Role | None:
        role: Role | None = super().get_object(request, object_id, from_field)
        if role is not None:
            role.visible_doors = visible_rows(request, Channel)  # type: ignore[attr-defined]
        return role

    def save(self, request: HttpRequest, obj: Role, form: Any, *, change: bool, now: datetime) -> Role:
        by = staff(request).actor
        rows = RoleChannel.objects.filter(OPEN, role_id=obj.pk)
        doors = with_hidden(form, "doors", Channel.objects.filter(pk__in=rows.values("channel_id")))
        obj.save()
        self.audit(request, obj, "change" if change else "create", sorted({*form.changed_data} - {"doors"}), now)
        if change and "shift" in form.changed_data:
            granting.set_shift(obj, obj.shift, by=by, now=now)
        granting.set_channels(obj, doors, by=by, now=now)
        return obj

    @display(description="When it opens")
    def opens(self, role: Role) -> str:
        return previews.of_role(role, role.visible_doors, timezone.now())  # type: ignore[attr-defined]

    @display(description="Doors")
    def doors(self, role: Role) -> str:
        return some_of(role.door_names)  # type: ignore[attr-defined]

    @display(description="Weekly hours")
    def hours(self, role: Role) -> str:
        return role.shift.name if role.shift else "Always"
