"""The admin's sidebar: what is shown to whom follows from the pages themselves."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from accesscontrol.access.admin import checks
from accesscontrol.access.models import Alarm, AlarmRecipient, Event, PatternRules
from accesscontrol.credentials.models import Credential
from accesscontrol.doors.models import Channel, Holiday, Role, Shift, SiteHours
from accesscontrol.overview.pages import data_protection, who_could
from accesscontrol.people.models import Group, Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits.models import Batch, Import
from accesscontrol.webhooks.models import Dispatch, Subscription
from accounts.admin_site import staff
from accounts.models import ApiKey, AuditEvent, Membership, OAuthApplication, OAuthConsent, Site, Tenant
from accounts.rights import Right
from pins.deliveries.models import Delivery
from pins.signin.models import SignInSettings, Subscriber
from pins.signin.staff.models import Invitation, StaffSettings

CHECKS_BELONG_TO = "Doors & access"
REPORTS_BELONG_TO = "What happened"
DATA_PROTECTION_BELONGS_TO = "Setup"
GROUPS: tuple[tuple[str, tuple[tuple[str, str, type[Any]], ...]], ...] = (
    (
        "People and visits",
        (
            ("Visits", "event", Reservation),
            ("People", "group", Person),
            ("Groups", "groups", Group),
            ("PINs & cards", "pin", Credential),
            ("Import", "upload_file", Import),
            ("Bulk steps", "checklist", Batch),
        ),
    ),
    (
        "Doors & access",
        (
            ("Doors", "door_front", Channel),
            ("Access levels", "key", Role),
            ("Weekly hours", "schedule", Shift),
            ("Opening hours", "storefront", SiteHours),
            ("Holidays", "event_busy", Holiday),
            ("Sites", "location_on", Site),
        ),
    ),
    (
        "What happened",
        (
            ("Events", "history", Event),
            ("Alarms", "notifications", Alarm),
            ("Messages", "mail", Delivery),
            ("Audit", "fact_check", AuditEvent),
        ),
    ),
    (
        "Setup",
        (
            ("Settings", "settings", Tenant),
            ("Staff", "badge", Membership),
            ("Invitations", "forward_to_inbox", Invitation),
            ("Staff sign-in", "lock_clock", StaffSettings),
            ("Alarm recipients", "notifications_active", AlarmRecipient),
            ("Pattern rules", "tune", PatternRules),
        ),
    ),
    (
        "Other programs",
        (
            ("API keys", "vpn_key", ApiKey),
            ("Webhooks", "webhook", Subscription),
            ("Webhook log", "receipt_long", Dispatch),
            ("Applications", "apps", OAuthApplication),
            ("Connections", "link", OAuthConsent),
            ("PIN sign-in", "password", SignInSettings),
            ("Subscribers", "account_circle", Subscriber),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's navigation with the pages that this caller may view; a group without any is left out."""
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"title": None, "items": [overview]}]
    if staff(request).may(Right.DESK_OPEN):
        groups[0]["items"].append({"title": "Front desk", "icon": "concierge", "link": reverse("desk:today")})
    if request.user.is_platform_owner:  # type: ignore[union-attr]
        groups[0]["items"].append({"title": "Platform", "icon": "domain", "link": reverse("platform:tenants")})
    for title, pages in GROUPS:
        items: list[dict[str, Any]] = [
            {"title": name, "icon": icon, "link": list_of(model)}
            for name, icon, model in pages
            if may_view(request, model)
        ]
        if title == CHECKS_BELONG_TO and checks.may_check(request):
            items.append({"title": "Access check", "icon": "rule", "link": reverse("admin:doors_channel_check")})
        if title == REPORTS_BELONG_TO and may_view(request, Alarm):
            link = f"{list_of(Alarm)}?about=patterns&state=open"
            about = {"about": "patterns"}
            items.insert(2, {"title": "Suspicious patterns", "icon": "query_stats", "link": link, "within": about})
        if title == REPORTS_BELONG_TO and who_could.may_read(request):
            items.append({"title": "Who could, who did", "icon": "person_search", "link": reverse("admin:who_could")})
        if title == DATA_PROTECTION_BELONGS_TO and data_protection.may_erase(request):
            link = reverse("admin:data_protection")
            items.append({"title": "Data protection", "icon": "shield_person", "link": link})
        if items:
            groups.append({"title": title, "items": items})
    _mark(request, groups)
    return groups


def _mark(request: HttpRequest, groups: list[dict[str, Any]]) -> None:
    """Exactly one page is the open one: the access check stands under the address of the doors."""
    items = [item for group in groups for item in group["items"]]
    is_open = {str(item["link"]) for item in items if _leads_here(request, item)}
    for item in items:
        item["active"] = bool(is_open) and str(item["link"]) == max(is_open, key=len)


def _leads_here(request: HttpRequest, item: dict[str, Any]) -> bool:
    path, asked = str(item["link"]).partition("?")[0], request.GET
    return request.path.startswith(path) and all(asked.get(key) == said for key, said in item.get("within", {}).items())


def may_view(request: HttpRequest, model: type[Any]) -> bool:
    """Whether the page of this table is open to the caller."""
    page = admin.site._registry.get(model)
    return page is not None and page.has_view_permission(request)


def list_of(model: type[Any]) -> str:
    """The address of a table's list."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
