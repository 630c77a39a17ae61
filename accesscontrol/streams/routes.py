"""The addresses of the stream process: who may follow, with which filters, and in which form.

Keys and tokens are the ones of `/api/3`; errors have the form of `/api/3`. A stream ends by itself when its key does.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from time import monotonic
from typing import Any, Final, cast

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from accesscontrol.access import acknowledging, contact
from accesscontrol.access.following import Position
from accesscontrol.doors.models import ReaderChannel
from accesscontrol.streams.feeds import Ended, Follower, Hub, TooMany, Wanted
from accesscontrol.streams.sources import COMMANDS, EVENTS, Item, Source, command_item
from accounts.callers import Caller, caller_of_key, presented_key

# Proxies close what is silent for a minute, some after half of it.
HEARTBEAT_SECONDS: Final = 15.0
LONG_POLL_SECONDS: Final = 25.0
RECONNECT_MILLISECONDS: Final = 2000
_POSITION = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_IDS = re.compile(r"[0-9]{1,18}(,[0-9]{1,18}){0,499}", re.ASCII)


class Refused(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


def refused(status: int, error: str, text: str, *, field: str | None = None, **headers: str) -> Refused:
    body: dict[str, Any] = {"error": error, "error_description": text, "request_id": str(uuid.uuid4())}
    if field:
        body |= {"errors": {field: [text]}, "codes": {field: ["invalid"]}}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refused(JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store", **headers}))


def hub_of(request: Request) -> Hub:
    return cast(Hub, request.app.state.hub)


async def stream_events(request: Request) -> Response:
    """What happens at the doors, as server-sent events."""
    try:
        follower, held = await _follow(request, EVENTS, _wanted(request))
    except Refused as no:
        return no.response
    return _Stream(_told(follower), held)


async def _follow(
    request: Request, source: Source, wanted: Wanted, caller: Caller | None = None
) -> tuple[Follower, AsyncExitStack]:
    """Follow a source for as long as what is returned stays open; whoever may not is refused."""
    held = AsyncExitStack()
    caller = caller or await caller_of(request, source)
    position = _position(request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id"))
    try:
        return await held.enter_async_context(hub_of(request).follow(caller, source, wanted, position)), held
    except TooMany:
        raise refused(429, "rate_limited", "This key holds as many streams open as it may.", Retry_After="30") from None
    except TimeoutError:
        raise refused(503, "unavailable", "The database does not answer. Try again.", Retry_After="5") from None


class _Stream(StreamingResponse):
    """The answer that goes on; whatever ends it, the follower is let go."""

    def __init__(self, told: AsyncIterator[str], held: AsyncExitStack) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(told, media_type="text/event-stream", headers=headers)
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


async def caller_of(request: Request, source: Source) -> Caller:
    # Starlette's headers are asked by the same names as Django's.
    key = presented_key(cast(HttpRequest, request))
    if key is None:
        raise refused(
            401, "unauthorized", "Send a key as “Authorization: Bearer …”.", WWW_Authenticate='Bearer realm="api"'
        )

    def find() -> Caller | None:
        with transaction.atomic():
            return caller_of_key(key)

    caller = await hub_of(request).work(None, find)
    if caller is None:
        raise refused(
            401,
            "invalid_token",
            "This key is not known, has expired or was revoked.",
            WWW_Authenticate='Bearer realm="api"',
        )
    if not caller.may(source.right):
        raise refused(403, "forbidden", "This key may not do that.")
    return caller


def _wanted(request: Request) -> Wanted:
    channels = _ids(request, "channels") or _ids(request, "channel_id")
    return Wanted(channels, _ids(request, "site_id"), _ids(request, "person_id"))


def _ids(request: Request, name: str) -> frozenset[int] | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not _IDS.fullmatch(text):
        raise refused(422, "validation_failed", "Write whole numbers, separated by commas.", field=name)
    return frozenset(int(part) for part in text.split(","))


def _position(text: str | None) -> Position | None:
    if not text:
        return None
    found = _POSITION.fullmatch(text)
    if not found:
        raise refused(422, "validation_failed", "This is no id of an event in this stream.", field="Last-Event-ID")
    return int(found[1]), int(found[2])


async def stream_commands(request: Request) -> Response:
    """A channel's commands for its controller: what waits, then what comes."""
    try:
        caller, channel_id = await _controller(request)
        follower, held = await _follow(request, COMMANDS, Wanted(frozenset([channel_id])), caller)
    except Refused as no:
        return no.response
    return _Stream(_commanded(request, follower, channel_id), held)


