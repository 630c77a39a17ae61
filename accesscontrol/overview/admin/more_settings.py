"""What stands below the settings: every other page on which something is set, and what guessing is worth at doors."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accesscontrol.access.models import AlarmRecipient, PatternRules
from accesscontrol.doors.models import Channel
from accesscontrol.overview.navigation import list_of, may_view
from accesscontrol.overview.pages import data_protection
from accesscontrol.visits import odds
from accesscontrol.webhooks.models import Subscription
from accounts.admin.records import visible_rows
from accounts.models import ApiKey, Membership, OAuthApplication, Site
from pins.signin.models import SignInSettings
from pins.signin.staff.models import Invitation, StaffSettings

DOORS = 10

# Every other page on which something of the tenant is set, by topic; each is shown to whoever may view it.
_MORE: tuple[tuple[str, tuple[tuple[str, str, type[Any], str], ...]], ...] = (
    (
        "Doors and hours",
        (
            ("Sites", "location_on", Site, "Time zone, address, whom a visitor calls, how a PIN is typed there"),
            ("Doors", "door_front", Channel, "Length of PINs, waits after wrong ones, lists for outages, rotation"),
        ),
    ),
    (
        "Staff",
        (
            ("Staff", "badge", Membership, "Role and sites of each member; PINs and second steps are reset there"),
            ("Invitations", "forward_to_inbox", Invitation, "Invite somebody by e-mail, with role and sites"),
            (
                "Staff sign-in",
                "lock_clock",
                StaffSettings,
                "A second step, when screens lock, how long a shift is",
            ),
        ),
    ),
    (
        "Alarms",
        (
            ("Alarm recipients", "notifications_active", AlarmRecipient, "Who is told, of what, and by which way"),
            ("Pattern rules", "tune", PatternRules, "What is called suspicious, and from which number on"),
        ),
    ),
    (
        "Other programs",
        (
            ("API keys", "vpn_key", ApiKey, "Keys of programs, readers and PIN generators; each is shown once"),
            ("Webhooks", "webhook", Subscription, "Addresses that are told of what happens"),
            ("Applications", "apps", OAuthApplication, "Programs that staff connect, and what they may ask for"),
            ("PIN sign-in", "password", SignInSettings, "PINs of accounts of your own application"),
        ),
    ),
)


def more_settings(request: HttpRequest) -> list[dict[str, Any]]:
    """The other pages by topic, those that the caller may view."""
    topics = []
    for title, pages in _MORE:
        cards = [
            {"title": name, "icon": icon, "about": about, "link": list_of(model)}
            for name, icon, model, about in pages
            if may_view(request, model)
        ]
        topics.append({"title": title, "cards": cards})
    protection = {
        "title": "Data protection",
        "icon": "shield_person",
        "about": "What is erased when; deleted people; everything known of one person as a file",
        "link": reverse("admin:data_protection"),
    }
    if data_protection.may_erase(request):
        topics.append({"title": "Data protection", "cards": [protection]})
    return [topic for topic in topics if topic["cards"]]


def doors_in_words(request: HttpRequest, now: datetime) -> list[dict[str, str]]:
    """The doors at which guessing is worth most: their digits, the odds, and what wrong PINs lead to."""
    known = odds.of_channels(None, now)
    worst = sorted(known, key=lambda pk: -known[pk].chance)[:DOORS]
    doors = visible_rows(request, Channel).select_related("site")
    shown = {door.pk: door for door in doors.filter(pk__in=worst)} if worst else {}
    if len(shown) < DOORS:
        shown |= {door.pk: door for door in doors.exclude(pk__in=worst).order_by("name", "pk")[: DOORS - len(shown)]}
    ranked = sorted(shown.values(), key=lambda door: -known[door.pk].chance if door.pk in known else 0)
    return [
        {
            "name": f"{door.name} ({door.site.name})",
            "link": reverse("admin:doors_channel_change", args=[door.pk]),
            "digits": f"{door.shortest_pin} to {door.longest_pin}"
            if door.shortest_pin != door.longest_pin
            else str(door.shortest_pin),
            "odds": known[door.pk].in_words if door.pk in known else "no PIN opens it",
            "warning": (known[door.pk].warning or "") if door.pk in known else "",
            "wrong": f"{door.free_tries} free, then {door.first_wait_seconds} s, doubling up to "
            f"{door.longest_wait_seconds // 60} min",
        }
        for door in ranked
    ]
