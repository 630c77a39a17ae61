"""`/api/3/events`: what happened, newest first. What was typed is not there: it is stored nowhere."""

import re
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import following
from accesscontrol.access.following import Position
from accesscontrol.access.models import Event, Reason
from accounts.answers import InstantField, cursor_of, id_of, instant_in_utc, instant_of, is_true, parts_of, whole_number
from accounts.api import SINCE_UTC, ResourceView, errors
from accounts.rights import Right

CODES = {
    10: "Admitted: card",
    11: "Admitted: PIN",
    16: "Admitted: door was held open",
    20: "Rejected: unauthorised card",
    21: "Rejected: out of hours",
    22: "Rejected: lockdown",
    24: "Rejected: unauthorised PIN",
    50: "Admitted: opened by command",
}
DEFAULT_AGE = timedelta(days=90)
_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


class EventOutput(serializers.Serializer[Any]):
    """An event under the guide's and the reference's field names."""

    id = serializers.IntegerField()
    event_id = serializers.IntegerField(source="id")
    event_type = serializers.SerializerMethodField()
    event_code = serializers.IntegerField(source="code")
    event_label = serializers.SerializerMethodField()
    reason = serializers.ChoiceField(choices=Reason.choices)
    channel_id = serializers.IntegerField()
    channel_name = serializers.CharField(source="channel.name")
    door_controller_id = serializers.IntegerField(source="channel_id")
    door_controller_name = serializers.CharField(source="channel.name")
    person_id = serializers.IntegerField(allow_null=True)
    person_name = serializers.SerializerMethodField()
    shared = serializers.SerializerMethodField(
        help_text="True: of a shared person, not traceable to one individual. Null: of nobody who is known."
    )
    credential_id = serializers.SerializerMethodField()
    credential_type = serializers.CharField(
        source="get_credential_type_display",
        allow_null=True,
        help_text="PIN or Card. Null: the door was opened by command.",
    )
    credentials_number = serializers.SerializerMethodField()
    timestamp = serializers.SerializerMethodField()
    recorded_at = InstantField(help_text="Later than `timestamp` where a controller told of it after an outage.")
    created_at = serializers.SerializerMethodField()
    updated_at = serializers.SerializerMethodField()

    def get_event_type(self, event: Event) -> str:
        return "access_granted" if event.admitted else "access_denied"

    def get_event_label(self, event: Event) -> str:
        return CODES.get(event.code, "Event")

    def get_person_name(self, event: Event) -> str | None:
        return event.person.name if event.person else None

    def get_shared(self, event: Event) -> bool | None:
        return event.person.is_shared if event.person else None

    def get_credential_id(self, event: Event) -> str | None:
        return event.credential.public_id if event.credential else None

    def get_credentials_number(self, event: Event) -> str | None:
        return None

    def get_timestamp(self, event: Event) -> str:
        return instant_in_utc(event.occurred_at)

    get_created_at = get_updated_at = get_timestamp


class EventView(ResourceView):
    """What the list and the single event share."""

    rights: ClassVar = {"GET": Right.EVENTS_READ}

    def visible(self) -> QuerySet[Event]:
        """Events at the caller's sites, with the names that an answer shows."""
        rows = Event.objects.select_related("channel", "person", "credential")
        return rows if self.caller.site_ids is None else rows.filter(channel__site_id__in=self.caller.site_ids)


_LIST = {"type": "array", "items": {"$ref": "#/components/schemas/EventOutput"}}
# The reference's bare list, or the guide's object.
EITHER_WAY = {"oneOf": [_LIST, {"type": "object", "properties": {"events": _LIST}, "required": ["events"]}]}


