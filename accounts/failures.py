"""What is answered where no view does: an address of nothing, a request that cannot be read, a failure of ours.

People get a page; programs get the API's JSON under every address that is theirs.
"""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from accounts.answers import ERROR_NAMES

OF_PROGRAMS = ("/api/", "/seam/", "/v1/", "/mcp", "/identity/v2/", "/ciam/", "/oauth/token", "/oauth/revoke")
_WORDS = {
    400: "This request cannot be read.",
    403: "This key may not do that.",
    404: "There is nothing at this address.",
    500: "Something went wrong here. It was logged; try again.",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _in_json(400) if _asks_a_program(request) else defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _in_json(403) if _asks_a_program(request) else defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _in_json(404) if _asks_a_program(request) else defaults.page_not_found(request, exception)


def failed(request: HttpRequest) -> HttpResponse:
    return _in_json(500) if _asks_a_program(request) else defaults.server_error(request)


def _asks_a_program(request: HttpRequest) -> bool:
    return f"{request.path_info}/".startswith(OF_PROGRAMS)


def _in_json(status: int) -> HttpResponse:
    body: dict[str, Any] = {"error": ERROR_NAMES[status], "error_description": _WORDS[status]}
    request_id = str(uuid.uuid4())
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    return JsonResponse(body | {"request_id": request_id}, status=status, headers=headers)
