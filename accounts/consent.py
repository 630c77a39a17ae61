"""`/oauth/authorize`: a member of staff says whether an application may act for them, and in which tenant."""

from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from oauth2_provider.exceptions import OAuthToolkitError
from oauth2_provider.views.mixins import OAuthLibMixin

from accounts import applications, callers
from accounts.callers import Place
from accounts.models import OAuthApplication
from accounts.rights import OF_ROLE, OF_SCOPE, SCOPE_WORDS
from accounts.tenancy import remembered_tenant, tenant_context

_oauth = OAuthLibMixin()


def authorize(request: HttpRequest) -> HttpResponse:
    """Ask on GET, answer the application on POST."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    user: Any = request.user
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    found = applications.known(request.GET.get("client_id", ""))
    if found is None:
        return _no(request, 400, _("This application is not known here, or it was disabled."))
    places = [
        place
        for place in getattr(request, "places", [])
        if found.is_for_all_tenants or place.tenant_id == found.tenant_id
    ]
    if not places:
        return _no(request, 403, _("This application belongs to an organisation that you do not work for."))
    if request.method == "POST":
        chosen = [place for place in places if str(place.tenant_id) == request.POST.get("tenant")]
        if not chosen:
            return _no(request, 400, _("Choose the organisation that this application may act for."))
        return _answer(request, user.pk, chosen[0])
    # What was registered is asked where it was registered; nothing is written there.
    with tenant_context(found.tenant_id):
        application = OAuthApplication.objects.get(pk=found.id)
        try:
            scopes, credentials = _oauth.validate_authorization_request(request)
        except OAuthToolkitError as error:
            return _refused(request, error)
    return _ask(request, application, places, scopes, credentials["redirect_uri"])


def _ask(
    request: HttpRequest, application: OAuthApplication, places: list[Place], scopes: list[str], redirect_uri: str
) -> HttpResponse:
    current = request.session.get("tenant_id")
    chosen = next((place for place in places if place.tenant_id == current), places[0])
    back = urlsplit(redirect_uri)
    context = {
        "application": application,
        "places": places,
        "chosen": chosen,
        "scopes": [_(SCOPE_WORDS[scope]) for scope in dict.fromkeys(scopes)],
        # Said before it is given: a scope beyond the member's own rights adds nothing to them.
        "beyond": any(OF_SCOPE[scope] - OF_ROLE[chosen.staff_role] for scope in scopes),
        "back": back.netloc,
    }
    answer = render(request, "oauth/consent.html", context)
    answer["Cache-Control"] = "no-store"
    # The answer to this form leads to the application: browsers hold that against the form's own policy.
    answer._csp_update = {"form-action": [f"{back.scheme}://{back.netloc}"]}  # type: ignore[attr-defined]
    return answer


def _answer(request: HttpRequest, user_id: int, place: Place) -> HttpResponse:
    caller = callers.enter(place, user_id)
    client_id = request.GET["client_id"]
    with remembered_tenant(place.tenant_id):
        applications.bring_up_to_date(client_id, place.tenant_id)
        allow = request.POST.get("allow") == "yes"
        try:
            scopes, credentials = _oauth.validate_authorization_request(request)
            uri, *_rest = _oauth.create_authorization_response(
                request=request, scopes=" ".join(scopes), credentials=credentials, allow=allow
            )
        except OAuthToolkitError as error:
            return _refused(request, error)
        application = OAuthApplication.objects.get(client_id=client_id)
        applications.consent(application, place.membership_id, scopes, by=caller.actor, now=timezone.now())
    return _leave(uri)


def _refused(request: HttpRequest, error: OAuthToolkitError) -> HttpResponse:
    """Back to the application where its address is proven, otherwise a page: 400."""
    is_proven, answer = _oauth.error_response(error)
    if is_proven:
        return _leave(answer["url"])
    return _no(request, 400, _("The application sent a request that cannot be answered: %s") % error.oauthlib_error)


def _leave(uri: str) -> HttpResponse:
    return HttpResponse(status=302, headers={"Location": uri, "Cache-Control": "no-store"})


def _no(request: HttpRequest, status: int, why: str) -> HttpResponse:
    return render(request, "oauth/refused.html", {"why": why}, status=status)
