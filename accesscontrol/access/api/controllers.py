"""What a door's controller asks with its reader key: what it is to do, and that it has done it.

The answer comes at once. A controller that would rather wait follows the stream process, which holds connections.
"""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import acknowledging, contact
from accesscontrol.access.models import ChannelCommand
from accesscontrol.doors.models import Channel, ReaderChannel
from accounts.answers import InstantField, id_of
from accounts.api import ResourceView, errors
from accounts.bodies import Body
from accounts.rights import Right


class CommandOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    channel_id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=ChannelCommand.Kind.choices)
    person_id = serializers.IntegerField(allow_null=True)
    relock_at = InstantField(allow_null=True, help_text="Of unlock: when the door closes by itself.")
    shift_id = serializers.IntegerField(allow_null=True)
    issued_at = InstantField()
    expires_at = InstantField(allow_null=True, help_text="Of admit: not to be carried out later.")


class CommandsOutput(serializers.Serializer[Any]):
    """The state holds whatever commands were missed."""

    now = InstantField()
    state = serializers.ChoiceField(choices=Channel.State.choices)
    relock_at = InstantField(allow_null=True)
    commands = CommandOutput(many=True)


class AcknowledgementInput(Body):
    outcome = serializers.ChoiceField(choices=ChannelCommand.Outcome.choices, default=ChannelCommand.Outcome.DONE)


class ControllerView(ResourceView):
    """A reader key's own channels; whatever it asks, its controller was heard."""

    rights: ClassVar = {"GET": Right.DECIDE, "POST": Right.DECIDE}

    def channel(self, channel_id: int) -> Channel:
        own = ReaderChannel.objects.filter(api_key_id=self.caller.actor.id).values("channel_id")
        channel = get_object_or_404(Channel.objects.select_related("site"), pk=channel_id, pk__in=own)
        contact.seen(channel.pk, now=self.now)
        return channel


class ChannelCommandsView(ControllerView):
    rights: ClassVar = {"GET": Right.DECIDE}

    @extend_schema(
        summary="What the controller of a channel is to do",
        description="In order, without what is done, void or too late. Carry out, then acknowledge.",
        tags=["controllers"],
        parameters=[OpenApiParameter("after", int, description="The last id that was taken.")],
        responses={200: CommandsOutput, **errors(404, 422)},
    )
    def get(self, request: Request, channel_id: int) -> Response:
        after = id_of(request, "after") or 0
        channel = self.channel(channel_id)
        stands = channel.stands(self.now)
        body = {
            "now": self.now,
            "state": stands,
            "relock_at": channel.relock_at if stands == Channel.State.UNLOCKED else None,
            "commands": [],
        }
        waiting = [acknowledging.shown(command) for command in acknowledging.waiting(channel_id, self.now, after=after)]
        return Response({**CommandsOutput(body).data, "commands": waiting})


class AcknowledgeView(ControllerView):
    rights: ClassVar = {"POST": Right.DECIDE}

    @extend_schema(
        summary="A command was carried out, or denied",
        description="The first answer stands. An admission that was carried out is an event.",
        tags=["controllers"],
        request=AcknowledgementInput,
        responses={200: CommandOutput, **errors(404, 422)},
    )
    def post(self, request: Request, channel_id: int, command_id: int) -> Response:
        channel = self.channel(channel_id)
        command = get_object_or_404(ChannelCommand, pk=command_id, channel=channel)
        form = AcknowledgementInput(data=request.data)
        form.is_valid(raise_exception=True)
        outcome = ChannelCommand.Outcome(form.validated_data["outcome"])
        acknowledging.acknowledge(command, outcome, by=self.caller.actor, now=self.now)
        return Response(acknowledging.shown(command))
