"""The one view of `/identity/v2` and `/ciam`: who asks, how often, what for; always JSON, never kept by a cache."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from accounts import rates
from accounts.callers import Caller, signin_key
from accounts.rights import Right
from pins.signin.api import routes
from pins.signin.api.asking import Ask
from pins.signin.api.problems import Problem, Told, rate_limited, told


@csrf_exempt
def identity(request: HttpRequest) -> HttpResponse:
    """Answer one request; 4xx answers commit, so that what was counted stays."""
    try:
        found = _serve(request)
    except Exception as error:  # noqa: BLE001  # every error has one shape, and `told` logs the unexpected
        found = told(error)
    body: Any = found.body
    response = JsonResponse(body, status=found.status, safe=False)
    for name, value in found.headers.items():
        response[name] = value
    response["Cache-Control"] = "no-store"
    return response


def _serve(request: HttpRequest) -> Told:
    route = routes.find(request.path_info)
    if route is None:
        raise Problem(404)
    caller, now = _caller(request), timezone.now()
    rate = rates.take(f"key:{caller.actor}", most=caller.requests_per_minute or 0, now=now)
    if not rate.is_allowed:
        return rate_limited(rate)
    handler = route.handlers.get(request.method or "")
    if handler is None:
        raise Problem(405)
    ask = Ask(request, caller, now, route.values)
    if route.is_managing:
        ask.refuse_without_secret()
    return Told(200, handler(ask), rate.headers)


def _caller(request: HttpRequest) -> Caller:
    if not signin_key(request):
        raise Problem(922)
    caller: Caller | None = getattr(request, "caller", None)
    if caller is None:
        raise Problem(920)
    if not caller.may(Right.SIGN_IN):
        raise Problem(901)
    return caller
