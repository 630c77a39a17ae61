"""How `/v1` answers: TinyFn's errors, the key's limit on every answer, and nothing that a cache may keep.

Every request with a valid key counts, whatever its answer. Where a caller may not ask at all, the limit shown is 0.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import rates
from accounts.callers import Caller
from accounts.rates import Rate
from accounts.refusals import Refusal
from accounts.rights import Right

_log = logging.getLogger(__name__)


class LimitReached(Exception):
    """The key has used up its minute."""

    def __init__(self, rate: Rate) -> None:
        super().__init__()
        self.rate = rate


@dataclass(frozen=True)
class Problem:
    """What went wrong, as the contract tells it."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def problem(error: Exception) -> Problem:
    """Any error in TinyFn's shape; what nobody expected is logged and answered without its text."""
    if isinstance(error, LimitReached):
        wait = error.rate.retry_after
        return _waiting(429, "Rate limit exceeded", "RATE_LIMIT_EXCEEDED", wait)
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        body = {"error": "Invalid API key", "code": "UNAUTHORIZED"}
        return Problem(401, body, {"WWW-Authenticate": 'Bearer realm="v1"'})
    if isinstance(error, Refusal):
        return _of_refusal(error)
    if isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        return _plain(403, "This key may not do that.")
    if isinstance(error, Http404):
        return _plain(404, "There is nothing at this address.")
    if isinstance(error, RequestDataTooBig):
        return _plain(413, "This request is too large.")
    if isinstance(error, SuspiciousOperation | exceptions.ParseError):
        return _plain(400, "This request cannot be read.", "VALIDATION_ERROR")
    if isinstance(error, exceptions.APIException):
        return _plain(error.status_code, str(error.detail))
    _log.error("A request to /v1 failed", exc_info=error)
    return _plain(500, "Something went wrong here.", "INTERNAL_ERROR")


def _of_refusal(refusal: Refusal) -> Problem:
    if "retry_after" in refusal.facts:
        return _waiting(refusal.status, refusal.sentence, refusal.code.upper(), refusal.facts["retry_after"])
    details: dict[str, Any] = {}
    if refusal.about:
        details = {"field": refusal.about, "value": refusal.facts.get("value")}
    return Problem(refusal.status, {"error": refusal.sentence, "code": refusal.code.upper(), "details": details})


def _plain(status: int, text: str, code: str | None = None) -> Problem:
    return Problem(status, {"error": text, "code": code or HTTPStatus(status).name, "details": {}})


def _waiting(status: int, text: str, code: str, wait: int) -> Problem:
    return Problem(status, {"error": text, "code": code, "retry_after": wait}, {"Retry-After": str(wait)})


def rate_of(request: HttpRequest, now: datetime) -> Rate:
    """Counts this request for the caller's plan; the limit of whoever may not ask is 0."""
    caller = getattr(request, "caller", None)
    if caller is None or not caller.is_machine or not caller.may(Right.GENERATE):
        return rates.nothing(now)
    return rates.take(f"key:{caller.actor}", most=caller.requests_per_minute or 0, now=now)


class OnlyJson(BaseContentNegotiation):
    """JSON whatever is accepted: neither a browser's Accept nor `?format=` changes the answer."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ContractView(APIView):
    """A view of `/v1`: one right for all of it, a limit by plan, errors in the contract's shape."""

    # Not part of the document of /api/3: this contract is another one's.
    schema = None
    content_negotiation_class = OnlyJson
    rate: Rate | None = None

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @property
    def caller(self) -> Caller:
        return self.request.user  # type: ignore[return-value]

    def check_permissions(self, request: Request) -> None:
        if not isinstance(request.user, Caller):
            raise exceptions.NotAuthenticated
        if not request.user.may(Right.GENERATE):
            raise exceptions.PermissionDenied

    def check_throttles(self, request: Request) -> None:
        self.rate = rate_of(request._request, self.now)
        if not self.rate.is_allowed:
            raise LimitReached(self.rate)

    def get_exception_handler(self) -> Any:
        return answer_problem

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        rate = self.rate or rates.nothing(self.now)
        for name, value in rate.headers.items():
            response[name] = value
        response["Cache-Control"] = "no-store"
        return super().finalize_response(request, response, *args, **kwargs)


class NothingHere(ContractView):
    """Every other address under `/v1`."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404


def answer_problem(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler for these views."""
    found = problem(error)
    return Response(found.body, status=found.status, headers=found.headers)
