"""`/oauth/token`, `/oauth/revoke` and `/oauth/token/info`: an application speaks for itself, its tenant is looked up.

Client id and secret stand in the body or in HTTP Basic. Errors are OAuth's: `error` and `error_description`.
"""

import base64
import binascii
import json
from typing import Any
from urllib.parse import unquote_plus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST
from oauth2_provider.views import RevokeTokenView, TokenView

from accounts import applications, rates
from accounts.callers import presented_key
from accounts.grants import ACCESS, digest
from accounts.models import OAuthAccessToken, OAuthConsent, Tenant
from accounts.tenancy import tenant_context

_token = TokenView.as_view()
_revoke = RevokeTokenView.as_view()
# Whoever guesses secrets or codes is slowed down, and not the application whose id they use: that is no secret.
MOST_PER_MINUTE = 300


@csrf_exempt
@require_POST
@sensitive_post_parameters()
def token(request: HttpRequest) -> HttpResponse:
    """Exchange a code, or a refresh token, for a pair of tokens."""
    client_id = _client_id(request)
    found = applications.known(client_id)
    if found is None:
        return _error(401, "invalid_client", "There is no application with this client id and secret.")
    rate = rates.take(f"oauth:{found.id} {rates.sender(request)}", most=MOST_PER_MINUTE, now=timezone.now())
    if not rate.is_allowed:
        refused = _error(429, "rate_limited", "Too many requests of this application in a minute.")
        refused["Retry-After"] = str(rate.retry_after)
        return refused
    fields = request.POST.copy()
    if fields.get("grant_type") not in ("authorization_code", "refresh_token"):
        return _error(400, "unsupported_grant_type", "Send grant_type authorization_code or refresh_token.")
    # What holds no NUL can be looked up.
    code, refresh = (fields.get(name, "").replace("\x00", "") for name in ("code", "refresh_token"))
    if code:
        fields["code"] = digest(code)
    request.POST = fields  # type: ignore[assignment]
    looked_up = digest(code) if fields["grant_type"] == "authorization_code" else digest(refresh)
    tenant_id = applications.tenant_of_token(looked_up) or found.tenant_id
    with tenant_context(tenant_id):
        applications.bring_up_to_date(client_id, tenant_id)
        answer: HttpResponse = _token(request)
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


@csrf_exempt
@require_POST
@sensitive_post_parameters()
def revoke(request: HttpRequest) -> HttpResponse:
    """End a token; 200 for one that nobody knows. With a refresh token its access token goes, and the other way."""
    client_id = _client_id(request)
    found = applications.known(client_id)
    if found is None:
        return _error(403, "unauthorized_client", "There is no application with this client id and secret.")
    shown = request.POST.get("token", "").replace("\x00", "")
    tenant_id = applications.tenant_of_token(digest(shown)) or found.tenant_id
    with tenant_context(tenant_id):
        applications.bring_up_to_date(client_id, tenant_id)
        answer: HttpResponse = _revoke(request)
    if answer.status_code == 401:
        return _error(403, "unauthorized_client", "There is no application with this client id and secret.")
    if answer.status_code != 200:
        return answer
    return JsonResponse({})


@require_GET
def info(request: HttpRequest) -> HttpResponse:
    """What the access token that is shown may do, for whom and how long."""
    caller = getattr(request, "caller", None)
    shown = presented_key(request) or ""
    if caller is None or not shown.startswith(ACCESS):
        refused = _error(401, "invalid_token", "This access token is not known, has expired or was revoked.")
        refused["WWW-Authenticate"] = 'Bearer realm="api", error="invalid_token"'
        return refused
    held = OAuthAccessToken.objects.select_related("application").get(token_checksum=digest(shown))
    given = OAuthConsent.objects.get(pk=caller.actor.id)
    answer = JsonResponse(
        {
            "resource_owner_id": given.membership_id,
            "account_id": Tenant.objects.get(pk=caller.tenant_id).slug,
            "scope": held.scope.split(),
            "expires_in": max(0, int((held.expires - timezone.now()).total_seconds())),
            "application": {"uid": held.application.client_id},
            "created_at": int(held.created.timestamp()),
        }
    )
    patch_vary_headers(answer, ["Authorization"])
    return answer


def _client_id(request: HttpRequest) -> str:
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return unquote_plus(base64.b64decode(rest.strip(), validate=True).decode().partition(":")[0])
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return request.POST.get("client_id", "")


def _error(status: int, error: str, description: str) -> HttpResponse:
    body: dict[str, Any] = {"error": error, "error_description": description}
    return HttpResponse(
        json.dumps(body), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
