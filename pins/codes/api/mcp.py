"""`/mcp/generate/`: Streamable HTTP for MCP clients, with the same key and the same limit as `/v1`.

What stops a request before the protocol is told as a JSON-RPC error, which clients show to their users.
"""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions

from accounts.rates import Rate
from accounts.rights import Right
from pins.codes.api.shape import LimitReached, problem, rate_of

_INVALID_REQUEST = -32600
# Who calls is settled here; the protocol has no use for secrets.
_KEPT_BACK = {"authorization", "cookie", "x-api-key"}


@csrf_exempt
def generate_tools(request: HttpRequest) -> HttpResponse:
    """One exchange; nothing is streamed, so GET and DELETE have nothing to offer."""
    rate = rate_of(request, timezone.now())
    try:
        response = _serve(request, rate)
    except Exception as error:  # noqa: BLE001  # every error has one shape, and `problem` logs the unexpected
        found = problem(error)
        told = {"code": _INVALID_REQUEST, "message": found.body["error"], "data": found.body}
        response = JsonResponse(
            {"jsonrpc": "2.0", "id": None, "error": told}, status=found.status, headers=found.headers
        )
        if found.status == 405:
            response["Allow"] = "POST"
    for name, value in rate.headers.items():
        response[name] = value
    response["Cache-Control"] = "no-store"
    return response


def _serve(request: HttpRequest, rate: Rate) -> HttpResponse:
    if not _is_at_home(request):
        # A page on another site, reached by a browser whose DNS was turned to this address.
        raise PermissionDenied
    if request.method != "POST":
        raise exceptions.MethodNotAllowed(request.method or "")
    caller = getattr(request, "caller", None)
    if caller is None or not caller.is_machine:
        raise exceptions.NotAuthenticated
    if not caller.may(Right.GENERATE):
        raise PermissionDenied
    if not rate.is_allowed:
        raise LimitReached(rate)
    if len(request.body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise RequestDataTooBig
    # Importing it loads the whole SDK.
    from pins.codes.tools import exchange  # noqa: PLC0415

    headers = {name: value for name, value in request.headers.items() if name.lower() not in _KEPT_BACK}
    answer = exchange(headers, request.body)
    response = HttpResponse(answer.body, status=answer.status)
    del response["Content-Type"]
    for name, value in answer.headers.items():
        if name.lower() != "content-length":
            response[name] = value
    return response


def _is_at_home(request: HttpRequest) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    own = urlsplit(settings.PUBLIC_URL)
    known = {f"{own.scheme}://{own.netloc}", f"{request.scheme}://{request.get_host()}"}
    return origin in known or origin in settings.CSRF_TRUSTED_ORIGINS
