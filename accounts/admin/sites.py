from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from accounts import sites
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin_site import staff, tenant_of
from accounts.models import Site, time_zones
from accounts.rights import Right


class TimeZoneField(forms.ChoiceField):
    """A choice of the IANA zones that name a place, and UTC."""

    def __init__(self, *, help_text: str = "") -> None:
        names = sorted(name for name in time_zones() if "/" in name and not name.startswith("Etc/"))
        super().__init__(
            choices=[(name, name.replace("_", " ")) for name in ("UTC", *names)],
            widget=UnfoldAdminSelectWidget,
            help_text=help_text,
        )


class SiteForm(RecordForm):
    time_zone = TimeZoneField(help_text="Weekly hours and visit times are read in this zone.")

    class Meta:
        labels = {"typing_hint": "How a PIN is typed"}
        help_texts = {
            "typing_hint": "Such as “Press *, type the digits, press *”. It stands in every message about these doors. "
            "Empty: type only the digits, then # or the green key, in the visitor's language."
        }


@admin.register(Site)
class SiteAdmin(TenantAdmin):
    """Places with a time zone."""

    form = SiteForm
    rights = {"view": Right.CHANNELS_READ, "add": Right.CHANNELS_WRITE, "change": Right.CHANNELS_WRITE}
    site_lookup = "pk"
    fields = ("name", "time_zone", "address", "help_phone", "typing_hint", "notes")
    list_display = ("name", "zone_name", "address", "phone")
    ordering = ("name", "id")
    empty_words = "A site is a place with doors and a time zone. Add the first one, then its doors."

    @display(description="Time zone", ordering="time_zone")
    def zone_name(self, site: Site) -> str:
        return site.time_zone

    @display(description="Help phone")
    def phone(self, site: Site) -> str:
        return site.help_phone or "-"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and staff(request).site_ids is None

    def save(self, request: HttpRequest, obj: Site, form: Any, *, change: bool, now: datetime) -> Site:
        by, values = staff(request).actor, form.cleaned_data
        if not change:
            return sites.create(values, by=by, now=now)
        return sites.change(obj, {name: values[name] for name in form.changed_data}, by=by, now=now)

    def at_sites(self, rows: QuerySet[Site], site_ids: frozenset[int]) -> QuerySet[Site]:
        return rows.filter(pk__in=site_ids)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, str]:
        return {"time_zone": tenant_of(request).time_zone}
