from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanWidget,
)

from accesscontrol.credentials.models import Credential
from accesscontrol.overview import retention
from accesscontrol.overview.admin.more_settings import doors_in_words, more_settings
from accesscontrol.visits import duress
from accounts import logos
from accounts.admin.only_row import OnlyRowAdmin
from accounts.admin.records import RecordForm
from accounts.admin.sites import TimeZoneField
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.rights import Right
from pins.signin.staff.stepping_up import ask

# A sentence with more names than this is not read.
NAMED = 20
_NO_COLUMNS = ("logo", "logo_held", "remove_logo", "confirmed")


class SettingsForm(RecordForm):
    time_zone = TimeZoneField(help_text="Times on these pages are shown in this zone.")
    colour = forms.CharField(
        max_length=7,
        widget=forms.TextInput(attrs={"type": "color", "class": "colour"}),
        help_text="Visitors see it on messages and on the page behind a link.",
    )
    sends_reveal_links = forms.TypedChoiceField(
        label="Messages hold",
        choices=[
            ("False", "The PIN itself: it works where a phone has no data"),
            ("True", "A link that shows the PIN"),
        ],
        coerce=lambda value: value == "True",
        widget=UnfoldAdminRadioSelectWidget,
        help_text="A link is opened by a button, says who has seen the PIN, and is dead when the visit is over.",
    )

    needs_check_in = forms.TypedChoiceField(
        label="Visitors' PINs work",
        choices=[("False", "From the start of the visit"), ("True", "Only after check-in at the front desk")],
        coerce=lambda value: value == "True",
        widget=UnfoldAdminRadioSelectWidget,
        help_text="The front desk can choose otherwise for a visit.",
    )
    grace_seconds = forms.TypedChoiceField(
        label="How long before the start",
        choices=[
            (minutes * 60, f"{minutes} minutes" if minutes else "Not at all") for minutes in (0, 5, 10, 15, 30, 60)
        ],
        coerce=int,
        widget=UnfoldAdminSelectWidget,
        help_text="So that nobody who comes early waits at the door.",
    )

    logo = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget({"accept": "image/png,image/jpeg,image/webp,image/gif"}),
        help_text="PNG, JPEG, WebP or GIF, 1 MB at most. It stands in messages, on the page behind a link and at the "
        "front desk, on white.",
    )
    remove_logo = forms.BooleanField(required=False, label="Remove the logo", widget=UnfoldBooleanWidget)
    # The picture while something is asked before it is saved: no browser chooses a file again by itself.
    logo_held = forms.CharField(required=False, widget=forms.HiddenInput)
    # What a first attempt to save was warned of; saving again means it.
    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance.logo_version:
            self.fields.pop("remove_logo", None)
        if self.data.get("logo_held") and "logo" in self.fields:
            self.fields["logo"].help_text = "The picture you chose is saved with the rest: no need to choose it again."

    def clean_colour(self) -> str:
        return str(self.cleaned_data["colour"]).strip().lower()

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        warning = consequences(self.instance.pk, values, self.changed_data) if not self.errors else ""
        if warning and values.get("confirmed") != warning:
            data: Any = self.data.copy()  # type: ignore[attr-defined]
            data["confirmed"] = warning
            self.data = data
            self.add_error(None, f"{warning} Save again if you mean it.")
        return values

    class Meta:
        labels = {
            "language": "Language of messages",
            "weak_chosen_pins": "PINs that are easy to guess",
            "erase_expired_after_days": "Forget expired PINs after (days)",
            "erase_people_after_days": "Erase people without any right after (days)",
            "rotation_overlap_days": "Old and new PIN both work for (days)",
            "keeps_neighbours_apart": "Keep PINs apart",
        }
        help_texts = {
            "language": "For people who have none of their own.",
            "weak_chosen_pins": "What happens when somebody chooses a PIN such as 1234 or a year of birth. "
            "Generated PINs are never easy to guess.",
            "keeps_neighbours_apart": "New PINs differ from every other in two digits or more, so that no slip "
            "opens as somebody else. Needs longer PINs where there are many.",
            "erase_expired_after_days": "Until then a new visit makes the same PIN work again.",
            "erase_people_after_days": "Whoever has been in no group, had no access level and no visit for so long is "
            "erased for good; events and audit stay, without the name. Empty: only deleted people, after 30 days.",
            "rotation_overlap_days": "When a PIN is rotated, the new one is sent so long before the old one ends.",
        }


def consequences(tenant_id: int, values: dict[str, Any], changed: list[str]) -> str:
    """What saving would do at once to people and PINs that are there; empty where nothing."""
    found, now = [], timezone.now()
    if "erase_expired_after_days" in changed:
        number = expired_before(now - timedelta(days=values["erase_expired_after_days"])).count()
        if number:
            found.append(f"{number:,} expired PIN{pluralize(number)} will be forgotten within a minute.")
    days = values.get("erase_people_after_days")
    if "erase_people_after_days" in changed and days:
        number = retention.over_after(timedelta(days=days), now)
        if number:
            found.append(f"{number:,} {pluralize(number, 'person,people')} will be erased for good within minutes.")
    return " ".join(found)


def expired_before(moment: datetime) -> QuerySet[Credential]:
    """PINs that hold their value and have had no right since."""
    return Credential.objects.filter(revoked_at=None, erased_at=None, expired_at__lte=moment)


