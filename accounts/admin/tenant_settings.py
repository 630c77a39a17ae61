from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.sites import TimeZoneField
from accounts.admin_site import staff
from accounts.models import Tenant
from accounts.rights import Right


class SettingsForm(RecordForm):
    time_zone = TimeZoneField(help_text="Times on these pages are shown in this zone.")

    class Meta:
        labels = {
            "weak_chosen_pins": "PINs that are easy to guess",
            "erase_expired_after_days": "Forget expired PINs after (days)",
            "rotation_overlap_days": "Old and new PIN both work for (days)",
            "keeps_neighbours_apart": "Keep PINs apart",
        }
        help_texts = {
            "weak_chosen_pins": "What happens when somebody chooses a PIN such as 1234 or a year of birth. "
            "Generated PINs are never easy to guess.",
            "keeps_neighbours_apart": "New PINs differ from every other in two digits or more, so that no slip "
            "opens as somebody else. Needs longer PINs where there are many.",
            "erase_expired_after_days": "Until then a new visit makes the same PIN work again.",
            "rotation_overlap_days": "When a PIN is rotated, the new one is sent so long before the old one ends.",
        }


@admin.register(Tenant)
class TenantSettingsAdmin(TenantAdmin):
    """The settings of the tenant itself: one page, no list."""

    form = SettingsForm
    rights = {"view": Right.SETTINGS_WRITE, "change": Right.SETTINGS_WRITE}
    of_whole_tenant = True
    fields = (
        "name",
        "slug",
        "time_zone",
        "weak_chosen_pins",
        "keeps_neighbours_apart",
        "erase_expired_after_days",
        "rotation_overlap_days",
    )
    readonly_fields = ("slug",)

    def visible(self, request: HttpRequest) -> QuerySet[Tenant]:
        return Tenant.objects.filter(pk=staff(request).tenant_id)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        own = reverse("admin:accounts_tenant_change", args=[staff(request).tenant_id])
        return HttpResponseRedirect(own)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        super().response_change(request, obj)
        return HttpResponseRedirect(request.path)
