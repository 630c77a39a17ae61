from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Dispatch, Kind, Subscription, Try
from accounts.admin.moments import read_at
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step, StepForm
from accounts.admin_site import staff
from accounts.rights import Right

STATES = {"Active": "success", "Paused": "warning", "Paused after a day of failures": "danger", "Ended": "info"}
DISPATCH_STATES = {
    "Queued": "info",
    "Waits for an earlier one": "info",
    "Sending": "info",
    "Delivered": "success",
    "Failed": "danger",
}
ERRORS = {
    "timed_out": "no answer in 15 seconds",
    "no_answer": "hung up without an answer",
    "connection_refused": "nobody listens there",
    "certificate_refused": "the certificate is not valid for this name",
    "no_encryption": "no encrypted connection",
    "redirected": "redirects are not followed",
    "internal_address": "the name leads into a private network",
    "not_encrypted": "https is needed",
    "name_not_found": "the name is not known",
    "unusable_address": "the address cannot be used",
}
_IS_ON = Subscription.State.ACTIVE
_IS_OFF = (Subscription.State.PAUSED, Subscription.State.FAILING)


class WebhookForm(RecordForm):
    has_own_refusals = True
    called = {"types": "kinds"}

    url = forms.CharField(
        label="Address",
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where to POST, such as https://example.com/hooks. Addresses in private networks are refused.",
    )
    kinds = forms.MultipleChoiceField(
        label="Tell of", choices=Kind.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    form = forms.ChoiceField(
        label="Form",
        choices=Subscription.Form.choices,
        initial=Subscription.Form.STANDARD,
        widget=UnfoldAdminRadioSelectWidget(radio_style=admin.VERTICAL),
        required=False,
        help_text="How messages look and are signed. In DoorFlow's form doors and PINs can be told, in Seam's doors "
        "and visits.",
    )


class ReplayForm(StepForm):
    # The browser's own fields: the admin's calendar needs a script that step pages do not load.
    starts_at = forms.DateTimeField(label="From", widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}))
    ends_at = forms.DateTimeField(label="Until", widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}))


