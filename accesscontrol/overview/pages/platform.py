"""The platform owner's pages: tenants in numbers, a new one with its first owner, suspending and resuming.

No row of a tenant is read here: what is shown are the figures that each tenant's own tick has written.
"""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from accesscontrol.overview import figures, founding
from accesscontrol.overview.figures import Glance
from accesscontrol.overview.pages.platform_sign_in import platform_owner
from accounts import tenants
from accounts.admin.sites import TimeZoneField
from accounts.audit import Actor
from accounts.models import User
from accounts.refusals import Refusal
from pins.signin.staff import second_factor
from pins.signin.staff.pages import refuse


class NewTenantForm(forms.Form):
    """One form for a tenant and its first owner."""

    name = forms.CharField(max_length=120, label="Organisation", help_text="Its staff and its visitors read this name.")
    slug = forms.SlugField(
        max_length=60,
        required=False,
        label="Short name",
        help_text="Letters, digits, hyphens. Empty: from its name.",
    )
    time_zone = TimeZoneField()
    language = forms.ChoiceField(choices=settings.LANGUAGES, label="Language of messages")
    owner_name = forms.CharField(max_length=120, label="Name of the first owner")
    owner_email = forms.EmailField(
        max_length=254, label="E-mail address of the first owner", help_text="They are sent an invitation for a week."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].widget = forms.Select(choices=self.fields["time_zone"].choices)  # type: ignore[attr-defined]


class SureForm(forms.Form):
    """What nobody does at a screen that somebody else left: it takes a new code of the app."""

    code = forms.CharField(
        max_length=20,
        label="Code",
        widget=forms.TextInput({"autocomplete": "one-time-code", "class": "pin", "spellcheck": "false"}),
        help_text="From your authenticator app, a new one; or a backup code.",
    )


class InviteForm(SureForm):
    """Whoever owns a tenant sees all of it, its PINs too."""

    email = forms.EmailField(max_length=254, label="E-mail address of an owner")
    field_order = ("email", "code")


class SuspendForm(SureForm):
    """Whoever shuts out a building's people names it."""

    field_order = ("name", "code")

    name = forms.CharField(max_length=120, label="Name of the organisation", required=False)

    def __init__(self, *args: Any, tenant: Glance, **kwargs: Any) -> None:
        self.tenant = tenant
        super().__init__(*args, **kwargs)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if name.casefold() != self.tenant.name.casefold():
            raise forms.ValidationError(f"Write “{self.tenant.name}” to confirm.")
        return name


def _by(request: HttpRequest) -> Actor:
    return Actor("platform", request.user.pk)


def _is_sure(request: HttpRequest, form: SureForm) -> bool:
    """Whether the code is right; it is used up then, whatever follows."""
    assert isinstance(request.user, User)
    try:
        second_factor.check(request.user, form.cleaned_data["code"], now=timezone.now())
    except Refusal as refusal:
        refuse(form, refusal)
    return form.is_valid()


def _tenant(tenant_id: int) -> Glance:
    found = next((tenant for tenant in figures.all_tenants() if tenant.id == tenant_id), None)
    if found is None:
        raise Http404
    return found


@platform_owner
def tenant_list(request: HttpRequest) -> HttpResponseBase:
    """All tenants, those with trouble marked."""
    rows = figures.all_tenants()
    asked = request.GET.get("q", "").strip().casefold()[:120]
    if asked:
        rows = [row for row in rows if asked in row.name.casefold() or asked in row.slug]
    context = {"rows": rows, "asked": asked, "now": timezone.now(), "late": timezone.now() - figures.LATE}
    return render(request, "platform/tenants.html", context)


@platform_owner
def new_tenant(request: HttpRequest) -> HttpResponseBase:
    """Found a tenant and invite its first owner."""
    form = NewTenantForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            tenant = founding.found_with_owner(**form.cleaned_data, by=_by(request), now=timezone.now())
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            invited = form.cleaned_data["owner_email"]
            messages.success(request, f"{tenant.name} is there. An invitation is on its way to {invited}.")
            return redirect("platform:tenant", tenant.pk)
    return render(request, "platform/new.html", {"form": form})


@platform_owner
def one_tenant(request: HttpRequest, platform_tenant_id: int) -> HttpResponseBase:
    return _shown(request, _tenant(platform_tenant_id), InviteForm())


def _shown(request: HttpRequest, tenant: Glance, form: InviteForm) -> HttpResponseBase:
    context = {"tenant": tenant, "form": form, "late": timezone.now() - figures.LATE}
    return render(request, "platform/tenant.html", context)


@require_POST
@platform_owner
def invite(request: HttpRequest, platform_tenant_id: int) -> HttpResponseBase:
    """Invite another owner, such as for an invitation that was lost."""
    tenant, form = _tenant(platform_tenant_id), InviteForm(request.POST)
    if form.is_valid() and _is_sure(request, form):
        try:
            founding.invite_owner(tenant.id, form.cleaned_data["email"], by=_by(request), now=timezone.now())
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, f"An invitation is on its way to {form.cleaned_data['email']}.")
            return redirect("platform:tenant", tenant.id)
    return _shown(request, tenant, form)


@platform_owner
def suspend(request: HttpRequest, platform_tenant_id: int) -> HttpResponseBase:
    """Ask with all that follows, and suspend once the name was written."""
    tenant = _tenant(platform_tenant_id)
    if tenant.suspended_at is not None:
        return redirect("platform:tenant", tenant.id)
    form = SuspendForm(request.POST if request.method == "POST" else None, tenant=tenant)
    if request.method == "POST" and form.is_valid() and _is_sure(request, form):
        tenants.suspend(tenant.id, by=_by(request), now=timezone.now())
        messages.success(request, f"{tenant.name} is suspended.")
        return redirect("platform:tenant", tenant.id)
    return render(request, "platform/suspend.html", {"tenant": tenant, "form": form})


@require_POST
@platform_owner
def resume(request: HttpRequest, platform_tenant_id: int) -> HttpResponseBase:
    tenant = _tenant(platform_tenant_id)
    tenants.resume(tenant.id, by=_by(request), now=timezone.now())
    messages.success(request, f"{tenant.name} is open again.")
    return redirect("platform:tenant", tenant.id)
