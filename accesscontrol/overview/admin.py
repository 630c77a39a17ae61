"""The admin's first page: a few bounded counts, each linked to the list behind it."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accesscontrol.access.models import Alarm, Event
from accesscontrol.doors.models import Channel
from accesscontrol.overview.navigation import list_of, may_view
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts.admin.records import TenantAdmin
from accounts.models import Site
from pins.deliveries.models import Delivery

MOST = 999


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the index template shows."""
    now = timezone.now()
    cards = []

    def card(title: str, icon: str, model: type[Model], query: str, about: str, *, bad: bool = False, **rows: Any) -> None:
        if may_view(request, model):
            number = _count(_visible(request, model).filter(**rows))
            tone = "bad" if bad and number != "0" else "plain"
            link = list_of(model) + query
            cards.append(
                {"title": title, "icon": icon, "number": number, "link": link, "about": about, "tone": tone}
            )

    current = {"cancelled_at": None, "start_time__lte": now, "end_time__gt": now}
    card("Visits now", "event", Reservation, "?when=now", "may come in at this moment", **current)
    since = {"occurred_at__gt": now - timedelta(days=1)}
    card("Let in", "login", Event, "?period=1&decision=in", "in the last 24 hours", admitted=True, **since)
    card("Not let in", "block", Event, "?period=1&decision=not", "in the last 24 hours", admitted=False, **since)
    card("Open alarms", "notifications", Alarm, "?state=open", "to be looked at", bad=True, acknowledged_at=None)
    card(
        "Failed messages", "mail", Delivery, "?state__exact=failed", "to be sent again", bad=True, state="failed"
    )
    card("Locked down", "lock", Channel, "?is_locked_down__exact=1", "doors let nobody in", bad=True, is_locked_down=True)
    return {**context, "cards": cards, "first_steps": _first_steps(request)}


def _visible(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    page = admin.site._registry[model]
    assert isinstance(page, TenantAdmin)
    return page.visible(request)


def _count(rows: QuerySet[Any]) -> str:
    number = rows.order_by()[: MOST + 1].count()
    return f"{MOST}+" if number > MOST else str(number)


def _first_steps(request: HttpRequest) -> list[dict[str, Any]]:
    """What a new tenant does first; empty once all of it is there."""
    wanted: tuple[tuple[str, type[Model]], ...] = (
        ("Add a site: a place with a time zone", Site),
        ("Add its doors", Channel),
        ("Add somebody who may be let in", Person),
    )
    steps = [
        {"title": title, "link": list_of(model), "done": _visible(request, model).exists()}
        for title, model in wanted
        if may_view(request, model)
    ]
    return [] if all(step["done"] for step in steps) else steps
