"""How the APIs answer: who may ask, what an error looks like, how lists are paged.

Errors are always JSON in the contract's shape. Missing and foreign look the same: 404.
"""

import base64
import binascii
import io
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils.dateparse import parse_datetime
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.callers import Caller, presented_key
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.rights import Right

ERROR_NAMES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "rate_limited",
    500: "internal_server_error",
    503: "unavailable",
}


class KeyAuthentication(BaseAuthentication):
    """The middleware has found the caller already; a browser session is no way into the API."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        caller: Caller | None = getattr(request._request, "caller", None)
        if caller is not None and caller.is_machine:
            return caller, None
        if presented_key(request._request) is not None:
            raise exceptions.AuthenticationFailed(
                "This key is not known, has expired or was revoked.", code="invalid_token"
            )
        return None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class HasRight(BasePermission):
    """A view states in `rights` what each method asks for; a method that is not named there is closed."""

    message = "This key may not do that."

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method == "OPTIONS":
            return True
        caller = request.user
        if not isinstance(caller, Caller):
            raise exceptions.NotAuthenticated("Send a key as “Authorization: Bearer …”.")
        rights: Mapping[str, Right] = getattr(view, "rights", {})
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method not in rights:
            raise exceptions.MethodNotAllowed(method)
        return caller.may(rights[method])


class StrictJSONParser(JSONParser):
    """JSON that can be stored: no lone surrogates, no nesting without end, no more than a body may hold."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        # Read up to the limit, and no further: a body without end is not taken in to be refused.
        body = stream.read(most + 1)
        if len(body) > most:
            raise RequestDataTooBig
        try:
            parsed = super().parse(io.BytesIO(body), media_type, parser_context)
            json.dumps(parsed, ensure_ascii=False).encode()
        except (RecursionError, UnicodeEncodeError) as error:
            raise exceptions.ParseError("This is not JSON that can be read.") from error
        return parsed


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn what a view raised into the contract's error; None leaves it to be a 500."""
    request_id = str(uuid.uuid4())
    headers: dict[str, str] = {"X-Request-Id": request_id}
    if isinstance(error, Refusal):
        body, status = _of_refusal(error), error.status
        if "retry_after" in error.facts:
            headers["Retry-After"] = str(error.facts["retry_after"])
            body["retry_after"] = body["retry_in"] = error.facts["retry_after"]
    elif isinstance(error, exceptions.ValidationError):
        body, status = _of_fields(error), 422
    elif isinstance(error, ModelValidationError):
        body, status = _of_fields(exceptions.ValidationError(serializers.as_serializer_error(error))), 422
    elif isinstance(error, Http404):
        body, status = _plain(404, "There is nothing with this id."), 404
    elif isinstance(error, RequestDataTooBig):
        body, status = _plain(413, "This request is too large."), 413
    elif isinstance(error, SuspiciousOperation):
        body, status = _plain(400, "This request cannot be read."), 400
    elif isinstance(error, PermissionDenied):
        body, status = _plain(403, "This key may not do that."), 403
    elif isinstance(error, exceptions.APIException):
        status = error.status_code
        codes = error.get_codes()
        name = codes if codes == "invalid_token" else ERROR_NAMES.get(status, "bad_request")
        body = {"error": name, "error_description": str(error.detail)}
        if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            headers["WWW-Authenticate"] = 'Bearer realm="api"'
    else:
        return None
    return Response(body | {"request_id": request_id}, status=status, headers=headers)


def _plain(status: int, text: str) -> dict[str, Any]:
    return {"error": ERROR_NAMES.get(status, "bad_request"), "error_description": text}


def _of_refusal(refusal: Refusal) -> dict[str, Any]:
    body = _plain(refusal.status, refusal.sentence)
    if refusal.about:
        body |= {"errors": {refusal.about: [refusal.sentence]}, "codes": {refusal.about: [refusal.code]}}
    else:
        body["code"] = refusal.code
    return body


def _of_fields(error: exceptions.ValidationError) -> dict[str, Any]:
    detail = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
    texts = {field: list(_leaves(value)) for field, value in detail.items()}
    first = next(iter(texts), "")
    return {
        "error": "validation_failed",
        "error_description": f"{first}: {texts[first][0]}" if first and texts[first] else "Something is missing.",
        "errors": {field: [str(text) for text in found] for field, found in texts.items()},
        "codes": {field: [getattr(text, "code", "invalid") for text in found] for field, found in texts.items()},
    }


def _leaves(value: Any) -> Any:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


