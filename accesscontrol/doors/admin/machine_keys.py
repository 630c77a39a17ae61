from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminRadioSelectWidget

from accesscontrol.doors import granting
from accesscontrol.doors.admin.choosing import DoorsField, offer, some_of, with_hidden
from accesscontrol.doors.models import Channel, ReaderChannel
from accounts import audit, keys
from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import ApiKey, ApiKeySite, Site
from accounts.rights import SCOPE_WORDS, Right
from pins.signin.staff.stepping_up import ask

KIND_WORDS = {
    ApiKey.Kind.API: "API: an integration, with the scopes below",
    ApiKey.Kind.READER: "Reader: a keypad or door controller, for the doors below",
    ApiKey.Kind.GENERATOR: "PIN generator: other software that asks for PINs",
    ApiKey.Kind.SIGNIN: "PIN sign-in: an application with accounts behind a PIN",
    ApiKey.Kind.SEAM: "Seam: software made for Seam's access codes and locks",
}


class KeyForm(RecordForm):
    """A new key. What it may do is fixed when it is made; a reader's doors can change."""

    kind = forms.ChoiceField(
        choices=list(KIND_WORDS.items()),
        widget=UnfoldAdminRadioSelectWidget(radio_style=admin.VERTICAL),
        required=False,
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope, words) for scope, words in SCOPE_WORDS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        required=False,
        help_text="Only for API keys. Choose as little as the integration needs.",
    )
    reader_doors = DoorsField(help_text="Only for reader keys: the doors that this reader asks for.")
    key_sites: Any = forms.ModelMultipleChoiceField(
        None,
        required=False,
        label="Sites",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Choose none for all sites.",
    )

    class Meta:
        help_texts = {
            "name": "Who or what holds this key.",
            "expires_at": "Leave empty for a key that works until it is revoked.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "reader_doors", Channel, "site")
        offer(self, "key_sites", Site)
        if self.instance.pk:
            rows = ReaderChannel.objects.filter(api_key=self.instance)
            self.initial["reader_doors"] = list(rows.values_list("channel_id", flat=True))
        else:
            self.initial["kind"] = ApiKey.Kind.API

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if self.instance.pk:
            return values
        kind = values.get("kind") or ApiKey.Kind.API
        if kind == ApiKey.Kind.API and not values.get("scopes"):
            self.add_error("scopes", "Choose at least one scope: without any the key may do nothing.")
        if kind == ApiKey.Kind.READER and not values.get("reader_doors"):
            self.add_error("reader_doors", "Choose the doors that this reader asks for.")
        if values.get("expires_at") and values["expires_at"] <= timezone.now():
            self.add_error("expires_at", "This is in the past.")
        return values


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin):
    """The keys of machines. A key is shown once, when it is made."""

    form = KeyForm
    rights = {"view": Right.KEYS_WRITE, "add": Right.KEYS_WRITE, "change": Right.KEYS_WRITE}
    of_whole_tenant = True
    list_display = ("name", "kind_word", "prefix", "may", "expires", "last_used", "state")
    list_filter = ("kind",)
    ordering = ("-id",)
    add_fieldsets = (
        (None, {"fields": ("name", "kind")}),
        ("What it may do", {"fields": ("scopes", "reader_doors", "key_sites")}),
        ("Limits", {"fields": ("expires_at", "requests_per_minute")}),
    )
    empty_words = "Integrations and keypads ask with a key of their own. Make the first one."
    steps = (
        Step(
            "revoke",
            "Revoke key",
            Right.KEYS_WRITE,
            "revoke",
            "“{0}” stops working at once and for good. Whatever uses it is turned away.",
            icon="key_off",
            danger=True,
            is_possible=lambda key, _now: key.revoked_at is None,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        doors = ReaderChannel.objects.filter(api_key=OuterRef("pk")).order_by("channel__name")
        sites = ApiKeySite.objects.filter(api_key=OuterRef("pk")).order_by("site__name")
        return (
            super()
            .get_queryset(request)
            .annotate(
                door_names=ArraySubquery(doors.values("channel__name")),
                site_names=ArraySubquery(sites.values("site__name")),
            )
        )

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        doors = ("reader_doors",) if obj is not None and obj.kind == ApiKey.Kind.READER else ()
        shown = ("prefix", "kind_word", "may", "where", "requests_per_minute", "made", "expires", "last_used")
        return ("name", *doors, *shown, "state")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return ()
        return tuple(name for name in self.get_fields(request, obj) if name not in ("name", "reader_doors"))

    def is_open(self, request: HttpRequest, obj: ApiKey) -> bool:
        return obj.revoked_at is None

    def save(self, request: HttpRequest, obj: ApiKey, form: Any, *, change: bool, now: datetime) -> ApiKey:
        values, by = form.cleaned_data, staff(request).actor
        if change:
            if "name" in form.changed_data:
                obj.save(update_fields=["name"])
                self.audit(request, obj, "change", ["name"], now)
            if obj.kind == ApiKey.Kind.READER:
                rows = ReaderChannel.objects.filter(api_key=obj)
                held = Channel.objects.filter(pk__in=rows.values("channel_id"))
                granting.bind_reader(obj, with_hidden(form, "reader_doors", held), by=by, now=now)
            return obj
        kind = ApiKey.Kind(values["kind"] or ApiKey.Kind.API)
        minted = keys.mint(
            values["name"],
            kind=kind,
            scopes=values["scopes"] if kind == ApiKey.Kind.API else (),
            sites=list(values["key_sites"]) or None,
            expires_at=values["expires_at"],
            requests_per_minute=values["requests_per_minute"],
            by=by,
            now=now,
        )
        if kind == ApiKey.Kind.READER:
            granting.bind_reader(minted.api_key, values["reader_doors"], by=by, now=now)
        request.minted = minted  # type: ignore[attr-defined]
        return minted.api_key

    def audit(self, request: HttpRequest, obj: Any, verb: str, fields: list[str], now: datetime) -> None:
        audit.record(verb, "api_key", obj.pk, by=staff(request).actor, now=now, fields=fields)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        # A key goes on acting when nobody is there any more: whoever makes one types their own PIN once more.
        if self.has_add_permission(request) and (asking := ask(request)) is not None:
            return asking
        return super().add_view(request, form_url, extra_context)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        minted: keys.MintedKey = request.minted  # type: ignore[attr-defined]
        values = [("Key", minted.value)]
        if minted.secret:
            values = [("apikey", minted.value), ("apisecret", minted.secret)]
        return self.shown_once(
            request,
            title="New key",
            intro=f"Give this to “{obj.name}” now. It is kept as a digest only and cannot be shown again.",
            values=values,
            back=self._after(request, obj),
        )

    def revoke(self, request: HttpRequest, obj: ApiKey, values: dict[str, Any], now: datetime) -> str:
        keys.revoke(obj, by=staff(request).actor, now=now)
        return "The key was revoked."

    @display(description="Kind")
    def kind_word(self, key: ApiKey) -> str:
        return key.get_kind_display()

    @display(description="Begins with")
    def prefix(self, key: ApiKey) -> str:
        return f"{key.shown_prefix}…"

    @display(description="May")
    def may(self, key: ApiKey) -> str:
        if key.kind == ApiKey.Kind.READER:
            return "Ask for " + some_of(key.door_names)  # type: ignore[attr-defined]
        return some_of([SCOPE_WORDS.get(scope, scope) for scope in key.scopes], most=3) if key.scopes else "-"

    @display(description="Sites")
    def where(self, key: ApiKey) -> str:
        return "All" if key.all_sites else some_of(key.site_names)  # type: ignore[attr-defined]

    @display(description="Made")
    def made(self, key: ApiKey) -> str:
        return read_at(key.created_at)

    @display(description="Expires")
    def expires(self, key: ApiKey) -> str:
        return read_at(key.expires_at)

    @display(description="Last used")
    def last_used(self, key: ApiKey) -> str:
        return read_at(key.last_used_at)

    @display(description="State", label={"Live": "success", "Expired": "warning", "Revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        return "Live" if key.is_live(timezone.now()) else "Expired"
