"""The admin's site: who may open it, in which tenant, under which content policy, in whose time.

Whoever signs in but has no place with a right to it sees a page that says so. Rights come from the Caller alone.
"""

from collections.abc import Callable
from typing import Any

from csp.constants import NONCE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone, translation
from django.utils.cache import add_never_cache_headers
from django.utils.http import urlencode
from django.views.decorators.http import require_POST
from unfold.sites import UnfoldAdminSite

from accounts.callers import Caller, Place
from accounts.models import Tenant
from accounts.rights import OF_ROLE, Right

# Unfold's Alpine evaluates the expressions in its attributes; nothing else of the product needs this.
_POLICY = {"script-src": [SELF, NONCE, UNSAFE_EVAL], "style-src-attr": [UNSAFE_INLINE]}


def caller_of(request: HttpRequest) -> Caller | None:
    """The member of staff who asks; a machine's key opens nothing here."""
    caller: Caller | None = getattr(request, "caller", None)
    return None if caller is None or caller.is_machine else caller


def staff(request: HttpRequest) -> Caller:
    """The same where the site has already let them in."""
    caller = caller_of(request)
    assert caller is not None
    return caller


def tenant_of(request: HttpRequest) -> Tenant:
    """The tenant that the caller acts for, loaded once a request."""
    if not hasattr(request, "tenant"):
        request.tenant = Tenant.objects.get(pk=staff(request).tenant_id)  # type: ignore[attr-defined]
    tenant: Tenant = request.tenant  # type: ignore[attr-defined]
    return tenant


def places_of(request: HttpRequest) -> list[Place]:
    return getattr(request, "places", [])


def subheader(request: HttpRequest) -> str:
    """The name of the tenant, always in sight."""
    return tenant_of(request).name if caller_of(request) else ""


class GatehouseSite(UnfoldAdminSite):  # type: ignore[misc]
    """The site that all of the product's admin pages are registered with."""

    site_url = None
    index_title = "Overview"

    def __init__(self, name: str = "admin") -> None:
        self.pages: list[tuple[str, Callable[..., HttpResponseBase], str]] = []
        super().__init__(name)

    def has_permission(self, request: HttpRequest) -> bool:
        caller = caller_of(request)
        return caller is not None and caller.may(Right.ADMIN_OPEN)

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Only pages that state the rights they ask for: libraries register theirs under Django's permissions."""
        if getattr(admin_class, "rights", None):
            super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # There is no other site to view an object on.
        urls: list[URLPattern | URLResolver] = [
            url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"
        ]
        pages = [path(route, self.admin_view(view), name=name) for route, view, name in self.pages]
        return [path("switch/", require_POST(self.switch), name="switch"), *pages, *urls]

    def admin_view(
        self, view: Callable[..., HttpResponseBase], cacheable: bool = False
    ) -> Callable[..., HttpResponseBase]:
        guarded = super().admin_view(view, cacheable)

        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if any("\x00" in value for values in request.GET.lists() for value in values[1]):
                raise BadRequest("NUL in the query")
            if self.has_permission(request):
                return self._dressed(request, lambda: guarded(request, *args, **kwargs))
            if request.user.is_authenticated and request.path != reverse("admin:logout"):
                return self.no_entry(request)
            response: HttpResponseBase = guarded(request, *args, **kwargs)
            return response

        page.__name__, page.__doc__ = getattr(view, "__name__", "page"), view.__doc__
        return page

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """There is one place to sign in, for the admin and the desk."""
        if request.method == "GET" and request.user.is_authenticated and not self.has_permission(request):
            return self.no_entry(request)
        wanted = request.GET.get("next", "")
        return HttpResponseRedirect(str(settings.LOGIN_URL) + (f"?{urlencode({'next': wanted})}" if wanted else ""))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """And one to sign out: 307, so that what was posted is posted there."""
        return HttpResponseRedirect(reverse("staff:sign_out"), status=307)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Passwords are changed on the page of one's own account."""
        return HttpResponseRedirect(reverse("staff:password"))

    password_change_done = password_change

    def _dressed(self, request: HttpRequest, answer: Callable[[], HttpResponseBase]) -> HttpResponseBase:
        """Render in the tenant's time zone and in the one language that these pages are written in."""
        zone = tenant_of(request).zone if self.has_permission(request) else timezone.get_current_timezone()
        with timezone.override(zone), translation.override("en"):
            response = answer()
            if isinstance(response, TemplateResponse):
                response = response.render()
        response._csp_update = _POLICY  # type: ignore[attr-defined]
        return response

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        if self.has_permission(request):
            tenant = tenant_of(request)
            others = [place for place in places_of(request) if place.tenant_id != tenant.pk]
            context |= {"current_tenant": tenant, "other_places": others, "site_dropdown": others}
        return context

    def _get_colors(self, key: str, *args: Any) -> dict[str, dict[str, str]]:
        """None inline: they stand in a stylesheet, because the policy forbids style elements."""
        return {}

    def no_entry(self, request: HttpRequest) -> HttpResponseBase:
        """Somebody who is known but has nothing to do here, or not in this tenant."""
        caller = caller_of(request)
        open_to = [place for place in places_of(request) if Right.ADMIN_OPEN in OF_ROLE[place.staff_role]]
        context = {
            "title": "No access",
            "site_title": self._get_config("SITE_TITLE", request),
            "styles": self._get_list("STYLES", request),
            "scripts": self._get_list("SCRIPTS", request),
            "has_place": caller is not None,
            "open_to": open_to,
        }
        return self._refused(request, TemplateResponse(request, "accounts/no_entry.html", context, status=403))

    def _refused(self, request: HttpRequest, response: TemplateResponse) -> HttpResponseBase:
        add_never_cache_headers(response)
        return self._dressed(request, lambda: response)

    def switch(self, request: HttpRequest) -> HttpResponse:
        """Act for another tenant from now on: one in which the user has a place."""
        if not request.user.is_authenticated:
            return HttpResponseRedirect(reverse("admin:login"))
        wanted = request.POST.get("tenant_id", "")
        if wanted not in {str(place.tenant_id) for place in places_of(request)}:
            raise Http404
        request.session["tenant_id"] = int(wanted)
        return HttpResponseRedirect(reverse("admin:index"))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Unfold's palette keeps what it found under the user alone, across tenants."""
        raise Http404


def add_page(route: str, view: Callable[..., HttpResponseBase], name: str) -> None:
    """Give the admin a page that belongs to no table; the view itself asks for its right."""
    assert isinstance(admin.site, GatehouseSite)
    admin.site.pages.append((route, view, name))
