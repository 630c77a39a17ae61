"""What every list may be narrowed by: one site, and the rows that somebody limited to it would see."""

from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import BooleanField, Func, QuerySet
from django.http import HttpRequest

from accounts.admin.records import visible_rows
from accounts.admin_site import tenant_of
from accounts.models import Site

PARAMETER = "site"
_MOST_SITES = 500


class Among(Func):
    """Whether a row's number, the first, is one that a query finds, the second, which is then run once and first.

    Otherwise PostgreSQL may ask of one row after the other, in the order of the list, whether the query finds it:
    of nearly all of them where those that it finds stand late in that order.
    """

    template = "%(expressions)s)"
    arg_joiner = " = ANY(ARRAY"
    output_field = BooleanField()


def sites_of(request: HttpRequest) -> list[Site]:
    """The sites that the caller may choose among, loaded once a request."""
    if not hasattr(request, "own_sites"):
        request.own_sites = list(visible_rows(request, Site).order_by("name", "id")[:_MOST_SITES])  # type: ignore[attr-defined]
    sites: list[Site] = request.own_sites  # type: ignore[attr-defined]
    return sites


def chosen_site(request: HttpRequest) -> Site | None:
    """The site that the address names, if it is one of the caller's own."""
    wanted = request.GET.get(PARAMETER, "")
    return next((site for site in sites_of(request) if str(site.pk) == wanted), None)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Whose days and hours a page tells: those of the only site in sight, else the tenant's."""
    sites = sites_of(request)
    site = chosen_site(request) or (sites[0] if len(sites) == 1 else None)
    return site.zone if site is not None else tenant_of(request).zone


class Choice(admin.SimpleListFilter):
    """One of a few, chosen in the form that sends all filters of a list; see `list_filter_submit`."""

    template = "admin/choice_filter.html"


class SiteFilter(admin.SimpleListFilter):
    """One of the caller's own sites; not offered where there is only one."""

    title = "site"
    parameter_name = PARAMETER

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self.page = model_admin
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        sites = sites_of(request)
        return [(str(site.pk), site.name) for site in sites] if len(sites) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        site = chosen_site(request)
        return queryset if site is None else self.page.at_sites(queryset, frozenset({site.pk}))


class SiteChoice(SiteFilter, Choice):
    """The same in such a form."""
