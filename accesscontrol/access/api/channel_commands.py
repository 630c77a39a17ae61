"""What an integration commands of a door: open it once, hold it open, lock it down. The controller fetches it."""

import uuid
from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import acknowledging, commands, contact
from accesscontrol.access.api.channels import ChannelOutput, shown, visible
from accesscontrol.access.models import ChannelCommand
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.people.models import Person
from accounts.answers import InstantField
from accounts.api import ErrorOutput, ResourceView, errors
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.rights import Right

_STATUS = ["pending", "admitted", "denied", "offline", "timeout"]


class ReasonInput(Body):
    reason = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=250, help_text="Kept for good: name nobody."
    )


class AdmitPersonInput(ReasonInput):
    person_id = serializers.IntegerField(min_value=1, max_value=10**18)


class UnlockInput(ReasonInput):
    relock_at = InstantField(required=False, allow_null=True, help_text="Default: until it is set back.")


class LockdownInput(ReasonInput):
    card_lockdown = serializers.BooleanField(required=False, default=True)
    rex_lockdown = serializers.BooleanField(required=False, default=False)
    aux_lockdown = serializers.BooleanField(required=False, default=False)

    def validate_card_lockdown(self, value: bool) -> bool:
        if not value:
            raise serializers.ValidationError("A lock-down is for every PIN and card.", code="not_supported")
        return value

    def validate_rex_lockdown(self, value: bool) -> bool:
        if value:
            raise serializers.ValidationError("Exits stay usable in a lock-down.", code="not_supported")
        return value

    validate_aux_lockdown = validate_rex_lockdown


class AutoUnlockInput(ReasonInput):
    shift_id = serializers.IntegerField(allow_null=True, min_value=1, max_value=10**18, help_text="Null: no more.")


class AdmissionOutput(serializers.Serializer[Any]):
    admission_request_id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=_STATUS)


class NameOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class AdmissionRequestOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=_STATUS, help_text="timeout: no answer within two minutes.")
    channel_id = serializers.IntegerField()
    door_controller = NameOutput()
    requested_at = InstantField()
    completed_at = InstantField(allow_null=True)
    person_id = serializers.IntegerField(allow_null=True)
    person = NameOutput(allow_null=True)


class NotLetInOutput(serializers.Serializer[Any]):
    error = serializers.CharField()
    error_description = serializers.CharField()
    reason = serializers.CharField(
        required=False, help_text="Why a person is not let in, in the words of events; no_credential without any."
    )
    request_id = serializers.CharField()


def or_error(known: type[serializers.Serializer[Any]]) -> PolymorphicProxySerializer:
    """An answer of the contract's own under a status that also names what cannot be read."""
    return PolymorphicProxySerializer(
        component_name=known.__name__.replace("Output", "OrErrorOutput"),
        serializers=[known, ErrorOutput],
        resource_type_field_name=None,
    )


