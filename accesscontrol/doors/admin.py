"""Access levels, weekly hours, and the keys of machines, which readers hold for doors. Doors stand in access."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultiple, UnfoldAdminTextInputWidget

from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Channel, ReaderChannel, Role, RoleChannel, Shift, ShiftTime
from accesscontrol.doors.periods import OPEN
from accesscontrol.doors.weeks import DAYS, BadHours, in_words, stretches_of, week_in_words
from accounts import keys
from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin, choices_of
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import ApiKey, Site
from accounts.rights import SCOPE_WORDS, Right


def doors_field(request: HttpRequest, admin: TenantAdmin, field: Any) -> None:
    """Let a field choose among the doors that the caller may know of, named with their site."""
    doors = choices_of(admin, request, Channel)
    assert doors is not None
    field.queryset = doors.select_related("site").order_by("site__name", "name")
    field.label_from_instance = lambda door: f"{door.name} ({door.site.name})"


def kept(rows: QuerySet[Any], visible: QuerySet[Any]) -> list[Any]:
    """What a row has elsewhere: the form does not show it, so saving must not take it away."""
    return list(rows.exclude(pk__in=visible.values("pk")))


class DoorsField(forms.ModelMultipleChoiceField):
    widget = UnfoldAdminCheckboxSelectMultiple

    def __init__(self, *, help_text: str = "", label: str = "Doors") -> None:
        super().__init__(Channel.objects.none(), required=False, help_text=help_text, label=label)


class RoleForm(RecordForm):
    doors = DoorsField(help_text="Whoever has this access level may open these doors.")

    class Meta:
        model = Role
        fields = ("name", "site", "shift", "notes")
        help_texts = {"shift": "Without weekly hours the doors open at any time."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "doors" in self.fields:
            doors_field(self.request, self.admin, self.fields["doors"])
        if self.instance.pk:
            rows = RoleChannel.objects.filter(OPEN, role=self.instance)
            self.initial["doors"] = list(rows.values_list("channel_id", flat=True))


@admin.register(Role)
class RoleAdmin(TenantAdmin):
    """Access levels: which doors, during which weekly hours."""

    form = RoleForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    site_lookup = "site_id"
    fields = ("name", "site", "doors", "shift", "notes")
    list_display = ("name", "doors", "hours", "site")
    list_select_related = ("shift", "site")
    ordering = ("name", "id")
    empty_words = "An access level names doors and weekly hours. Give it to people or groups."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Role]:
        rows = RoleChannel.objects.filter(OPEN).select_related("channel")
        return super().get_queryset(request).prefetch_related(
            Prefetch("rolechannels", rows.order_by("channel__name"), to_attr="current_channels")
        )

    def save(self, request: HttpRequest, obj: Role, form: Any, *, change: bool, now: datetime) -> Role:
        by = staff(request).actor
        doors = list(form.cleaned_data["doors"])
        if change:
            rows = RoleChannel.objects.filter(OPEN, role=obj)
            doors += kept(Channel.objects.filter(pk__in=rows.values("channel_id")), form.fields["doors"].queryset)
        obj.save()
        self.audit(request, obj, "change" if change else "create", sorted({*form.changed_data} - {"doors"}), now)
        if change and "shift" in form.changed_data:
            granting.set_shift(obj, obj.shift, by=by, now=now)
        granting.set_channels(obj, doors, by=by, now=now)
        return obj

    @display(description="Doors")
    def doors(self, role: Role) -> str:
        names = [row.channel.name for row in role.current_channels]  # type: ignore[attr-defined]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "None"

    @display(description="Weekly hours")
    def hours(self, role: Role) -> str:
        return role.shift.name if role.shift else "Always"


class ShiftForm(RecordForm):
    called = {"times": "day_0"}

    class Meta:
        model = Shift
        fields = ("name", "notes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial |= {f"day_{day}": words for day, words in days_of(self.instance).items()}

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        stretches: list[Stretch] = []
        for day in range(7):
            try:
                stretches += stretches_of(day, values.get(f"day_{day}") or "")
            except BadHours as refusal:
                self.add_error(f"day_{day}", refusal.sentence)
        values["stretches"] = stretches
        return values


for _day, _name in enumerate(DAYS):
    _field = forms.CharField(label=_name, required=False, max_length=200, widget=UnfoldAdminTextInputWidget)
    ShiftForm.base_fields[f"day_{_day}"] = ShiftForm.declared_fields[f"day_{_day}"] = _field


def days_of(shift: Shift) -> dict[int, str]:
    rows = ShiftTime.objects.filter(OPEN, shift=shift)
    return in_words(Stretch(row.weekday, row.start_time, row.end_time) for row in rows)


@admin.register(Shift)
class ShiftAdmin(TenantAdmin):
    """Weekly hours, written day by day."""

    form = ShiftForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    list_display = ("name", "week")
    ordering = ("name", "id")
    empty_words = "Weekly hours say when an access level opens its doors, such as Monday to Friday 07:00-19:00."

    fieldsets = (
        (None, {"fields": ("name",)}),
        (
            "Hours of each day",
            {
                "fields": tuple(f"day_{day}" for day in range(7)),
                "description": "Write times such as 09:00-17:00, or 09:00-12:00, 13:00-17:00. An end before the start "
                "is on the next day: 22:00-06:00. They are read in the time zone of the site.",
            },
        ),
        (None, {"fields": ("notes",)}),
    )

    def is_open(self, request: HttpRequest, obj: Shift) -> bool:
        # Other sites use the same hours.
        return staff(request).site_ids is None

    def get_fieldsets(self, request: HttpRequest, obj: Shift | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ((None, {"fields": ("name", "week", "notes")}),)
        return super().get_fieldsets(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shift]:
        times = Prefetch("times", ShiftTime.objects.filter(OPEN), to_attr="current_times")
        return super().get_queryset(request).prefetch_related(times)

    def save(self, request: HttpRequest, obj: Shift, form: Any, *, change: bool, now: datetime) -> Shift:
        obj.save()
        plain = [name for name in form.changed_data if not name.startswith("day_")]
        self.audit(request, obj, "change" if change else "create", plain, now)
        if len(plain) < len(form.changed_data):
            granting.set_times(obj, form.cleaned_data["stretches"], by=staff(request).actor, now=now)
        return obj

    @display(description="Hours")
    def week(self, shift: Shift) -> str:
        times = shift.current_times  # type: ignore[attr-defined]
        return week_in_words(in_words(Stretch(t.weekday, t.start_time, t.end_time) for t in times)) or "Never"
