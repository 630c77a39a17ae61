"""`/api/3/channels/{id}/access_attempts`: a reader asks whether a value opens its channel now."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import attempts, repeats
from accesscontrol.credentials.models import CredentialType
from accounts.api import ResourceView, errors
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.rights import Right

_TYPES = {"pin": CredentialType.PIN, "card": CredentialType.CARD}


class AttemptInput(Body):
    value = serializers.CharField(
        allow_blank=True,
        trim_whitespace=False,
        max_length=1000,
        help_text="What was typed or read, as it is.",
    )
    credential_type = serializers.CharField(default="PIN", help_text="PIN or card")
    attempt_id = serializers.CharField(
        required=False, allow_null=True, max_length=100, help_text="The same id gets the same answer."
    )

    def validate_credential_type(self, value: str) -> CredentialType:
        if value.lower() not in _TYPES:
            raise serializers.ValidationError("Write “PIN” or “card”.", code="invalid_choice")
        return _TYPES[value.lower()]


class AdmittedPersonOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class AttemptOutput(serializers.Serializer[Any]):
    """Why somebody was rejected is in the event, never in the answer."""

    decision = serializers.ChoiceField(choices=["admitted", "rejected"])
    event_id = serializers.IntegerField()
    release_seconds = serializers.IntegerField(required=False)
    person = AdmittedPersonOutput(required=False)
    retry_after = serializers.IntegerField(
        required=False, allow_null=True, help_text="Seconds that the channel checks no PIN; rejected only."
    )


class AccessAttemptsView(ResourceView):
    rights: ClassVar = {"POST": Right.DECIDE}
    # A PIN that was revoked meanwhile must not open by what was answered before.
    same_answer_for = repeats.SAME_ANSWER_FOR

    @extend_schema(
        summary="May this PIN or card open this channel now?",
        tags=["access"],
        request=AttemptInput,
        responses={200: AttemptOutput, **errors(404, 422)},
    )
    @idempotent
    def post(self, request: Request, channel_id: int) -> Response:
        form = AttemptInput(data=request.data)
        # A keypad may send anything, a NUL too; it is compared by digest and stored nowhere.
        form.fields["value"].validators = []
        form.is_valid(raise_exception=True)
        wanted = form.validated_data
        answer = attempts.attempt(
            channel_id,
            wanted["value"],
            type=wanted["credential_type"],
            attempt_id=wanted.get("attempt_id"),
            reader_key_id=self.caller.actor.id,
            now=self.now,
        )
        return Response(_body(answer), headers={"Cache-Control": "no-store"})


def _body(answer: attempts.Answer) -> dict[str, Any]:
    if not answer.admitted:
        return {"decision": "rejected", "event_id": answer.event_id, "retry_after": answer.retry_after}
    return {
        "decision": "admitted",
        "event_id": answer.event_id,
        "release_seconds": answer.release_seconds,
        "person": {"id": answer.person_id, "name": answer.person_name},
    }