@admin.register(Subscription)
class WebhookAdmin(TenantAdmin):
    """Addresses that are told of what happens."""

    form = WebhookForm
    rights = dict.fromkeys(("view", "add", "change"), Right.SETTINGS_WRITE)
    of_whole_tenant = True
    list_display = ("name", "host", "told_of", "state_word", "trouble", "log")
    ordering = ("name", "id")
    add_fieldsets = ((None, {"fields": ("name", "url", "kinds", "form")}),)
    empty_words = "A webhook tells another system at once when somebody is let in, a visit moves or an alarm is raised."
    steps = (
        Step(
            "test",
            "Send a test",
            Right.SETTINGS_WRITE,
            "send_test",
            "A message that says it is a test is sent now. The log shows what came of it.",
            icon="send",
            is_possible=lambda webhook, _now: webhook.state == _IS_ON,
        ),
        Step(
            "replay",
            "Tell again",
            Right.SETTINGS_WRITE,
            "replay",
            "Everything that happened in this period is told again, under the ids that it had: a receiver that has "
            "seen it can tell.",
            form=ReplayForm,
            icon="replay",
            is_possible=lambda webhook, _now: webhook.state == _IS_ON,
        ),
        Step(
            "rotate",
            "New secret",
            Right.SETTINGS_WRITE,
            "rotate",
            "“{0}” gets a new secret. For 24 hours messages are signed with both; then the earlier one ends.",
            icon="key",
            is_possible=lambda webhook, _now: webhook.is_live,
        ),
        Step(
            "pause",
            "Pause",
            Right.SETTINGS_WRITE,
            "pause",
            "Nothing is sent until it is resumed. What happens meanwhile is kept and told then, in order.",
            icon="pause",
            is_possible=lambda webhook, _now: webhook.state == _IS_ON,
        ),
        Step(
            "resume",
            "Resume",
            Right.SETTINGS_WRITE,
            "resume",
            "It goes on where it stopped, in order.",
            icon="play_arrow",
            is_possible=lambda webhook, _now: webhook.state in _IS_OFF,
        ),
        Step(
            "end",
            "End webhook",
            Right.SETTINGS_WRITE,
            "end",
            "“{0}” is told nothing more, for good. What waits is not sent.",
            icon="link_off",
            danger=True,
            is_possible=lambda webhook, _now: webhook.is_live,
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Subscription | None = None) -> Any:
        shown = ("form_word", "state_word", "trouble", "secret_word", "log")
        return ("name", "url", "kinds", *shown)

    def get_readonly_fields(self, request: HttpRequest, obj: Subscription | None = None) -> Any:
        return () if obj is None else ("form_word", "state_word", "trouble", "secret_word", "log")

    def get_fieldsets(self, request: HttpRequest, obj: Subscription | None = None) -> Any:
        return self.add_fieldsets if obj is None else ((None, {"fields": self.get_fields(request, obj)}),)

    def is_open(self, request: HttpRequest, obj: Subscription) -> bool:
        return obj.is_live

    def save(self, request: HttpRequest, obj: Subscription, form: Any, *, change: bool, now: datetime) -> Subscription:
        values, by = form.cleaned_data, staff(request).actor
        if change:
            kept = Subscription.objects.get(pk=obj.pk)
            wanted = {name: values[name] for name in ("name", "url", "kinds") if name in values}
            return subscribing.change(kept, wanted, by=by, now=now)
        made = subscribing.subscribe(
            values["name"],
            values["url"],
            kinds=values["kinds"],
            form=values["form"] or Subscription.Form.STANDARD,
            by=by,
            now=now,
        )
        request.made = made  # type: ignore[attr-defined]
        return made.subscription

    def response_add(self, request: HttpRequest, obj: Subscription, post_url_continue: str | None = None) -> Any:
        return self._shown(request, request.made, "New webhook")  # type: ignore[attr-defined]

    def _shown(self, request: HttpRequest, made: subscribing.Subscribed, title: str) -> HttpResponse:
        return self.shown_once(
            request,
            title=title,
            intro=f"“{made.subscription.name}” verifies with this secret that messages come from here. Copy it now.",
            values=[("Secret", made.secret)],
            back=self._after(request, made.subscription),
        )

    def send_test(self, request: HttpRequest, obj: Subscription, values: dict[str, Any], now: datetime) -> str:
        subscribing.test(obj, by=staff(request).actor, now=now)
        return "The test is on its way. The log shows what came of it."

    def replay(self, request: HttpRequest, obj: Subscription, values: dict[str, Any], now: datetime) -> str:
        subscribing.replay(obj, values["starts_at"], values["ends_at"], by=staff(request).actor, now=now)
        return "The period is told again."

    def rotate(self, request: HttpRequest, obj: Subscription, values: dict[str, Any], now: datetime) -> HttpResponse:
        return self._shown(request, subscribing.rotate_secret(obj, by=staff(request).actor, now=now), "New secret")

    def pause(self, request: HttpRequest, obj: Subscription, values: dict[str, Any], now: datetime) -> str:
        subscribing.pause(obj, by=staff(request).actor, now=now)
        return "The webhook was paused."

    def resume(self, request: HttpRequest, obj: Subscription, values: dict[str, Any], now: datetime) -> str:
        subscribing.resume(obj, by=staff(request).actor, now=now)
        return "The webhook goes on."

    def end(self, request: HttpRequest, obj: Subscription, values: dict[str, Any], now: datetime) -> str:
        subscribing.end(obj, by=staff(request).actor, now=now)
        return "The webhook was ended."

    @display(description="To")
    def host(self, webhook: Subscription) -> str:
        return webhook.url.partition("//")[2].partition("/")[0]

    @display(description="Tells of")
    def told_of(self, webhook: Subscription) -> str:
        told = ", ".join(str(Kind(kind).label).partition(":")[0] for kind in webhook.kinds)
        if webhook.event_codes:
            told += f" (codes {', '.join(map(str, webhook.event_codes))})"
        return f"{told}, at some doors" if webhook.channel_ids else told

    @display(description="Form")
    def form_word(self, webhook: Subscription) -> str:
        return webhook.get_form_display()

    @display(description="State", label=STATES)
    def state_word(self, webhook: Subscription) -> str:
        return webhook.get_state_display()

    @display(description="Nothing taken since")
    def trouble(self, webhook: Subscription) -> str:
        return read_at(webhook.failing_since)

    @display(description="Secret")
    def secret_word(self, webhook: Subscription) -> str:
        if webhook.earlier_until is not None:
            return f"Kept sealed. The earlier one signs until {read_at(webhook.earlier_until)}."
        return "Kept sealed; it was shown when it was made."

    @display(description="Log")
    def log(self, webhook: Subscription) -> str:
        link = f"{reverse('admin:webhooks_dispatch_changelist')}?subscription__id__exact={webhook.pk}"
        return format_html('<a class="underline" href="{}">Messages</a>', link)


class WebhookFilter(admin.SimpleListFilter):
    title = "webhook"
    parameter_name = "subscription__id__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Subscription.objects.order_by("name", "pk").values_list("pk", "name")
        return [(str(pk), name) for pk, name in rows[:100]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Dispatch]) -> QuerySet[Dispatch]:
        value = self.value() or ""
        return queryset.filter(subscription_id=int(value)) if value.isdecimal() and len(value) <= 18 else queryset