class CommandView(ResourceView):
    """What commands share: the channel at the caller's sites, and the body."""

    rights: ClassVar = {"POST": Right.CHANNELS_ADMIT}

    def channel(self, channel_id: int) -> Channel:
        return get_object_or_404(visible(self.caller), pk=channel_id)

    def wanted(self, request: Request, form: type[Body]) -> dict[str, Any]:
        found = form(data=request.data, context={"tenant": self.tenant})
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)

    def by_whom(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {"reason": wanted["reason"], "by": self.caller.actor, "now": self.now}

    def admission(self, command: ChannelCommand) -> Response:
        standing = contact.standing([command.channel_id], self.now)[command.channel_id]
        status = acknowledging.status(command, self.now, is_silent=not standing.is_heard)
        return Response({"admission_request_id": command.pk, "status": status}, status=202)

    def as_it_stands(self, channel: Channel) -> Response:
        return Response(shown(visible(self.caller).get(pk=channel.pk), self.now))


class AdmitView(CommandView):
    @extend_schema(
        summary="Open a door once",
        description="Void when the controller does not take it within 30 seconds. 400 where the door is held open.",
        tags=["commands"],
        request=ReasonInput,
        responses={202: AdmissionOutput, 400: or_error(ChannelOutput), **errors(404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        wanted = self.wanted(request, ReasonInput)
        try:
            return self.admission(commands.admit(channel, **self.by_whom(wanted)))
        except commands.DoorIsOpen:
            # The contract's answer: the channel, which says that it is unlocked.
            return Response(shown(channel, self.now), status=400)


class AdmitPersonView(CommandView):
    rights: ClassVar = {"POST": Right.CHANNELS_ADMIT_PERSON}

    @extend_schema(
        summary="Open a door once for a person who may open it now",
        description="Decided as at the keypad. 403 with the reason where the person may not.",
        tags=["commands"],
        request=AdmitPersonInput,
        responses={202: AdmissionOutput, **errors(404, 409, 422), 400: or_error(ChannelOutput), 403: NotLetInOutput},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        wanted = self.wanted(request, AdmitPersonInput)
        person = get_object_or_404(Person, pk=wanted["person_id"], deleted_at=None)
        try:
            return self.admission(commands.admit_person(channel, person, **self.by_whom(wanted)))
        except commands.DoorIsOpen:
            return Response(shown(channel, self.now), status=400)
        except commands.NotLetIn as refusal:
            body = {"error": "forbidden", "error_description": refusal.sentence, "reason": refusal.facts["reason"]}
            return Response({**body, "request_id": str(uuid.uuid4())}, status=403)


class UnlockView(CommandView):
    @extend_schema(
        summary="Hold a door open",
        tags=["commands"],
        request=UnlockInput,
        responses={200: ChannelOutput, **errors(404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        wanted = self.wanted(request, UnlockInput)
        commands.hold_open([channel], until=wanted.get("relock_at"), **self.by_whom(wanted))
        return self.as_it_stands(channel)


class NormalView(CommandView):
    @extend_schema(
        summary="Hold a door open no longer",
        tags=["commands"],
        request=ReasonInput,
        responses={200: ChannelOutput, **errors(404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        commands.normal([channel], **self.by_whom(self.wanted(request, ReasonInput)))
        return self.as_it_stands(channel)


class LockdownView(CommandView):
    @extend_schema(
        summary="Lock a door down",
        description="No PIN and no card opens until the lock-down ends. Exit buttons go on working.",
        tags=["commands"],
        request=LockdownInput,
        responses={200: ChannelOutput, **errors(404, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        commands.lock_down([channel], **self.by_whom(self.wanted(request, LockdownInput)))
        return self.as_it_stands(channel)


class UnlockdownView(CommandView):
    @extend_schema(
        summary="End a lock-down",
        tags=["commands"],
        request=ReasonInput,
        responses={200: ChannelOutput, **errors(404, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        commands.end_lock_down([channel], **self.by_whom(self.wanted(request, ReasonInput)))
        return self.as_it_stands(channel)


class UnknownShiftOutput(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()


class AutoUnlockView(CommandView):
    @extend_schema(
        summary="Hold a door open during weekly hours",
        tags=["commands"],
        request=AutoUnlockInput,
        responses={200: ChannelOutput, 400: or_error(UnknownShiftOutput), **errors(404, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        wanted = self.wanted(request, AutoUnlockInput)
        shift = Shift.objects.filter(pk=wanted["shift_id"]).first() if wanted["shift_id"] else None
        if wanted["shift_id"] and shift is None:
            # The contract's own form of this error.
            return Response({"success": False, "message": "There are no weekly hours with this id."}, status=400)
        commands.auto_unlock(channel, shift, **self.by_whom(wanted))
        return self.as_it_stands(channel)


class AdmissionRequestView(ResourceView):
    rights: ClassVar = {"GET": Right.CHANNELS_ADMIT_PERSON}

    @extend_schema(
        summary="What became of an admission",
        tags=["commands"],
        responses={200: AdmissionRequestOutput, **errors(404)},
    )
    def get(self, request: Request, admission_request_id: int) -> Response:
        rows = ChannelCommand.objects.filter(kind__in=acknowledging.ADMITS, channel__in=visible(self.caller).order_by())
        command = get_object_or_404(rows.select_related("channel", "person"), pk=admission_request_id)
        standing = contact.standing([command.channel_id], self.now)[command.channel_id]
        person = command.person
        body = {
            "id": command.pk,
            "status": acknowledging.status(command, self.now, is_silent=not standing.is_heard),
            "channel_id": command.channel_id,
            "door_controller": {"id": command.channel_id, "name": command.channel.name},
            "requested_at": command.issued_at,
            "completed_at": command.acknowledged_at,
            "person_id": command.person_id,
            "person": {"id": person.pk, "name": person.name} if person else None,
        }
        return Response(AdmissionRequestOutput(body).data)
