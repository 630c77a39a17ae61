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
from accesscontrol.doors.weeks import BadHours, in_words, stretches_of
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