@admin.register(Dispatch)
class WebhookLogAdmin(TenantAdmin):
    """What was sent in the last 30 days, and what was answered. Only read."""

    rights = {"view": Right.SETTINGS_WRITE}
    of_whole_tenant = True
    list_display = ("happened", "type", "webhook", "state_word", "answered", "next_try")
    list_select_related = ("subscription",)
    list_filter = (WebhookFilter, "state")
    ordering = ("-id",)
    fields = ("type", "webhook", "message_id", "happened", "state_word", "next_try", "told", "tried")
    readonly_fields = fields
    empty_words = "Nothing was sent in the last 30 days."

    def look_up(self, request: HttpRequest, rows: list[Any]) -> None:
        last = Try.objects.filter(dispatch__in=[row.pk for row in rows]).order_by("dispatch", "-number")
        by_dispatch = {each.dispatch_id: each for each in last.distinct("dispatch")}
        for row in rows:
            row.last_try = by_dispatch.get(row.pk)

    @display(description="Happened")
    def happened(self, dispatch: Dispatch) -> str:
        return read_at(dispatch.occurred_at, seconds=True)

    @display(description="Webhook")
    def webhook(self, dispatch: Dispatch) -> str:
        return dispatch.subscription.name + (" (told again)" if dispatch.is_replay else "")

    @display(description="State", label=DISPATCH_STATES)
    def state_word(self, dispatch: Dispatch) -> str:
        return dispatch.get_state_display()

    @display(description="Last answer")
    def answered(self, dispatch: Dispatch) -> str:
        last: Try | None = dispatch.last_try  # type: ignore[attr-defined]
        return "-" if last is None else in_words(last)

    @display(description="Next try")
    def next_try(self, dispatch: Dispatch) -> str:
        return read_at(dispatch.next_attempt_at, seconds=True)

    @display(description="Message")
    def told(self, dispatch: Dispatch) -> str:
        return format_html('<code class="break-all whitespace-pre-wrap">{}</code>', dispatch.body)

    @display(description="Tries")
    def tried(self, dispatch: Dispatch) -> str:
        tries = Try.objects.filter(dispatch=dispatch).order_by("number")
        lines = [(read_at(each.tried_at, seconds=True), in_words(each), each.answer) for each in tries]
        return format_html_join("", "<p>{}: {} <code>{}</code></p>", lines) if lines else "None yet"


def in_words(tried: Try) -> str:
    """Such as “503 in 40 ms”, or why there was no answer."""
    reason = ERRORS.get(tried.error, tried.error)
    if tried.status is None:
        return f"{reason[:1].upper()}{reason[1:]}"
    return f"{tried.status} in {tried.milliseconds:,} ms" + (f", {reason}" if reason else "")
