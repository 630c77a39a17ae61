"""The numbers of the first page. Each is counted by the list that it leads to: its page, its filter, its site."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accesscontrol.access.admin.alarms import AboutFilter, OpenFilter
from accesscontrol.access.admin.channels import AttentionFilter
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import Credential
from accesscontrol.doors.models import Channel
from accesscontrol.overview.admin.people import InsideFilter
from accesscontrol.overview.navigation import list_of, may_view
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits.admin.credentials import RotationFilter
from accesscontrol.visits.admin.deliveries import UndeliveredFilter
from accesscontrol.visits.admin.reservations import WhenFilter
from accesscontrol.webhooks.models import Subscription
from accounts.admin.narrowing import chosen_site
from accounts.admin.records import TenantAdmin
from pins.deliveries.models import Delivery

MOST = 999


@dataclass(frozen=True)
class Card:
    """One number; `tone` is bad where somebody must do something."""

    title: str
    icon: str
    number: str
    link: str
    about: str
    tone: str = "plain"


# What narrows a list: a filter of its page or the name of a column, and the value that the address gives it.
Narrowing = tuple[type[admin.SimpleListFilter] | str, str]


@dataclass(frozen=True)
class _Asked:
    """What a card counts: rows of a table's page, narrowed as the address that it leads to narrows them."""

    title: str
    icon: str
    model: type[Model]
    by: tuple[Narrowing, ...]
    about: str
    is_bad: bool = False


_OPEN = (OpenFilter, "open")
ASKED = (
    _Asked("Possibly inside", "login", Person, ((InsideFilter, "yes"),), "let in, and not seen to leave"),
    _Asked("Visits today", "event", Reservation, ((WhenFilter, "today"),), "those that are over, too"),
    _Asked("Open alarms", "notifications", Alarm, (_OPEN, (AboutFilter, "alarms")), "to be looked at", is_bad=True),
    _Asked(
        "Suspicious patterns", "query_stats", Alarm, (_OPEN, (AboutFilter, "patterns")), "to be explained", is_bad=True
    ),
    _Asked("Failed messages", "mail", Delivery, ((UndeliveredFilter, "no"),), "not delivered, or bounced", is_bad=True),
    _Asked("Guessed at", "dialpad", Channel, ((AttentionFilter, "guessed"),), "doors with wrong PINs", is_bad=True),
    _Asked("Out of contact", "wifi_off", Channel, ((AttentionFilter, "silent"),), "doors not heard of", is_bad=True),
    _Asked("PINs to rotate", "autorenew", Credential, ((RotationFilter, "due"),), "due within seven days"),
    _Asked(
        "Locked down", "lock", Channel, (("state__exact", "locked_down"),), "doors that let nobody in", is_bad=True
    ),
    _Asked(
        "Webhooks paused", "webhook", Subscription, (("state__exact", "failing"),), "after a day of failures",
        is_bad=True,
    ),
)  # fmt: skip
# Of no interest while there are none.
_ONLY_IF_ANY = {"Locked down", "Webhooks paused"}


def cards(request: HttpRequest) -> list[Card]:
    """The cards of the pages that the caller may view, at the site that the address names."""
    found = [_card(request, asked) for asked in ASKED if may_view(request, asked.model)]
    return [card for card in found if card.number != "0" or card.title not in _ONLY_IF_ANY]


def _card(request: HttpRequest, asked: _Asked) -> Card:
    page, site = admin.site._registry[asked.model], chosen_site(request)
    assert isinstance(page, TenantAdmin)
    rows, query = page.visible(request), {_parameter(by): value for by, value in asked.by}
    if site is not None and page.is_of_sites:
        rows = page.at_sites(rows, frozenset({site.pk}))
        query["site"] = str(site.pk)
    for narrowing in asked.by:
        rows = _narrowed(request, rows, narrowing, page)
    number = count(rows)
    tone = "bad" if asked.is_bad and number != "0" else "plain"
    return Card(asked.title, asked.icon, number, f"{list_of(asked.model)}?{urlencode(query)}", asked.about, tone)


def _parameter(by: type[admin.SimpleListFilter] | str) -> str:
    return by if isinstance(by, str) else str(by.parameter_name)


def _narrowed(request: HttpRequest, rows: QuerySet[Any], narrowing: Narrowing, page: TenantAdmin) -> QuerySet[Any]:
    by, value = narrowing
    if isinstance(by, str):
        return rows.filter(**{by: value})
    narrowed = by(request, {_parameter(by): [value]}, page.model, page).queryset(request, rows)
    return rows if narrowed is None else narrowed


def count(rows: QuerySet[Any]) -> str:
    """How many, or that there are very many: nobody waits for a number that no list shows."""
    number = rows.order_by().values("pk")[: MOST + 1].count()
    return f"{MOST}+" if number > MOST else str(number)
