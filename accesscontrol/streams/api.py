"""The streams as the API document has them. The stream process answers (routes.py); who asks here is told so."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access.api.controllers import CommandOutput
from accounts.api import ResourceView, errors
from accounts.rights import Right

SERVED_BY = {
    "url": "{stream_url}",
    "description": "The stream process, which holds connections open: behind a proxy the address of the API itself, "
    "otherwise a port of its own (`stream_url` in quickstart.json).",
    "variables": {"stream_url": {"default": "http://127.0.0.1:8001", "description": "Its scheme, host and port."}},
}
LAST_EVENT_ID = [
    OpenApiParameter(
        "Last-Event-ID",
        str,
        OpenApiParameter.HEADER,
        description="The `id` of the last event that came: what was missed since then comes first.",
    ),
    OpenApiParameter("last_event_id", str, description="The same, for clients that can send no header."),
]
HOW = (
    "Server-sent events (`text/event-stream`) without end; a comment comes every 15 seconds. `event: end` with a "
    "`reason` (`key_ended`, `too_slow`) closes the stream. A key holds 50 of them at most."
)


def ids(name: str, text: str) -> OpenApiParameter:
    """A filter by ids, separated by commas; empty is all."""
    numbers: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}}
    return OpenApiParameter(name, numbers | {"maxItems": 500}, style="form", explode=False, description=text)


def frames(event: str, data: str, text: str) -> dict[Any, Any]:
    """The answer of a stream: what a line `event:` may hold, and by its schema what each `data:` holds as JSON."""
    schema = {"type": "string", "x-event": event, "x-data": {"$ref": f"#/components/schemas/{data}"}}
    return {(200, "text/event-stream"): OpenApiResponse(schema, text)}


class StreamedView(ResourceView):
    """An address of the stream process; this process has no connection to spare for those who wait."""

    served_by: ClassVar = [SERVED_BY]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # Whoever accepts nothing but a stream is to read why there is none.
        return super().perform_content_negotiation(request, force=True)

    def elsewhere(self) -> Response:
        raise exceptions.NotFound("The stream process answers this: ask at its address.")


class EventStreamView(StreamedView):
    rights: ClassVar = {"GET": Right.EVENTS_READ}

    @extend_schema(
        operation_id="events_stream",
        summary="Follow what happens at the doors",
        description=f"{HOW} `data` is an event as `/api/3/events` has it, within a second of its recording.",
        tags=["events"],
        parameters=[
            ids("channel_id", "Of these channels alone."),
            ids("channels", "The same; goes before it."),
            ids("site_id", "At these sites alone."),
            ids("person_id", "Of these people alone."),
            *LAST_EVENT_ID,
        ],
        responses={
            **frames("access_denied", "EventOutput", "Events as they are recorded."),
            **errors(422, 429, 503),
        },
    )
    def get(self, request: Request) -> Response:
        return self.elsewhere()


class CommandStreamView(StreamedView):
    rights: ClassVar = {"GET": Right.DECIDE}

    @extend_schema(
        operation_id="channels_commands_stream",
        summary="Follow what a channel is to do",
        description=f"{HOW} First comes whatever is not carried out yet, also what was told before. "
        "`data` is a command as `/api/3/channels/{channel_id}/commands` has it. Carry out, then acknowledge.",
        tags=["controllers"],
        parameters=LAST_EVENT_ID,
        responses={
            **frames("admit", "CommandOutput", "Commands as they are given."),
            **errors(404, 422, 429, 503),
        },
    )
    def get(self, request: Request, channel_id: int) -> Response:
        return self.elsewhere()


class CommandWaitView(StreamedView):
    rights: ClassVar = {"GET": Right.DECIDE}

    @extend_schema(
        operation_id="channels_commands_wait",
        summary="Wait for what a channel is to do",
        description="By long poll: answers as soon as there is something past `after`, or with an empty list after "
        "25 seconds. Carry out, acknowledge, ask again.",
        tags=["controllers"],
        parameters=[OpenApiParameter("after", int, description="The last id that was taken.")],
        responses={200: CommandOutput(many=True), **errors(404, 422, 429, 503)},
    )
    def get(self, request: Request, channel_id: int) -> Response:
        return self.elsewhere()
