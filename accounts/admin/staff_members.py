from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import keys, tenants
from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import Membership, MembershipSite, Site, User
from accounts.refusals import Refusal
from accounts.rights import Right, StaffRole

ROLE_WORDS = {
    StaffRole.OWNER: "Owner: everything, staff included",
    StaffRole.MANAGER: "Manager: everything except changing staff",
    StaffRole.FRONT_DESK: "Front desk: people, PINs and visits",
    StaffRole.HOST: "Host: invites visitors of their own",
    StaffRole.AUDITOR: "Auditor: sees, and changes nothing",
}


class OwnPlace(Refusal):
    code = "own_membership"
    text = "You cannot take your own place away. Ask another owner."


class MembershipForm(RecordForm):
    email = forms.EmailField(label="E-mail address", max_length=254, widget=UnfoldAdminEmailInputWidget, required=False)
    name = forms.CharField(max_length=120, required=False, widget=UnfoldAdminTextInputWidget)
    role = forms.ChoiceField(
        choices=[(role.value, words) for role, words in ROLE_WORDS.items()],
        widget=UnfoldAdminRadioSelectWidget(radio_style=admin.VERTICAL),
    )
    sites: Any = forms.ModelMultipleChoiceField(
        None,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Choose none for all sites. Everything at other sites is absent for this member.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sites" in self.fields:
            self.fields["sites"].queryset = Site.objects.order_by("name")  # type: ignore[attr-defined]
        if self.instance.pk:
            rows = MembershipSite.objects.filter(membership=self.instance)
            self.initial["sites"] = list(rows.values_list("site_id", flat=True))
        elif "email" in self.fields:
            self.fields["email"].required = True


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    """Members of staff: their role here, and the sites it is limited to."""

    form = MembershipForm
    rights = {"view": Right.STAFF_READ, "add": Right.STAFF_WRITE, "change": Right.STAFF_WRITE}
    of_whole_tenant = True
    list_display = ("member", "email_address", "role_name", "where", "since", "state")
    list_select_related = ("user",)
    list_filter = ("role",)
    ordering = ("id",)
    add_fieldsets = ((None, {"fields": ("email", "name", "role", "sites")}),)
    empty_words = "Nobody works here yet."
    steps = (
        Step(
            "end",
            "End membership",
            Right.STAFF_WRITE,
            "end",
            "{0} can no longer act for this tenant. Places in other tenants stay.",
            icon="person_remove",
            danger=True,
            is_possible=lambda membership, _now: membership.ended_at is None,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user").prefetch_related("sites")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("member", "email_address", "role", "sites")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("member", "email_address") if obj else ()

    def is_open(self, request: HttpRequest, obj: Membership) -> bool:
        return obj.ended_at is None

    def save(self, request: HttpRequest, obj: Membership, form: Any, *, change: bool, now: datetime) -> Membership:
        values, by = form.cleaned_data, staff(request).actor
        role, sites = StaffRole(values["role"]), list(values["sites"]) or None
        if change:
            if obj.pk == by.id and (role != staff(request).staff_role or sites is not None):
                raise OwnPlace(field="role")
            return tenants.join(obj.user, role, by=by, now=now, sites=sites)
        password = "-".join(keys.random_token()[start : start + 5] for start in (0, 5, 10, 15))
        known = User.objects.filter(email=values["email"].strip().lower()).exists()
        user = tenants.user_of(values["email"], name=values["name"], password=password, now=now)
        request.first_password = None if known else password  # type: ignore[attr-defined]
        return tenants.join(user, role, by=by, now=now, sites=sites)

    def response_add(self, request: HttpRequest, obj: Membership, post_url_continue: str | None = None) -> HttpResponse:
        password: str | None = request.first_password  # type: ignore[attr-defined]
        if password is None:
            return super().response_add(request, obj, post_url_continue)
        return self.shown_once(
            request,
            title="Password for the first sign-in",
            intro=f"{obj.user.email} signs in with this password, and can change it then.",
            values=[("Password", password)],
            back=self._after(request, obj),
        )

    def end(self, request: HttpRequest, obj: Membership, values: dict[str, Any], now: datetime) -> str:
        if obj.pk == staff(request).actor.id:
            raise OwnPlace
        tenants.leave(obj, by=staff(request).actor, now=now)
        return "The membership has ended."

    @display(description="Name")
    def member(self, membership: Membership) -> str:
        return membership.user.name or membership.user.email

    @display(description="E-mail address")
    def email_address(self, membership: Membership) -> str:
        return membership.user.email

    @display(description="Role")
    def role_name(self, membership: Membership) -> str:
        return ROLE_WORDS[StaffRole(membership.role)].partition(":")[0]

    @display(description="Sites")
    def where(self, membership: Membership) -> str:
        if membership.all_sites:
            return "All"
        return ", ".join(sorted(site.name for site in membership.sites.all())) or "None"

    @display(description="Since")
    def since(self, membership: Membership) -> str:
        return read_at(membership.created_at)

    @display(description="State", label={"Active": "success", "Ended": "info"})
    def state(self, membership: Membership) -> str:
        return "Active" if membership.ended_at is None else "Ended"
