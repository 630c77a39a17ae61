"""The public page behind the link in a message, where a forgotten PIN is replaced. Nobody is signed in by it.

The token in the address is the key; it works once, and looking at the page does not use it up, since programs look at
links too. Nothing may keep or index the page, or learn its address from it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts import audit, colours, rates
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id, tenant_context
from pins.deliveries.rendering import known_language
from pins.policy import LONGEST
from pins.signin import tokens
from pins.signin.models import SignInSettings, Token
from pins.signin.resetting import replacing

LOOKS_PER_ADDRESS = 60
BY = audit.Actor("link")


# Whoever could forge a POST has the token and may as well send it: a cookie would only keep people out.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for a new PIN on GET, set it on POST."""
    now = timezone.now()
    looks = rates.take(f"reset address {rates.sender(request)}", most=LOOKS_PER_ADDRESS, now=now)
    if not looks.is_allowed:
        return _answer(request, {"fate": "too_often"}, status=429, retry_after=looks.retry_after)
    tenant_id = tokens.tenant_of_link(token)
    if tenant_id is None:
        return _answer(request, {"fate": "unknown"}, status=404)
    with tenant_context(tenant_id):
        return _of_tenant(request, token, now)


def _of_tenant(request: HttpRequest, value: str, now: datetime) -> HttpResponse:
    tenant = Tenant.objects.get(pk=current_tenant_id())
    settings = SignInSettings.of_tenant()
    context: dict[str, Any] = {
        "tenant_name": tenant.name,
        "colour": tenant.colour,
        "ink": "light" if colours.ink_on(tenant.colour) == colours.LIGHT_INK else "dark",
        "shortest": settings.pin_length,
        "longest": LONGEST,
    }
    try:
        token = replacing.live_link(value, now=now)
    except Refusal as refusal:
        return _answer(request, context | {"fate": refusal.code}, status=410)
    with translation.override(known_language(token.subscriber.language)):
        if request.method != "POST":
            return _answer(request, context | {"fate": "alive"})
        fault = _replaced(request.POST, token, value, now)
        if fault:
            return _answer(request, context | {"fate": "alive", "fault": fault}, status=422)
        return _answer(request, context | {"fate": "done"})


def _replaced(sent: Mapping[str, Any], token: Token, value: str, now: datetime) -> str:
    """Set the PIN; what is wrong with it, "" when it is set."""
    new_pin = "".join(str(sent.get("pin", ""))[:100].split())
    if new_pin != "".join(str(sent.get("again", ""))[:100].split()):
        return gettext("The two entries differ. Type the same PIN twice.")
    try:
        replacing.by_link(value, new_pin, by=BY, now=now)
    except Refusal as refusal:
        return gettext(refusal.sentence)
    return ""


def _answer(
    request: HttpRequest, context: dict[str, Any], *, status: int = 200, retry_after: int | None = None
) -> HttpResponse:
    response = render(request, "signin/reset.html", context, status=status)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    if retry_after:
        response["Retry-After"] = str(retry_after)
    return response
