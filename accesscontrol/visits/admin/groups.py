from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accesscontrol.doors.admin.choosing import offer, some_of, with_hidden
from accesscontrol.doors.models import Role
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Group, GroupRole
from accesscontrol.visits import belonging
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin_site import staff
from accounts.rights import Right


class GroupForm(RecordForm):
    access_levels: Any = forms.ModelMultipleChoiceField(
        None,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Everybody in the group may open the doors of these.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "access_levels", Role, within=belonging.roles_within(staff(self.request).site_ids))
        if self.instance.pk:
            rows = GroupRole.objects.filter(OPEN, group=self.instance)
            self.initial["access_levels"] = list(rows.values_list("role_id", flat=True))


@admin.register(Group)
class GroupAdmin(TenantAdmin):
    """People who share access levels."""

    form = GroupForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    site_lookup = "site_id"
    fields = ("name", "site", "access_levels", "notes")
    list_display = ("name", "access_levels", "site")
    list_select_related = ("site",)
    ordering = ("name", "id")
    empty_words = "Put people who open the same doors into a group, and give the group its access levels."

    def is_open(self, request: HttpRequest, obj: Group) -> bool:
        # What also opens doors at other sites is not for members of some of them to change.
        return belonging.groups_within(staff(request).site_ids).filter(pk=obj.pk).exists()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        rows = GroupRole.objects.filter(OPEN, group=OuterRef("pk")).order_by("role__name")
        return super().get_queryset(request).annotate(role_names=ArraySubquery(rows.values("role__name")))

    def save(self, request: HttpRequest, obj: Group, form: Any, *, change: bool, now: datetime) -> Group:
        rows = GroupRole.objects.filter(OPEN, group_id=obj.pk)
        roles = with_hidden(form, "access_levels", Role.objects.filter(pk__in=rows.values("role_id")))
        obj.save()
        plain = [name for name in form.changed_data if name != "access_levels"]
        self.audit(request, obj, "change" if change else "create", plain, now)
        belonging.set_group_roles(obj, roles, by=staff(request).actor, now=now)
        return obj

    @display(description="Access levels")
    def access_levels(self, group: Group) -> str:
        return some_of(group.role_names)  # type: ignore[attr-defined]
