"""The public page of a link: a button first, since programs that preview links press none; then the PIN.

The token in the address is the key, whoever has it is let see. The PIN stands in the answer to a POST alone:
in no address, no title and no history; nothing may keep or index the page, or learn its address from it.
"""

import base64
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accesscontrol.visits import messages, revealing
from accesscontrol.visits.messages import wording
from accesscontrol.visits.models import RevealLink
from accesscontrol.visits.revealing import Fate
from accounts import colours, keys, rates
from accounts.models import Tenant, TenantLogo
from accounts.tenancy import current_tenant_id, tenant_context
from pins.deliveries.rendering import grouped

# In a minute: of one address, behind which many may sit, and of one link.
LOOKS_PER_ADDRESS, REVEALS_PER_LINK = 120, 10
_TOKEN = re.compile(r"[a-z2-7]{32}", re.ASCII)


# Whoever could forge a POST has the token and may as well send it: a cookie would only keep visitors out.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def visit(request: HttpRequest, token: str) -> HttpResponse:
    """Ask on GET, show on POST."""
    now = timezone.now()
    looks = rates.take(f"reveal address {rates.sender(request)}", most=LOOKS_PER_ADDRESS, now=now)
    if not looks.is_allowed:
        return _answer(request, {"fate": "too_often"}, status=429, retry_after=looks.retry_after)
    found = revealing.find(token) if _TOKEN.fullmatch(token) else None
    if found is None:
        return _answer(request, {"fate": "unknown"}, status=404)
    tenant_id, link_id = found
    with tenant_context(tenant_id):
        link = revealing.load(link_id)
        tenant = Tenant.objects.get(pk=current_tenant_id())
        with translation.override(messages.language_of(link.credential.person, tenant)):
            fate = revealing.fate_of(link, now)
            context = _about(link, tenant, fate)
            if fate is not Fate.ALIVE:
                return _answer(request, context, status=410)
            if request.method == "POST":
                tries = rates.take(f"reveal link {keys.digest(token).hex()}", most=REVEALS_PER_LINK, now=now)
                if not tries.is_allowed:
                    return _answer(request, context | {"fate": "too_often"}, status=429, retry_after=tries.retry_after)
                context["pin"] = grouped(revealing.reveal(link, now=now))
            return _answer(request, context)


def _about(link: RevealLink, tenant: Tenant, fate: Fate) -> dict[str, Any]:
    """What the page says: of a visit that is over no more than whom to call."""
    context: dict[str, Any] = {
        "fate": fate.value,
        "tenant_name": tenant.name,
        "colour": tenant.colour,
        "logo": logo_of(tenant),
        "ink": "light" if colours.ink_on(tenant.colour) == colours.LIGHT_INK else "dark",
    }
    if link.reservation is None:
        return context
    doors = wording.doors_of(link.reservation)
    words = wording.visit_in_words(link.reservation, doors, wording.stretches_of(link.reservation))
    words |= {"host_name": link.reservation.hosted_by, "needs_check_in": link.reservation.needs_check_in}
    words["help_phone_dialled"] = re.sub(r"[^0-9+*#]", "", str(words["help_phone"]))
    of_the_dead = ("site_name", "help_phone", "help_phone_dialled")
    return context | (words if fate is Fate.ALIVE else {name: words[name] for name in of_the_dead})


def logo_of(tenant: Tenant) -> dict[str, Any] | None:
    """The logo inside the page itself: an address of its own would tell strangers who is a tenant here."""
    logo = TenantLogo.objects.first() if tenant.logo_version else None
    if logo is None:
        return None
    data = base64.b64encode(bytes(logo.image)).decode()
    return {"data": f"data:image/png;base64,{data}", "width": logo.width // 2, "height": logo.height // 2}


def _answer(
    request: HttpRequest, context: dict[str, Any], *, status: int = 200, retry_after: int | None = None
) -> HttpResponse:
    response = render(request, "visits/reveal.html", context, status=status)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    if retry_after:
        response["Retry-After"] = str(retry_after)
    return response