def _hold_logo(request: HttpRequest) -> None:
    """Let the chosen picture come along as a field: the questions before saving carry fields alone."""
    chosen: Any = request.FILES.get("logo")
    if chosen is None:
        return
    try:
        held = logos.held(chosen)
    except Refusal:
        # The form says beside its field what is wrong with it.
        chosen.seek(0)
        return
    fields = request.POST.copy()
    fields["logo_held"] = held
    fields._mutable = False
    request.POST = fields  # type: ignore[assignment]


def lacking_in_words() -> str:
    """Whose PINs must be issued anew before an alarm can be raised with them."""
    lacking = duress.without_duress().select_related("person").order_by("person__last_name", "pk")
    names = [credential.person.name for credential in lacking[: NAMED + 1]]
    if not names:
        return "Every PIN can raise the alarm."
    more = " and others" if len(names) > NAMED else ""
    return f"Issue new PINs for {', '.join(names[:NAMED])}{more}: somebody else holds the digit above theirs."


@admin.register(Tenant)
class TenantSettingsAdmin(OnlyRowAdmin):
    """The settings of the tenant itself: one page, no list."""

    form = SettingsForm
    rights = {"view": Right.SETTINGS_WRITE, "change": Right.SETTINGS_WRITE}
    fieldsets = (
        ("Organisation", {"fields": (("name", "slug"), ("time_zone", "language"))}),
        ("Logo and colour", {"fields": ("colour", "shown_logo", "logo", "remove_logo", "logo_held")}),
        ("Messages to visitors", {"fields": ("sends_reveal_links",)}),
        ("Visits, as the front desk finds them preset", {"fields": ("needs_check_in", "grace_seconds")}),
        (
            "PINs",
            {
                "fields": ("weak_chosen_pins", "keeps_neighbours_apart", "rotation_overlap_days", "duress"),
                "description": "How long a PIN is, and what a wrong one leads to, is set at each door: see below. None "
                "of this changes a PIN that somebody has: it holds for new ones.",
            },
        ),
        (
            "What is forgotten, and when",
            {"fields": ("erase_expired_after_days", "erase_people_after_days", "confirmed")},
        ),
    )
    change_form_outer_after_template = "admin/settings_more.html"
    readonly_fields = ("slug", "duress", "shown_logo")
    steps = (
        Step(
            "duress_on",
            "Switch duress on",
            Right.SETTINGS_WRITE,
            "switch_on",
            "Whoever is forced to open a door types the last digit of their PIN one higher (9 becomes 0). The door "
            "opens as always, and a silent alarm is raised. Tell people before you switch this on.",
            icon="emergency_home",
            is_possible=lambda tenant, _now: not tenant.duress_enabled,
        ),
        Step(
            "duress_off",
            "Switch duress off",
            Right.SETTINGS_WRITE,
            "switch_off",
            "A PIN with its last digit one higher is then an unknown PIN like any other.",
            icon="emergency_home",
            danger=True,
            is_possible=lambda tenant, _now: tenant.duress_enabled,
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        has_logo = obj is not None and obj.logo_version
        left_out = () if has_logo else ("shown_logo", "remove_logo")
        return [
            (title, {**options, "fields": tuple(name for name in options["fields"] if name not in left_out)})
            for title, options in self.fieldsets
        ]

    def save(self, request: HttpRequest, obj: Any, form: Any, *, change: bool, now: datetime) -> Tenant:
        by, values = staff(request).actor, form.cleaned_data
        logo = values.get("logo") or (logos.released(values["logo_held"]) if values.get("logo_held") else None)
        if logo is not None:
            logos.set_logo(logo, by=by, now=now)
        elif values.get("remove_logo"):
            logos.remove_logo(by=by, now=now)
        changed = [name for name in form.changed_data if name not in _NO_COLUMNS]
        if changed:
            obj.save(update_fields=changed)
            self.audit(request, obj, "change", changed, now)
        if "erase_expired_after_days" in changed:
            # The tick looks at what has expired already by the new number.
            expired_before(now).update(due_at=now)
        obj.refresh_from_db()
        saved: Tenant = obj
        return saved

    def story(self, request: HttpRequest, obj: Any, now: datetime) -> dict[str, Any]:
        return {"more": more_settings(request), "doors": doors_in_words(request, now)}

    @display(description="Logo now")
    def shown_logo(self, tenant: Tenant) -> str:
        address = reverse("logo", args=[tenant.logo_version])
        return format_html('<img class="gh-logo" src="{}" alt="The logo">', address)

    @display(description="Duress")
    def duress(self, tenant: Tenant) -> str:
        if not tenant.duress_enabled:
            return "Off"
        return f"On. {lacking_in_words()}"

    def switch_on(self, request: HttpRequest, obj: Tenant, values: dict[str, Any], now: datetime) -> str:
        duress.set_duress(True, by=staff(request).actor, now=now)
        return f"Duress is on. {lacking_in_words()}"

    def switch_off(self, request: HttpRequest, obj: Tenant, values: dict[str, Any], now: datetime) -> str:
        duress.set_duress(False, by=staff(request).actor, now=now)
        return "Duress is off."

    def visible(self, request: HttpRequest) -> QuerySet[Tenant]:
        return Tenant.objects.filter(pk=staff(request).tenant_id)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        kept = self.visible(request).first() if self.has_change_permission(request) else None
        if request.method == "POST" and kept is not None:
            _hold_logo(request)
            # Fewer days erase people by the hundred, and nothing brings them back: as for one, the PIN is asked for.
            days = request.POST.get("erase_people_after_days", "").strip()
            if days not in ("", str(kept.erase_people_after_days)) and (asking := ask(request)) is not None:
                return asking
        return super().change_view(request, object_id, form_url, extra_context)

    def only_row(self, request: HttpRequest) -> Tenant:
        return self.visible(request).get()
