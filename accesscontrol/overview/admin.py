"""The admin's first page: a few bounded counts, each linked to the list behind it."""

from datetime import timedelta
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accesscontrol.access.models import Alarm, Event
from accesscontrol.doors.models import Channel
from accesscontrol.overview.navigation import list_of, may_view
from accesscontrol.overview.pages import data_protection
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.webhooks.models import Subscription
from accounts.admin.records import visible_rows
from accounts.admin_site import add_page
from accounts.models import Site
from pins.deliveries.models import Delivery

MOST = 999

add_page("data-protection/", data_protection.overview_page, "data_protection")
add_page("people/person/<int:person_id>/export/", data_protection.export_page, "person_export")
add_page("people/person/<int:person_id>/erase/", data_protection.erase_page, "person_erase")


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the index template shows."""
    now = timezone.now()
    cards: list[dict[str, str]] = []

    def card(
        title: str, icon: str, model: type[Model], query: str, about: str, rows: Q, *, is_bad: bool = False
    ) -> None:
        if may_view(request, model):
            number = _count(visible_rows(request, model).filter(rows))
            tone = "bad" if is_bad and number != "0" else "plain"
            link = list_of(model) + query
            cards.append({"title": title, "icon": icon, "number": number, "link": link, "about": about, "tone": tone})

    current = Q(cancelled_at=None, start_time__lte=now, end_time__gt=now)
    today = Q(occurred_at__gt=now - timedelta(days=1))
    day = "in the last 24 hours"
    card("Visits now", "event", Reservation, "?when=now", "may come in at this moment", current)
    card("Let in", "login", Event, "?period=1&decision=in", day, today & Q(admitted=True))
    card("Not let in", "block", Event, "?period=1&decision=not", day, today & Q(admitted=False))
    is_open = Q(acknowledged_at=None)
    card("Open alarms", "notifications", Alarm, "?state=open", "to be looked at", is_open, is_bad=True)
    failed = Q(state=Delivery.State.FAILED)
    card("Failed messages", "mail", Delivery, "?state__exact=failed", "to be sent again", failed, is_bad=True)
    locked = Q(state=Channel.State.LOCKED_DOWN)
    card("Locked down", "lock", Channel, "?state__exact=locked_down", "doors let nobody in", locked, is_bad=True)
    failing = Q(state=Subscription.State.FAILING)
    card("Webhooks paused", "webhook", Subscription, "", "after a day of failures", failing, is_bad=True)
    return {**context, "cards": cards, "first_steps": _first_steps(request)}


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
        {"title": title, "link": list_of(model), "done": visible_rows(request, model).exists()}
        for title, model in wanted
        if may_view(request, model)
    ]
    return [] if all(step["done"] for step in steps) else steps
