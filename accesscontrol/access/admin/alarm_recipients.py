from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from accesscontrol.access import telling
from accesscontrol.access.models import Alarm, AlarmRecipient
from accesscontrol.access.patterns import PATTERNS
from accesscontrol.people.models import e164
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.rights import Right
from pins.deliveries.models import Delivery


class AlarmRecipientForm(RecordForm):
    has_own_refusals = True

    kinds = forms.MultipleChoiceField(
        choices=Alarm.Kind.choices,
        label="Told of",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=[kind.value for kind in Alarm.Kind if kind not in PATTERNS],
        help_text="Suspicious patterns are told only where they are chosen here; their numbers are set in the rules.",
    )
    language = forms.ChoiceField(
        choices=[("", "As in the settings"), *settings.LANGUAGES], required=False, widget=UnfoldAdminSelectWidget
    )

    class Meta:
        labels = {"medium": "By"}
        help_texts = {
            "site": "Choose none for the alarms of every site.",
            "address": "An e-mail address, or a mobile number such as +491512345678. "
            "Take one that is watched at any hour.",
        }

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        address = (values.get("address") or "").strip()
        if values.get("medium") == Delivery.Medium.SMS:
            address = address.replace(" ", "")
        if address:
            try:
                (e164 if values.get("medium") == Delivery.Medium.SMS else validate_email)(address)
            except ValidationError as error:
                self.add_error("address", error)
        values["address"] = address
        return values


@admin.register(AlarmRecipient)
class AlarmRecipientAdmin(TenantAdmin):
    """Who is told of alarms, and how."""

    form = AlarmRecipientForm
    rights = {"view": Right.SETTINGS_WRITE, "add": Right.SETTINGS_WRITE, "change": Right.SETTINGS_WRITE}
    site_lookup = "site_id"
    fields = ("name", "site", "medium", "address", "kinds", "language")
    list_display = ("name", "reached_at", "medium", "where", "told_of", "state")
    list_select_related = ("site",)
    ordering = ("name", "id")
    empty_words = (
        "Nobody is told of alarms yet. Add whoever must know within seconds that PINs are guessed at a door, "
        "or that somebody is forced to open one."
    )
    steps = (
        Step(
            "test",
            "Send a test",
            Right.SETTINGS_WRITE,
            "send_test",
            "A message that says it is a test goes to {0} now.",
            icon="send",
            is_possible=lambda recipient, _now: recipient.ended_at is None,
        ),
        Step(
            "end",
            "Tell no more",
            Right.SETTINGS_WRITE,
            "end",
            "{0} is told of no more alarms.",
            icon="notifications_off",
            danger=True,
            is_possible=lambda recipient, _now: recipient.ended_at is None,
        ),
    )

    def is_open(self, request: HttpRequest, obj: AlarmRecipient) -> bool:
        return obj.ended_at is None and super().is_open(request, obj)

    def may_take(self, request: HttpRequest, step: Step, obj: AlarmRecipient, now: datetime) -> bool:
        # Who is told of the alarms of all sites is not for members of some of them to change.
        return super().may_take(request, step, obj, now) and TenantAdmin.is_open(self, request, obj)

    def save(
        self, request: HttpRequest, obj: AlarmRecipient, form: Any, *, change: bool, now: datetime
    ) -> AlarmRecipient:
        return telling.name_recipient(obj, by=staff(request).actor, now=now, fields=form.changed_data)

    def send_test(self, request: HttpRequest, obj: AlarmRecipient, values: dict[str, Any], now: datetime) -> str:
        telling.send_test(obj, by=staff(request).actor, now=now)
        return "The test is on its way. Whether it was sent stands under Messages."

    def end(self, request: HttpRequest, obj: AlarmRecipient, values: dict[str, Any], now: datetime) -> str:
        telling.drop_recipient(obj, by=staff(request).actor, now=now)
        return "Nobody is told of alarms at this address any more."

    @display(description="Told at")
    def reached_at(self, recipient: AlarmRecipient) -> str:
        return recipient.address

    @display(description="Site")
    def where(self, recipient: AlarmRecipient) -> str:
        return recipient.site.name if recipient.site else "All"

    @display(description="Told of")
    def told_of(self, recipient: AlarmRecipient) -> str:
        return "; ".join(label for value, label in Alarm.Kind.choices if value in recipient.kinds)

    @display(description="State", label={"Active": "success", "Ended": "info"})
    def state(self, recipient: AlarmRecipient) -> str:
        return "Active" if recipient.ended_at is None else "Ended"