async def wait_for_commands(request: Request) -> Response:
    """The same by long poll: answers as soon as something is to be done, or with an empty list after 25 seconds."""
    try:
        caller, channel_id = await _controller(request)
        after = _after(request)
        follower, held = await _follow(request, COMMANDS, Wanted(frozenset([channel_id])), caller)
    except Refused as no:
        return no.response
    async with held:
        items = await _waiting(request, caller, channel_id, after)
        until = monotonic() + LONG_POLL_SECONDS
        with suppress(Ended):
            while not items and (left := until - monotonic()) > 0:
                item = await follower.next(left)
                # What the controller knows may be followed only now, behind a transaction that stayed open.
                items = [item] if item and item.data["id"] > after else []
            if items and not await _is_theirs(request, caller, channel_id):
                items = []
        body = json.loads(json.dumps([item.data for item in items], cls=DjangoJSONEncoder))
        return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def _commanded(request: Request, follower: Follower, channel_id: int) -> AsyncIterator[str]:
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    known = set()
    # Whatever is not carried out yet is told again, also to a controller that was told before: it may have lost it.
    for waiting in await _waiting(request, follower.caller, channel_id, 0):
        known.add(waiting.position)
        yield in_lines(waiting)
    follower.earlier = None
    while True:
        try:
            item = await follower.next(HEARTBEAT_SECONDS)
        except Ended as ended:
            yield f'event: end\ndata: {{"reason":"{ended.why}"}}\n\n'
            return
        # A key may be taken off a door while it goes on at others.
        if not await _is_theirs(request, follower.caller, channel_id):
            yield 'event: end\ndata: {"reason":"key_ended"}\n\n'
            return
        if item is None:
            yield ": still here\n\n"
        elif item.position not in known:
            yield in_lines(item)


async def _controller(request: Request) -> tuple[Caller, int]:
    """The reader key that asks, and its channel; a channel that it is not bound to does not exist for it."""
    caller = await caller_of(request, COMMANDS)
    channel_id = int(request.path_params["channel_id"])
    if channel_id >= 10**18 or not await _is_theirs(request, caller, channel_id):
        raise refused(404, "not_found", "There is nothing with this id.")
    return caller, channel_id


async def _is_theirs(request: Request, caller: Caller, channel_id: int) -> bool:
    """Whether a reader key is bound to this channel, whose controller is heard then."""

    def job() -> bool:
        is_bound = ReaderChannel.objects.filter(api_key_id=caller.actor.id, channel_id=channel_id).exists()
        if is_bound:
            contact.seen(channel_id, now=timezone.now())
        return is_bound

    return await hub_of(request).work(caller.tenant_id, job)


async def _waiting(request: Request, caller: Caller, channel_id: int, after: int) -> list[Item]:
    def job() -> list[Item]:
        now = timezone.now()
        contact.seen(channel_id, now=now)
        return [command_item(command) for command in acknowledging.waiting(channel_id, now, after=after)]

    return await hub_of(request).work(caller.tenant_id, job)


def _after(request: Request) -> int:
    text = request.query_params.get("after") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise refused(422, "validation_failed", "Write a whole number.", field="after")
    return int(text)


ROUTES = [
    Route("/api/3/events/stream", stream_events, methods=["GET"]),
    Route("/api/3/channels/{channel_id:int}/commands/stream", stream_commands, methods=["GET"]),
    Route("/api/3/channels/{channel_id:int}/commands/wait", wait_for_commands, methods=["GET"]),
]
