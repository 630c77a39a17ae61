"""The addresses of the stream process: who may follow, with which filters, and in which form.

Keys and tokens are the ones of `/api/3`; errors have the form of `/api/3`. A stream ends by itself when its key does.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final, cast

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.http import HttpRequest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from accesscontrol.access.following import Position
from accesscontrol.streams.feeds import Ended, Follower, Hub, TooMany, Wanted
from accesscontrol.streams.sources import EVENTS, Item, Source
from accounts.callers import Caller, caller_of_key, presented_key

# Proxies close what is silent for a minute, some after half of it.
HEARTBEAT_SECONDS: Final = 15.0
RECONNECT_MILLISECONDS: Final = 2000
_POSITION = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_IDS = re.compile(r"[0-9]{1,18}(,[0-9]{1,18}){0,499}", re.ASCII)


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


def _refused(status: int, error: str, text: str, *, field: str | None = None, **headers: str) -> _Refused:
    body: dict[str, Any] = {"error": error, "error_description": text, "request_id": str(uuid.uuid4())}
    if field:
        body |= {"errors": {field: [text]}, "codes": {field: ["invalid"]}}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return _Refused(JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store", **headers}))


def _hub(request: Request) -> Hub:
    return cast(Hub, request.app.state.hub)


async def stream_events(request: Request) -> Response:
    """What happens at the doors, as server-sent events."""
    return await stream(request, EVENTS)


async def stream(request: Request, source: Source, wanted: Wanted | None = None) -> Response:
    """Follow a source for as long as the client and its key last."""
    held = AsyncExitStack()
    try:
        caller = await _caller(request, source)
        wanted = wanted or _wanted(request)
        position = _position(request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id"))
        follower = await held.enter_async_context(_hub(request).follow(caller, source, wanted, position))
    except _Refused as refused:
        return refused.response
    except TooMany:
        return _refused(
            429, "rate_limited", "This key holds as many streams open as it may.", Retry_After="30"
        ).response
    except TimeoutError:
        return _refused(503, "unavailable", "The database does not answer. Try again.", Retry_After="5").response
    return _Stream(follower, held)


class _Stream(StreamingResponse):
    """The answer that goes on; whatever ends it, the follower is let go."""

    def __init__(self, follower: Follower, held: AsyncExitStack) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_told(follower), media_type="text/event-stream", headers=headers)
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.held:
            await super().__call__(scope, receive, send)


async def _told(follower: Follower) -> AsyncIterator[str]:
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    while True:
        try:
            item = await follower.next(HEARTBEAT_SECONDS)
        except Ended as ended:
            yield f'event: end\ndata: {{"reason":"{ended.why}"}}\n\n'
            return
        yield in_lines(item) if item else ": still here\n\n"


def in_lines(item: Item) -> str:
    """One event as it stands on the wire; JSON has no line breaks of its own."""
    data = json.dumps(item.data, ensure_ascii=False, separators=(",", ":"), cls=DjangoJSONEncoder)
    return f"id: {item.position[0]}-{item.position[1]}\nevent: {item.event}\ndata: {data}\n\n"


async def _caller(request: Request, source: Source) -> Caller:
    # Starlette's headers are asked by the same names as Django's.
    key = presented_key(cast(HttpRequest, request))
    if key is None:
        raise _refused(
            401, "unauthorized", "Send a key as “Authorization: Bearer …”.", WWW_Authenticate='Bearer realm="api"'
        )

    def find() -> Caller | None:
        with transaction.atomic():
            return caller_of_key(key)

    caller = await _hub(request).work(None, find)
    if caller is None:
        raise _refused(
            401,
            "invalid_token",
            "This key is not known, has expired or was revoked.",
            WWW_Authenticate='Bearer realm="api"',
        )
    if not caller.may(source.right):
        raise _refused(403, "forbidden", "This key may not do that.")
    return caller


def _wanted(request: Request) -> Wanted:
    channels = _ids(request, "channels") or _ids(request, "channel_id")
    return Wanted(channels, _ids(request, "site_id"), _ids(request, "person_id"))


def _ids(request: Request, name: str) -> frozenset[int] | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not _IDS.fullmatch(text):
        raise _refused(422, "validation_failed", "Write whole numbers, separated by commas.", field=name)
    return frozenset(int(part) for part in text.split(","))


def _position(text: str | None) -> Position | None:
    if not text:
        return None
    found = _POSITION.fullmatch(text)
    if not found:
        raise _refused(422, "validation_failed", "This is no id of an event in this stream.", field="Last-Event-ID")
    return int(found[1]), int(found[2])


ROUTES = [Route("/api/3/events/stream", stream_events, methods=["GET"])]
