"""Who stands at the desk: signed in, with the right, at one site of theirs; the only way into its pages.

A page is read in the time zone of its site and in the language of whoever reads it, and never kept by a browser.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from accounts.callers import Caller, Place
from accounts.models import Membership, Site, Tenant
from accounts.rights import OF_ROLE, Right, StaffRole

SITE = "desk_site_id"


@dataclass(frozen=True)
class Desk:
    """One request at the desk: who, for which tenant, at which of their sites, and when it came."""

    request: HttpRequest
    caller: Caller
    tenant: Tenant
    sites: list[Site]
    site: Site
    now: datetime

    def may(self, right: Right) -> bool:
        return self.caller.may(right)

    @property
    def is_host(self) -> bool:
        """Whether they see only visitors of their own."""
        return self.caller.staff_role == StaffRole.HOST

    def day(self) -> tuple[datetime, datetime]:
        """Today at the site: `[midnight, midnight)`."""
        begins = timezone.localtime(self.now, self.site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        # The next midnight is not always 24 hours away.
        return begins, (begins + timedelta(days=1)).replace(tzinfo=self.site.zone)

    def membership(self) -> Membership:
        """Their own place in the tenant."""
        assert self.caller.actor.id is not None
        return Membership.objects.get(pk=self.caller.actor.id)

    def page(self, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """A page in the frame of the desk."""
        return TemplateResponse(self.request, template, {"desk": self, **_frame(self), **context}, status=status)


View = Callable[..., HttpResponse]


def at_desk(*rights: Right) -> Callable[[View], Callable[..., HttpResponse]]:
    """A view of the desk gets a `Desk` in the place of the request; any one of `rights` opens it."""

    def guard(view: View) -> Callable[..., HttpResponse]:
        @wraps(view)
        def enter(request: HttpRequest, **ids: Any) -> HttpResponse:
            response = _enter(request, view, rights or (Right.DESK_OPEN,), ids)
            add_never_cache_headers(response)
            response.headers["Cache-Control"] = "no-store"
            return response

        return enter

    return guard


def _enter(request: HttpRequest, view: View, rights: tuple[Right, ...], ids: dict[str, Any]) -> HttpResponse:
    if not request.user.is_authenticated:
        return _to_sign_in(request)
    if any("\x00" in value for sent in (request.GET, request.POST) for _, values in sent.lists() for value in values):
        raise BadRequest("NUL in what was sent")
    caller: Caller | None = getattr(request, "caller", None)
    if caller is None or caller.is_machine or not caller.may(Right.DESK_OPEN):
        return _no_entry(request, caller)
    if not any(caller.may(right) for right in rights):
        return _no_entry(request, caller)
    sites = list(Site.objects.order_by("name", "pk"))
    if caller.site_ids is not None:
        sites = [site for site in sites if site.pk in caller.site_ids]
    tenant = Tenant.objects.get(pk=caller.tenant_id)
    if not sites:
        context = {"tenant": tenant, "may_add": caller.may(Right.CHANNELS_WRITE) and caller.site_ids is None}
        return TemplateResponse(request, "desk/no_site.html", context).render()
    chosen = request.session.get(SITE)
    site = next((site for site in sites if site.pk == chosen), sites[0])
    desk = Desk(request, caller, tenant, sites, site, timezone.now())
    with timezone.override(site.zone):
        response = view(desk, **ids)
        if isinstance(response, TemplateResponse):
            response = response.render()
    return response


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """A page that was asked for in the background must not show the sign-in page in a part of itself."""
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(resolve_url(settings.LOGIN_URL))
    return redirect_to_login(request.get_full_path() if request.method == "GET" else reverse("desk:today"))


def _no_entry(request: HttpRequest, caller: Caller | None) -> HttpResponse:
    open_to = [place for place in _places(request) if Right.DESK_OPEN in OF_ROLE[place.staff_role]]
    here = caller.tenant_id if caller else None
    context = {
        "open_to": [place for place in open_to if place.tenant_id != here],
        "is_open": caller is not None and caller.may(Right.DESK_OPEN),
        "may_admin": caller is not None and caller.may(Right.ADMIN_OPEN),
    }
    return TemplateResponse(request, "desk/no_entry.html", context, status=403).render()


def _places(request: HttpRequest) -> list[Place]:
    return getattr(request, "places", [])


def _frame(desk: Desk) -> dict[str, Any]:
    here = desk.tenant.pk
    return {
        "tenant": desk.tenant,
        "site": desk.site,
        "now": desk.now,
        "other_sites": [site for site in desk.sites if site.pk != desk.site.pk],
        "other_places": [
            place
            for place in _places(desk.request)
            if place.tenant_id != here and Right.DESK_OPEN in OF_ROLE[place.staff_role]
        ],
        "languages": settings.LANGUAGES,
        "may_admin": desk.may(Right.ADMIN_OPEN),
        "may_visits": desk.may(Right.VISITS_WRITE),
        "may_command": desk.may(Right.CHANNELS_ADMIT),
        "may_people": desk.may(Right.PEOPLE_READ),
    }


def back(request: HttpRequest, otherwise: str = "desk:today") -> HttpResponseRedirect:
    """To the page that a form names as the one it was on, if that is one of ours."""
    wanted = request.POST.get("next", "")
    if wanted.startswith("/desk/") and url_has_allowed_host_and_scheme(wanted, None):
        return HttpResponseRedirect(wanted)
    return HttpResponseRedirect(reverse(otherwise))


@require_POST
@at_desk()
def choose_site(desk: Desk) -> HttpResponse:
    """Work at another site from now on."""
    wanted = desk.request.POST.get("site_id", "")
    if wanted not in {str(site.pk) for site in desk.sites}:
        raise Http404
    desk.request.session[SITE] = int(wanted)
    return HttpResponseRedirect(reverse("desk:today"))


@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Act for another tenant from now on: one in which the user has a place."""
    if not request.user.is_authenticated:
        return _to_sign_in(request)
    wanted = request.POST.get("tenant_id", "")
    if wanted not in {str(place.tenant_id) for place in _places(request)}:
        raise Http404
    request.session["tenant_id"] = int(wanted)
    request.session.pop(SITE, None)
    return HttpResponseRedirect(reverse("desk:today"))


@require_POST
@at_desk()
def choose_language(desk: Desk) -> HttpResponse:
    """Read the desk in another language, in this browser."""
    wanted = desk.request.POST.get("language", "")
    if wanted not in dict(settings.LANGUAGES) or not check_for_language(wanted):
        raise Http404
    response = back(desk.request)
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        wanted,
        max_age=365 * 24 * 3600,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response