class EventsView(EventView):
    @extend_schema(
        operation_id="events_list",
        summary="What happened at the doors",
        tags=["events"],
        parameters=[
            OpenApiParameter("person_id", int),
            OpenApiParameter("channel_id", int),
            OpenApiParameter("event_codes", str, description="Codes, separated by commas."),
            OpenApiParameter("since", str, description="Default: 90 days back."),
            SINCE_UTC,
            OpenApiParameter("until", str),
            OpenApiParameter("channels", str, description="Ids of channels, separated by commas."),
            OpenApiParameter("n", int, description="How many; default 50, at most 1000."),
            OpenApiParameter("sort", str, enum=["ASC", "DESC"]),
            OpenApiParameter("cursor", str, description='From the header Link, rel="next".'),
            OpenApiParameter(
                "after",
                str,
                description="For whoever follows by asking: events in the order in which they were recorded, past the "
                "place that the header Last-Event-ID named before; empty for those that come from now on. None is left "
                "out or comes twice, whatever its `timestamp`. The stream takes the same places.",
            ),
            OpenApiParameter("envelope", bool, description="Answer {“events”: […]}; so with person_id."),
        ],
        responses={200: EITHER_WAY, **errors(400, 422)},
    )
    def get(self, request: Request) -> Response:
        person_id = id_of(request, "person_id")
        size = whole_number(request, "n", 50, most=1000)
        enveloped = person_id is not None or is_true(request, "envelope")
        ascending = self.is_ascending(request)
        rows = self.filtered(request, person_id)
        if (place := request.query_params.get("after")) is not None:
            found, headers = _recorded_after(rows, _position_of(place), size)
            shown = EventOutput(found, many=True).data
            return Response({"events": shown} if enveloped else shown, headers=headers)
        if cursor := request.query_params.get("cursor"):
            rows = rows.filter(_beyond(cursor, ascending))
        order = ("occurred_at", "id") if ascending else ("-occurred_at", "-id")
        found = list(rows.order_by(*order)[: size + 1])
        headers = {}
        if len(found) > size:
            found = found[:size]
            query = request.GET.copy()
            query["cursor"] = cursor_of(found[-1].occurred_at.isoformat(), found[-1].pk)
            headers["Link"] = f'<{request.build_absolute_uri(request.path)}?{query.urlencode()}>; rel="next"'
        shown = EventOutput(found, many=True).data
        body: Any = {"events": shown} if enveloped else shown
        return Response(body, headers=headers)

    def is_ascending(self, request: Request) -> bool:
        way = request.query_params.get("sort", "").upper()
        if way not in ("", "ASC", "DESC"):
            raise exceptions.ValidationError({"sort": [exceptions.ErrorDetail("Write ASC or DESC.", "invalid")]})
        return way == "ASC"

    def filtered(self, request: Request, person_id: int | None) -> QuerySet[Event]:
        rows = self.visible()
        since = instant_of(request, "since_utc", self.tenant) or instant_of(request, "since", self.tenant)
        if since is not None or "after" not in request.query_params:
            rows = rows.filter(occurred_at__gte=since or self.now - DEFAULT_AGE)
        if until := instant_of(request, "until", self.tenant):
            rows = rows.filter(occurred_at__lt=until)
        if person_id is not None:
            rows = rows.filter(person_id=person_id)
        if (channel_id := id_of(request, "channel_id")) is not None:
            rows = rows.filter(channel_id=channel_id)
        for name in ("channels", "door_controllers"):
            if ids := _numbers(request, name):
                rows = rows.filter(channel_id__in=ids)
        if codes := _numbers(request, "event_codes"):
            if unknown := [str(code) for code in codes if code not in CODES]:
                raise exceptions.ParseError(f"These event codes are not known: {', '.join(unknown)}.")
            rows = rows.filter(code__in=codes)
        return rows


class EventDetailView(EventView):
    @extend_schema(summary="One event", tags=["events"], responses={200: EventOutput, **errors(404)})
    def get(self, request: Request, event_id: int) -> Response:
        return Response(EventOutput(get_object_or_404(self.visible(), pk=event_id)).data)


def _position_of(place: str) -> Position | None:
    if not place:
        return None
    found = _PLACE.fullmatch(place)
    if found is None:
        raise exceptions.ValidationError({"after": [exceptions.ErrorDetail("This place is not known.", "invalid")]})
    return int(found[1]), int(found[2])


def _recorded_after(rows: QuerySet[Event], position: Position | None, size: int) -> tuple[list[Event], dict[str, str]]:
    """Events past a position in the order of recording, and the position to ask from next."""
    end = following.begin_now()
    found = [] if position is None else list(rows.filter(following.after(position)).order_by("xact_id", "id")[:size])
    reached = position or end
    if found:
        reached = (found[-1].xact_id, found[-1].pk)
    if len(found) < size:
        # Everything that was visible before the rows were read is behind.
        reached = max(reached, end)
    return found, {"Last-Event-ID": f"{reached[0]}-{reached[1]}"}


def _beyond(cursor: str, ascending: bool) -> Q:
    occurred_at, number = parts_of(cursor, 2)
    way = "gt" if ascending else "lt"
    try:
        moment = serializers.DateTimeField().to_internal_value(occurred_at)
        last = int(number)
    except (ValueError, exceptions.ValidationError):
        raise exceptions.ValidationError({"cursor": ["This cursor is not known."]}, "invalid") from None
    return Q(**{f"occurred_at__{way}": moment}) | Q(occurred_at=moment, **{f"id__{way}": last})


def _numbers(request: Request, name: str) -> list[int]:
    texts = [text for text in request.query_params.get(name, "").split(",") if text.strip()]
    if not all(text.strip().isascii() and text.strip().isdecimal() and len(text.strip()) <= 18 for text in texts):
        raise exceptions.ParseError(f"“{name}” takes whole numbers, separated by commas.")
    return [int(text) for text in texts]
