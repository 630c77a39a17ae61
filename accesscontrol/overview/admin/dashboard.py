"""The admin's first page: what happened, what is now, and what must be looked at. One site narrows all of it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accesscontrol.access.models import Event
from accesscontrol.doors.models import Channel
from accesscontrol.overview.admin.cards import Card, cards
from accesscontrol.overview.navigation import list_of, may_view
from accesscontrol.overview.traffic import DAYS, HOURS, Traffic, traffic
from accesscontrol.people.models import Person
from accesscontrol.visits import odds
from accounts.admin.narrowing import chosen_site, sites_of, zone_of
from accounts.admin.records import visible_rows
from accounts.admin_site import staff
from accounts.models import Site

MOST_ODDS = 8


@dataclass(frozen=True)
class DoorOdds:
    """What guessing is worth at a door; `link` leads to those whose PINs open it, where the caller may see them all."""

    door: Channel
    odds: odds.Odds
    link: str


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the index template shows."""
    now, site, zone = timezone.now(), chosen_site(request), zone_of(request)
    chosen = {
        "hours": request.GET.get("hours") if request.GET.get("hours") in HOURS else "24",
        "days": request.GET.get("days") if request.GET.get("days") in DAYS else "14",
    }
    doors: list[Channel] = []
    if may_view(request, Channel):
        rows = visible_rows(request, Channel).select_related("site").order_by("site__name", "name", "id")
        doors = [door for door in rows if site is None or door.site_id == site.pk]
    shown: Traffic | None = None
    numbers = cards(request)
    if may_view(request, Event) and doors:
        shown = traffic(
            doors,
            list_of(Event),
            site=site.pk if site else None,
            all_doors=site is None and staff(request).site_ids is None,
            today=chosen["hours"] == "today",
            days=int(chosen["days"] or 14),
            zone=zone,
            now=now,
        )
        numbers = [*_of_traffic(shown, str(HOURS[str(chosen["hours"])])), *numbers]
    sites = sites_of(request)
    return {
        **context,
        "cards": numbers,
        "traffic": shown,
        "odds": _odds(request, doors, now),
        "zone": f"{now.astimezone(zone):%Z} ({zone.key.replace('_', ' ')})",
        "sites": sites if len(sites) > 1 else [],
        "site": site,
        "chosen": chosen,
        "hours": _choices(request, "hours", HOURS, chosen),
        "days": _choices(request, "days", DAYS, chosen),
        "doors_link": list_of(Channel) + (f"?site={site.pk}" if site else ""),
        "shows_sites": len(sites) > 1,
        "first_steps": _first_steps(request),
    }


def _of_traffic(shown: Traffic, period: str) -> list[Card]:
    total = shown.by_hour.total
    return [
        Card("Let in", "door_open", f"{total.let_in:,}", shown.let_in_link, period.lower()),
        Card("Not let in", "block", f"{total.not_let_in:,}", shown.not_let_in_link, period.lower()),
    ]


def _choices(request: HttpRequest, name: str, words: dict[str, str], chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Links that change one thing and keep the others."""
    kept = {key: request.GET[key] for key in ("site", "hours", "days") if key in request.GET}
    return [
        {"words": text, "link": f"?{urlencode({**kept, name: value})}", "is_chosen": chosen[name] == value}
        for value, text in words.items()
    ]


def _odds(request: HttpRequest, doors: list[Channel], now: Any) -> list[DoorOdds]:
    """The doors at which a guess is worth most."""
    if not doors:
        return []
    everybody = staff(request).site_ids is None and may_view(request, Person)
    found = odds.lately([door.pk for door in doors], now)
    worst = sorted(doors, key=lambda door: (-found[door.pk].chance, door.name))[:MOST_ODDS]
    people = reverse("admin:people_person_changelist")
    return [DoorOdds(door, found[door.pk], f"{people}?opens={door.pk}&pin=yes" if everybody else "") for door in worst]


def _first_steps(request: HttpRequest) -> list[dict[str, Any]]:
    """What a new tenant does first; empty once all of it is there."""
    wanted: tuple[tuple[str, type[Model]], ...] = (
        ("Add a site: a place with a time zone", Site),
        ("Add its doors", Channel),
        ("Add somebody who may be let in", Person),
    )
    steps = [
        {"title": title, "link": list_of(model), "done": visible_rows(request, model).exists()}
        for title, model in wanted
        if may_view(request, model)
    ]
    return [] if all(step["done"] for step in steps) else steps
