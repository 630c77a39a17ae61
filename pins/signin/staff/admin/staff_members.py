from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminRadioSelectWidget

from accounts import tenants
from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import Membership, MembershipSite, Site
from accounts.refusals import Refusal
from accounts.rights import Right, StaffRole
from pins.signin.staff import own_pin, second_factor
from pins.signin.staff.stepping_up import ask

ROLE_WORDS = {
    StaffRole.OWNER: "Owner: everything, staff included",
    StaffRole.MANAGER: "Manager: everything except changing staff",
    StaffRole.FRONT_DESK: "Front desk: people, PINs and visits",
    StaffRole.HOST: "Host: invites visitors of their own",
    StaffRole.AUDITOR: "Auditor: sees, and changes nothing",
}


def role_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=[(role.value, words) for role, words in ROLE_WORDS.items()],
        widget=UnfoldAdminRadioSelectWidget(radio_style=admin.VERTICAL),
    )


def sites_field() -> Any:
    return forms.ModelMultipleChoiceField(
        None,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Choose none for all sites. Everything at other sites is absent for this member.",
    )


class OwnPlace(Refusal):
    code = "own_membership"
    text = "You cannot take your own place away. Ask another owner."


class MembershipForm(RecordForm):
    role = role_field()
    sites = sites_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sites" in self.fields:
            self.fields["sites"].queryset = Site.objects.order_by("name")  # type: ignore[attr-defined]
        rows = MembershipSite.objects.filter(membership=self.instance)
        self.initial["sites"] = list(rows.values_list("site_id", flat=True))


def _works_here(membership: Membership, now: datetime) -> bool:
    return membership.ended_at is None


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    """Members of staff: their role here, and the sites it is limited to. New ones are invited."""

    form = MembershipForm
    rights = {"view": Right.STAFF_READ, "add": Right.STAFF_WRITE, "change": Right.STAFF_WRITE}
    of_whole_tenant = True
    list_display = ("member", "email_address", "role_name", "where", "since", "state")
    list_select_related = ("user",)
    list_filter = ("role",)
    ordering = ("id",)
    empty_words = "Nobody works here yet."
    steps = (
        Step(
            "reset-pin",
            "Reset PIN",
            Right.STAFF_WRITE,
            "reset_pin",
            "The sign-in PIN of {0} ends. They choose a new one after their next sign-in, and are told by e-mail.",
            icon="pin",
            is_possible=_works_here,
        ),
        Step(
            "reset-second-step",
            "Reset second step",
            Right.STAFF_WRITE,
            "reset_second_step",
            "For a lost phone: the authenticator app and backup codes of {0} end, and their next sign-in takes the "
            "password alone. Make sure that it is them who asks. They are told by e-mail.",
            icon="phonelink_erase",
            danger=True,
            is_possible=_works_here,
        ),
        Step(
            "end",
            "End membership",
            Right.STAFF_WRITE,
            "end",
            "{0} can no longer act for this tenant. Places in other tenants stay.",
            icon="person_remove",
            danger=True,
            is_possible=_works_here,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user").prefetch_related("sites")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if not self.has_change_permission(request, obj):
            return ("member", "email_address", "role_name", "where")
        return ("member", "email_address", "role", "sites")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("member", "email_address", "role_name", "where")

    def is_open(self, request: HttpRequest, obj: Membership) -> bool:
        return obj.ended_at is None

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:staff_invitation_add"))

    def save(self, request: HttpRequest, obj: Membership, form: Any, *, change: bool, now: datetime) -> Membership:
        values, by = form.cleaned_data, staff(request).actor
        role, sites = StaffRole(values["role"]), list(values["sites"]) or None
        if obj.pk == by.id and (role != staff(request).staff_role or sites is not None):
            raise OwnPlace(field="role")
        return tenants.join(obj.user, role, by=by, now=now, sites=sites)

    def _take(self, request: HttpRequest, object_id: str, step: Step) -> HttpResponse:
        # Whoever finds an owner's screen open must not open a colleague's account from there.
        guarded = step.name != "end" and staff(request).may(step.right)
        if guarded and self.get_object(request, unquote(object_id)) and (asking := ask(request)) is not None:
            return asking
        return super()._take(request, object_id, step)

    def reset_pin(self, request: HttpRequest, obj: Membership, values: dict[str, Any], now: datetime) -> str:
        own_pin.reset(obj, by=staff(request).actor, now=now)
        return "The PIN was reset."

    def reset_second_step(self, request: HttpRequest, obj: Membership, values: dict[str, Any], now: datetime) -> str:
        second_factor.reset(obj, by=staff(request).actor, now=now)
        return "The second step was reset."

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
