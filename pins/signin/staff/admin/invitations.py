from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget

from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import Site
from accounts.rights import Right, StaffRole
from pins.signin.staff import inviting
from pins.signin.staff.admin.staff_members import ROLE_WORDS, role_field, sites_field
from pins.signin.staff.models import Invitation

STATES = {"Open": "success", "Too old": "warning", "Accepted": "info", "Withdrawn": "danger"}


def state_of(invitation: Invitation, now: datetime) -> str:
    if invitation.accepted_at is not None:
        return "Accepted"
    if invitation.withdrawn_at is not None:
        return "Withdrawn"
    return "Open" if invitation.is_open(now) else "Too old"


class InvitationForm(RecordForm):
    has_own_refusals = True

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=UnfoldAdminEmailInputWidget,
        help_text="They get a link that works for a week, and choose a password of their own.",
    )
    name = forms.CharField(max_length=120, required=False, widget=UnfoldAdminTextInputWidget)
    role = role_field()
    sites = sites_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sites" in self.fields:
            self.fields["sites"].queryset = Site.objects.order_by("name")  # type: ignore[attr-defined]


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("old", "Too old"), ("accepted", "Accepted"), ("withdrawn", "Withdrawn")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> QuerySet[Invitation]:
        waiting, now = Q(accepted_at=None, withdrawn_at=None), timezone.now()
        wanted = {
            "open": waiting & Q(expires_at__gt=now),
            "old": waiting & Q(expires_at__lte=now),
            "accepted": Q(accepted_at__isnull=False),
            "withdrawn": Q(withdrawn_at__isnull=False),
        }
        return queryset.filter(wanted[self.value() or ""]) if self.value() in wanted else queryset


def _waits(invitation: Invitation, now: datetime) -> bool:
    return invitation.accepted_at is None and invitation.withdrawn_at is None


@admin.register(Invitation)
class InvitationAdmin(TenantAdmin):
    """Who was asked to join the staff."""

    form = InvitationForm
    rights = {"view": Right.STAFF_READ, "add": Right.STAFF_WRITE}
    of_whole_tenant = True
    list_display = ("invited", "address", "role_name", "where", "sent", "state")
    list_filter = (StateFilter,)
    ordering = ("-id",)
    add_fieldsets = ((None, {"fields": ("email", "name", "role", "sites")}),)
    empty_words = "Nobody is invited. An invitation is an e-mail with a link to join the staff."
    steps = (
        Step(
            "resend",
            "Send again",
            Right.STAFF_WRITE,
            "resend",
            "{0} gets a new link, for another week. The link sent before stops working.",
            icon="send",
            is_possible=_waits,
        ),
        Step(
            "withdraw",
            "Withdraw",
            Right.STAFF_WRITE,
            "withdraw",
            "The link that {0} was sent stops working at once.",
            icon="unsubscribe",
            danger=True,
            is_possible=_waits,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitation]:
        return super().get_queryset(request).prefetch_related("sites")

    def get_fields(self, request: HttpRequest, obj: Invitation | None = None) -> Any:
        return ("invited", "address", "role_name", "where", "sent", "expires", "state")

    def get_readonly_fields(self, request: HttpRequest, obj: Invitation | None = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def save(self, request: HttpRequest, obj: Invitation, form: Any, *, change: bool, now: datetime) -> Invitation:
        values = form.cleaned_data
        return inviting.invite(
            values["email"],
            StaffRole(values["role"]),
            name=values["name"],
            sites=list(values["sites"]) or None,
            by=staff(request).actor,
            now=now,
        )

    def response_add(self, request: HttpRequest, obj: Invitation, post_url_continue: str | None = None) -> HttpResponse:
        super().response_add(request, obj, post_url_continue)
        return HttpResponseRedirect(reverse("admin:staff_invitation_changelist"))

    def resend(self, request: HttpRequest, obj: Invitation, values: dict[str, Any], now: datetime) -> str:
        inviting.resend(obj, by=staff(request).actor, now=now)
        return "A new link is on its way."

    def withdraw(self, request: HttpRequest, obj: Invitation, values: dict[str, Any], now: datetime) -> str:
        inviting.withdraw(obj, by=staff(request).actor, now=now)
        return "The invitation was withdrawn."

    @display(description="Name")
    def invited(self, invitation: Invitation) -> str:
        return invitation.name or invitation.email

    @display(description="E-mail address")
    def address(self, invitation: Invitation) -> str:
        return invitation.email

    @display(description="Role")
    def role_name(self, invitation: Invitation) -> str:
        return ROLE_WORDS[StaffRole(invitation.role)].partition(":")[0]

    @display(description="Sites")
    def where(self, invitation: Invitation) -> str:
        if invitation.all_sites:
            return "All"
        return ", ".join(sorted(site.name for site in invitation.sites.all())) or "None"

    @display(description="Sent")
    def sent(self, invitation: Invitation) -> str:
        return read_at(invitation.sent_at)

    @display(description="Works until")
    def expires(self, invitation: Invitation) -> str:
        return read_at(invitation.expires_at)

    @display(description="State", label=STATES)
    def state(self, invitation: Invitation) -> str:
        return state_of(invitation, timezone.now())