class InstantField(serializers.DateTimeField):
    """ISO 8601. Without an offset it is read in the account's time zone; answers are UTC with `Z`."""

    default_error_messages = {
        "invalid": "Write a date and time such as 2026-07-01T09:00:00Z.",
        "not_once": "This local time does not exist or exists twice: add an offset such as +02:00.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        try:
            moment = parse_datetime(value) if isinstance(value, str) else None
        except ValueError:
            moment = None
        if moment is None or not 1900 <= moment.year <= 9000:
            self.fail("invalid")
        if moment.tzinfo is None:
            tenant: Tenant = self.context["tenant"]
            zone = tenant.zone
            first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
            if first.utcoffset() != second.utcoffset():
                self.fail("not_once")
            moment = first
        return moment.astimezone(UTC)

    def to_representation(self, value: datetime) -> str:
        return instant_in_utc(value)


def instant_in_utc(moment: datetime) -> str:
    """ISO 8601 with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole_number(request: Request, name: str, default: int, *, most: int, least: int = 1) -> int:
    """A number from the query, held between `least` and `most`; refuses what is none, nothing at all too."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise exceptions.ValidationError({name: [exceptions.ErrorDetail("Write a whole number.", "invalid")]})
    return max(least, min(int(text), most))


def is_true(request: Request, name: str) -> bool:
    """A yes or no from the query; refuses what is neither."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("false", "true"):
        raise exceptions.ValidationError({name: [exceptions.ErrorDetail("Write true or false.", "invalid")]})
    return text == "true"


def id_of(request: Request, name: str) -> int | None:
    """An id from the query; refuses what is none."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise exceptions.ValidationError({name: [exceptions.ErrorDetail("Write a whole number.", "invalid")]})
    return int(text)


def instant_of(request: Request, name: str, tenant: Tenant) -> datetime | None:
    """An instant from the query; a `+` that was not encoded has become a space."""
    text = request.query_params.get(name)
    if text is None:
        return None
    field = InstantField()
    field._context = {"tenant": tenant}  # type: ignore[attr-defined]
    try:
        moment: datetime = field.run_validation(text.replace(" ", "+"))
    except exceptions.ValidationError as error:
        raise exceptions.ValidationError({name: error.detail}) from None
    return moment


def named(request: Request, rows: QuerySet[Any]) -> QuerySet[Any]:
    """The rows of the name that the query asks for, in any case; all of them where it asks for none."""
    name = request.query_params.get("name", "").strip()
    if "\x00" in name:
        return rows.none()
    return rows.filter(name__iexact=name) if name else rows


def one_page(request: Request, rows: QuerySet[Any], *, per_page: int, most: int) -> tuple[list[Any], dict[str, str]]:
    """One page of an ordered list, and the headers that both spellings of the reference name.

    With a `cursor` (empty for the first page) nothing is counted and no row comes twice; `Link` names the next page.
    """
    if not rows.ordered:
        raise AssertionError("a paged list needs a stable order")
    size = whole_number(request, "per_page", per_page, most=most)
    if is_true(request, "skip_pagination"):
        size = most
    page = whole_number(request, "page", 1, most=10**6)
    headers: dict[str, Any] = {"Per-Page": size, "X-Per-Page": size}
    if (cursor := request.query_params.get("cursor")) is not None:
        found = list((rows.filter(_after(rows, cursor)) if cursor else rows)[: size + 1])
        has_more = len(found) > size
        found = found[:size]
    else:
        total = rows.order_by().count()
        found = list(rows[(page - 1) * size : page * size])
        has_more = page * size < total
        headers |= {"Total": total, "X-Page": page, "X-Total-Results": total}
    if has_more and found:
        query = request.GET.copy()
        query.pop("page", None)
        query["cursor"] = cursor_of(*[_sortable(getattr(found[-1], name)) for name in _columns(rows)])
        headers["Link"] = f'<{request.build_absolute_uri(request.path)}?{query.urlencode()}>; rel="next"'
    return found, {name: str(value) for name, value in headers.items()}


def _columns(rows: QuerySet[Any]) -> list[str]:
    return [str(name) for name in rows.query.order_by]


def _sortable(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _after(rows: QuerySet[Any], cursor: str) -> Q:
    """The rows behind this place; each list is ordered by columns of its own table, ascending."""
    names = _columns(rows)
    texts = parts_of(cursor, len(names))
    try:
        values = [rows.model._meta.get_field(name).to_python(text) for name, text in zip(names, texts, strict=True)]
    except (ValueError, ModelValidationError):
        raise _unknown_cursor() from None
    if any("\x00" in text for text in texts) or any(isinstance(v, int) and abs(v) >= 2**63 for v in values):
        raise _unknown_cursor()
    behind = Q()
    for index, name in enumerate(names):
        same = dict(zip(names[:index], values[:index], strict=True))
        behind |= Q(**same, **{f"{name}__gt": values[index]})
    return behind


def _unknown_cursor() -> exceptions.ValidationError:
    return exceptions.ValidationError({"cursor": [exceptions.ErrorDetail("This cursor is not known.", "invalid")]})


def cursor_of(*parts: object) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(json.dumps([str(part) for part in parts]).encode()).decode().rstrip("=")


def parts_of(cursor: str, count: int) -> list[str]:
    """What `cursor_of` was given; refuses anything else."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(parts, list) and len(parts) == count and all(isinstance(part, str) for part in parts):
            return parts
    except (binascii.Error, ValueError):
        pass
    raise _unknown_cursor()
