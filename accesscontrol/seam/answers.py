"""How the facade answers, in the form of Seam's clients: envelopes, errors, pages, and what a parameter may be.

Reads come by GET or POST, writes by POST, PUT or PATCH, deletes by POST or DELETE. Errors are
`{"error": {"type", "message"}, "ok": false}` with the header `seam-request-id`.
"""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import rates
from accounts.answers import answer_error, cursor_of, parts_of
from accounts.api import TooManyRequests
from accounts.callers import Caller
from accounts.refusals import Refusal
from accounts.rights import Right
from accounts.tenancy import current_tenant_id

READ, WRITE, DELETE = ("GET", "POST"), ("POST", "PUT", "PATCH"), ("POST", "DELETE")
MOST_LISTED = 500
_TYPES = {400: "invalid_input", 401: "unauthorized", 403: "forbidden", 404: "not_found", 429: "too_many_requests"}


class InvalidInput(Exception):
    """A parameter that cannot be understood; the client reads `fields`."""

    def __init__(self, field: str, text: str) -> None:
        self.field, self.text = field, text
        super().__init__(text)


class NotFound(Exception):
    """`kind` is device, access_code, event or action_attempt."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


class SeamView(APIView):
    """One path of the facade; `rights` names what each method asks for, `done` is what it does."""

    rights: ClassVar[dict[str, Right]] = {}
    schema = None
    rate: rates.Rate | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.rate = rates.take(f"key:{self.caller.actor}", most=self.caller.requests_per_minute or 0, now=self.now)
        if not self.rate.is_allowed:
            raise TooManyRequests(retry_after=self.rate.retry_after)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        for name, value in (self.rate.headers if self.rate else {}).items():
            answer[name] = value
        return answer

    @property
    def caller(self) -> Caller:
        return self.request.user  # type: ignore[return-value]

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @cached_property
    def given(self) -> dict[str, Any]:
        """The parameters: of the query, and of the body."""
        query = self.request.query_params
        given: dict[str, Any] = {
            name.removesuffix("[]"): query.getlist(name) if name.endswith("[]") or len(values) > 1 else values[-1]
            for name, values in query.lists()
        }
        if self.request.method != "GET" and self.request.data:
            if not isinstance(self.request.data, dict):
                raise InvalidInput("body", "Send one JSON object.")
            given |= self.request.data
        return given

    def done(self, request: Request) -> dict[str, Any]:
        raise NotImplementedError

    def _answer(self, request: Request) -> Response:
        # What is answered may hold a code.
        return Response(
            {**self.done(request), "ok": True},
            headers={"seam-request-id": str(uuid.uuid4()), "Cache-Control": "no-store"},
        )

    def handle_exception(self, exc: Exception) -> Response:
        request_id = str(uuid.uuid4())
        error, status, headers = self._error(exc)
        return Response(
            {"error": {**error, "request_id": request_id}, "ok": False},
            status=status,
            headers={**headers, "seam-request-id": request_id},
            exception=True,
        )

    def _error(self, error: Exception) -> tuple[dict[str, Any], int, dict[str, str]]:
        if isinstance(error, InvalidInput):
            fields = {"_errors": [], error.field: {"_errors": [error.text]}}
            message = f"{error.field}: {error.text}"
            return {"type": "invalid_input", "message": message, "validation_errors": fields}, 400, {}
        if isinstance(error, NotFound | Http404):
            kind = error.kind if isinstance(error, NotFound) else "resource"
            return {"type": f"{kind}_not_found", "message": f"There is no such {kind.replace('_', ' ')}."}, 404, {}
        known = answer_error(error, {})
        if known is None:
            raise error
        headers = {name: known[name] for name in ("Retry-After", "WWW-Authenticate") if known.has_header(name)}
        body, status = known.data, known.status_code
        if isinstance(error, Refusal):
            kind = _TYPES[429] if isinstance(error, TooManyRequests) else error.code
            return {"type": kind, "message": error.sentence}, 400 if status == 422 else status, headers
        kind = _TYPES.get(status, body["error"])
        return {"type": kind, "message": body["error_description"]}, status, headers

    # Parameters

    def text(self, name: str, *, most: int = 250) -> str | None:
        value = self.given.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or len(value) > most or "\x00" in value:
            raise InvalidInput(name, f"Send a text of at most {most} signs.")
        return value

    def needed(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise InvalidInput(name, "Required")
        return value

    def texts(self, name: str) -> list[str] | None:
        value = self.given.get(name)
        if value is None or value == "":
            return None
        values = value.split(",") if isinstance(value, str) else value
        if not isinstance(values, list) or len(values) > 500 or not all(isinstance(each, str) for each in values):
            raise InvalidInput(name, "Send a list of texts.")
        return values

    def instant(self, name: str) -> datetime | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            moment = parse_datetime(value)
        except ValueError:
            moment = None
        if moment is None or not 1900 <= moment.year <= 8999:
            raise InvalidInput(name, "Send an ISO 8601 timestamp such as 2026-07-01T09:00:00Z.")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    def page(self, rows: QuerySet[Any]) -> tuple[list[Any], dict[str, Any]]:
        """One page of rows, by id, and what the client pages on with."""
        limit = self.given.get("limit") or MOST_LISTED
        try:
            limit = max(1, min(int(float(limit)), MOST_LISTED))
        except (TypeError, ValueError, OverflowError):
            self._invalid("limit", "Send a number.")
        if cursor := self.text("page_cursor", most=200):
            try:
                last = int(parts_of(cursor, 1)[0])
            except (ValueError, exceptions.ValidationError):
                self._invalid("page_cursor", "This cursor is not known.")
            rows = rows.filter(pk__gt=last)
        found = list(rows.order_by("pk")[: limit + 1])
        has_more = len(found) > limit
        found = found[:limit]
        following = cursor_of(found[-1].pk) if has_more else None
        url = None
        if following:
            query = self.request.GET.copy()
            query["page_cursor"] = following
            url = self.request.build_absolute_uri(f"{self.request.path}?{query.urlencode()}")
        return found, {"has_next_page": has_more, "next_page_cursor": following, "next_page_url": url}

    def _invalid(self, name: str, text: str) -> NoReturn:
        raise InvalidInput(name, text)


def answering(methods: tuple[str, ...], right: Right, done: Callable[[Any], Mapping[str, Any]]) -> Any:
    """A view for one path: these methods, this right, and what is answered."""

    def method(view: SeamView, request: Request) -> Response:
        return view._answer(request)

    named: dict[str, Any] = {name.lower(): method for name in methods}
    body = {"done": lambda view, request: dict(done(view)), "rights": dict.fromkeys(methods, right), **named}
    return type(f"Seam{done.__name__.title().replace('_', '')}View", (SeamView,), body).as_view()  # type: ignore[attr-defined]


class NothingHere(SeamView):
    """What Seam has and this facade has not, such as thermostats; and `lock_door`: a door locks itself."""

    rights: ClassVar = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), Right.ACCOUNT_READ)

    def _nothing(self, request: Request, address: str) -> Response:
        raise NotFound("endpoint")

    get = post = put = patch = delete = _nothing


def workspace_id() -> str:
    """Seam's word for the tenant."""
    return str(current_tenant_id())
