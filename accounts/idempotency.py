"""A write that is repeated with its Idempotency-Key is done once and answered the same for 24 hours.

The kept answer holds no PIN: a replay has the view render it again. The same key with another request is refused.
"""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys
from accounts.models import IdempotentAnswer
from accounts.refusals import Refusal

KEPT = timedelta(hours=24)
LONGEST = 255
_SECRETS = {"value", "pin"}


class KeyIsUnusable(Refusal):
    code = "invalid"
    field = "Idempotency-Key"
    text = f"Send 1 to {LONGEST} visible ASCII characters."


class KeyReused(Refusal):
    code = "idempotency_key_reused"
    status = 409
    text = "This Idempotency-Key was used for another request."


class AnswerErased(Refusal):
    code = "answer_erased"
    status = 410
    text = "This request was carried out. Its answer was erased together with a person it was about."


def idempotent(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For the writing methods of an API view; the view may have `render_again(request, body)`, `secrets`: more names
    whose values are not kept, and `same_answer_for` where an answer does not hold for 24 hours.
    """

    @functools.wraps(method)
    def answer(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return method(view, request, *args, **kwargs)
        if not 1 <= len(key) <= LONGEST or not (key.isascii() and key.isprintable()):
            raise KeyIsUnusable
        return _once(view, request, key, functools.partial(method, view, request, *args, **kwargs))

    return answer


def _once(view: Any, request: Request, key: str, write: Callable[[], HttpResponse]) -> HttpResponse:
    now = timezone.now()
    caller = str(view.caller.actor)
    key_digest = keys.digest(key)
    # Keyed, because the body may hold a chosen PIN that a plain digest would give away.
    request_digest = keys.digest(f"{request.method} {request.get_full_path()} {request.body.hex()}")
    with connection.cursor() as cursor:
        # A repeat that comes while the first is at work waits for its answer.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{caller} {key_digest.hex()}"])
    kept = IdempotentAnswer.objects.filter(caller=caller, key_digest=key_digest).first()
    if kept is not None and kept.created_at > now - getattr(view, "same_answer_for", KEPT):
        if bytes(kept.request_digest) != request_digest:
            raise KeyReused
        if kept.is_erased:
            raise AnswerErased
        body = kept.body
        if hasattr(view, "render_again"):
            body = view.render_again(request, body)
        headers = {"Idempotent-Replay": "true", "Cache-Control": "no-store"}
        if isinstance(body, str):
            return HttpResponse(body, status=kept.status, content_type="text/plain", headers=headers)
        return Response(body, status=kept.status, headers=headers)
    response = write()
    IdempotentAnswer.objects.update_or_create(
        caller=caller,
        key_digest=key_digest,
        defaults={
            "request_digest": request_digest,
            "status": response.status_code,
            "is_erased": False,
            "body": _kept(response, _SECRETS | set(getattr(view, "secrets", ()))),
            "created_at": now,
        },
    )
    return response


def _kept(response: HttpResponse, secrets: set[str]) -> Any:
    """A JSON answer without its secrets; a plain one is its text."""
    if isinstance(response, Response):
        return without_secrets(response.data, secrets)
    return response.content.decode()


def without_secrets(body: Any, secrets: set[str] = _SECRETS) -> Any:
    """The same body without the values of these names."""
    if isinstance(body, dict):
        return {name: without_secrets(value, secrets) for name, value in body.items() if name not in secrets}
    if isinstance(body, list):
        return [without_secrets(value, secrets) for value in body]
    return body


def forget(now: datetime) -> int:
    """Delete answers of the current tenant that are older than 24 hours."""
    return IdempotentAnswer.objects.filter(created_at__lte=now - KEPT).delete()[0]
