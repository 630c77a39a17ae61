from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import applications
from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import OAuthApplication, OAuthConsent
from accounts.rights import SCOPE_WORDS, Right


class ApplicationForm(RecordForm):
    """Another program; whether it can keep a secret is fixed when it is registered."""

    has_own_refusals = True

    is_public = forms.BooleanField(
        required=False,
        label="It cannot keep a secret",
        help_text="It runs in a browser or on a telephone: it gets no secret and must use PKCE.",
    )
    scopes = forms.MultipleChoiceField(
        choices=list(SCOPE_WORDS.items()),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="The most that it may ask for. Whoever connects it sees what it asks for in these words.",
    )

    class Meta:
        help_texts = {
            "name": "Members of staff read it when the application asks for access.",
            "redirect_uris": "Where it is sent back to: https addresses, one on each line. "
            "In testing also http://localhost:3000/callback and the like.",
            "pkce_optional": "For older programs that have a secret and know no PKCE.",
            "is_for_all_tenants": "Staff of every organisation on this installation may connect it to theirs.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"name", "redirect_uris"} & set(self.fields):
            self.fields[name].required = True

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if values.get("is_public") and values.get("pkce_optional"):
            self.add_error("pkce_optional", "Without a secret PKCE is what proves the application.")
        return values


@admin.register(OAuthApplication)
class ApplicationAdmin(TenantAdmin):
    """Programs that staff may connect by OAuth. The secret is shown once, when it is made."""

    form = ApplicationForm
    rights = {"view": Right.KEYS_WRITE, "add": Right.KEYS_WRITE, "change": Right.KEYS_WRITE}
    of_whole_tenant = True
    list_display = ("name", "id_of_client", "state_word", "connected", "registered")
    ordering = ("name", "id")
    empty_words = "Programs that act for a member of staff ask for access by OAuth. Register the first one."
    steps = (
        Step(
            "renew_secret",
            "New secret",
            Right.KEYS_WRITE,
            "renew_secret",
            "“{0}” must use the new secret from now on: the old one stops working at once. Connections stay.",
            icon="key",
            danger=True,
            is_possible=lambda application, _now: bool(application.client_secret) and not application.is_copy,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OAuthApplication]:
        live = Count("oauthconsents", filter=Q(oauthconsents__ended_at=None))
        return super().get_queryset(request).annotate(connections=live)

    def get_fields(self, request: HttpRequest, obj: OAuthApplication | None = None) -> Any:
        shared = ("is_for_all_tenants",) if request.user.is_platform_owner else ()  # type: ignore[union-attr]
        fields = ("name", "redirect_uris", "scopes", "pkce_optional", *shared, "requests_per_minute")
        return (*fields, "is_public") if obj is None else ("client_id", "state", *fields, "connected", "registered")

    def get_readonly_fields(self, request: HttpRequest, obj: OAuthApplication | None = None) -> Any:
        return () if obj is None else ("client_id", "connected", "registered")

    def is_open(self, request: HttpRequest, obj: OAuthApplication) -> bool:
        # Whoever changes where an application for all is sent back to is sent the codes of every organisation.
        return not obj.is_copy and (not obj.is_for_all_tenants or request.user.is_platform_owner)  # type: ignore[union-attr]

    def may_take(self, request: HttpRequest, step: Step, obj: OAuthApplication, now: datetime) -> bool:
        return self.is_open(request, obj) and super().may_take(request, step, obj, now)

    def save(self, request: HttpRequest, obj: Any, form: Any, *, change: bool, now: datetime) -> OAuthApplication:
        values, by = dict(form.cleaned_data), staff(request).actor
        uris = values.pop("redirect_uris", "").split()
        is_public = values.pop("is_public", False)
        if change:
            values = {name: values[name] for name in applications.WRITABLE if name in values}
            applications.change(obj, {**values, "redirect_uris": " ".join(uris)}, by=by, now=now)
            changed: OAuthApplication = OAuthApplication.objects.get(pk=obj.pk)
            return changed
        registered = applications.register(
            values.pop("name"),
            redirect_uris=uris,
            scopes=values.pop("scopes"),
            is_public=is_public,
            by=by,
            now=now,
            **{name: values[name] for name in applications.WRITABLE if name in values},
        )
        request.registered = registered  # type: ignore[attr-defined]
        return registered.application

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        registered: applications.Registered = request.registered  # type: ignore[attr-defined]
        return self._shown(request, obj, "New application", registered.secret)

    def renew_secret(self, request: HttpRequest, obj: Any, values: dict[str, Any], now: datetime) -> HttpResponse:
        secret = applications.renew_secret(obj, by=staff(request).actor, now=now)
        return self._shown(request, obj, "New secret", secret)

    def _shown(self, request: HttpRequest, obj: OAuthApplication, title: str, secret: str | None) -> HttpResponse:
        values = [("client_id", obj.client_id), *([("client_secret", secret)] if secret else [])]
        words = "The secret is kept as a digest only and cannot be shown again." if secret else "It has no secret."
        return self.shown_once(
            request,
            title=title,
            intro=f"Give this to “{obj.name}” now. {words}",
            values=values,
            back=self._after(request, obj),
        )

    @display(description="Client ID")
    def id_of_client(self, application: OAuthApplication) -> str:
        return application.client_id

    @display(description="State", label={"Testing": "info", "Live": "success", "Disabled": "danger"})
    def state_word(self, application: OAuthApplication) -> str:
        return str(application.get_state_display()).partition(":")[0]

    @display(description="Connected")
    def connected(self, application: OAuthApplication) -> str:
        count = application.connections
        return f"by {count} member{'' if count == 1 else 's'} of staff" if count else "by nobody"

    @display(description="Registered")
    def registered(self, application: OAuthApplication) -> str:
        words = read_at(application.created)
        return f"{words} (offered by another organisation)" if application.is_copy else words


@admin.register(OAuthConsent)
class ConsentAdmin(TenantAdmin):
    """Which applications act for which members of staff."""

    rights = {"view": Right.KEYS_WRITE}
    of_whole_tenant = True
    list_display = ("application", "member", "may", "given", "state")
    list_select_related = ("application", "membership__user")
    ordering = ("ended_at", "-id")
    fields = ("application", "member", "may", "given", "state")
    readonly_fields = fields
    empty_words = "No member of staff has connected an application yet."
    steps = (
        Step(
            "disconnect",
            "Disconnect",
            Right.KEYS_WRITE,
            "disconnect",
            "Every token of “{0}” stops working at once. It can be connected again.",
            icon="link_off",
            danger=True,
            is_possible=lambda given, _now: given.ended_at is None,
        ),
    )

    def disconnect(self, request: HttpRequest, obj: OAuthConsent, values: dict[str, Any], now: datetime) -> str:
        applications.disconnect(obj, by=staff(request).actor, now=now)
        return "The application was disconnected."

    @display(description="Acts for")
    def member(self, given: OAuthConsent) -> str:
        return str(given.membership)

    @display(description="May")
    def may(self, given: OAuthConsent) -> str:
        return "; ".join(SCOPE_WORDS.get(scope, scope) for scope in given.scopes)

    @display(description="Since")
    def given(self, given: OAuthConsent) -> str:
        return read_at(given.given_at)

    @display(description="State", label={"Connected": "success", "Ended": "danger"})
    def state(self, given: OAuthConsent) -> str:
        return "Ended" if given.ended_at else "Connected"
