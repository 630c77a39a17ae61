"""How a credential is read and written over `/api/3`, and the list of types. The other views stand in visits."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.credentials.models import Credential, CredentialType
from accounts.answers import InstantField
from accounts.api import ResourceView, errors
from accounts.bodies import Body
from accounts.rights import Right


class CredentialTypeOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="value")
    label = serializers.CharField()  # type: ignore[assignment]  # the contract's word
    slug = serializers.CharField()
    code = serializers.IntegerField()


class CredentialOutput(serializers.ModelSerializer[Credential]):
    """`value` is there only where the caller may read it: in one person's list and in one credential."""

    id = serializers.CharField(source="public_id")
    credential_type_id = serializers.IntegerField(source="type")
    label = serializers.CharField(source="get_type_display")  # type: ignore[assignment]  # the contract's word
    value = serializers.CharField(required=False)
    status = serializers.SerializerMethodField(help_text="active, disabled or expired")
    shared = serializers.BooleanField(
        source="person.is_shared",
        read_only=True,
        help_text="True: of a shared person, so that its use is not traceable to one individual.",
    )
    ends_at = InstantField(
        allow_null=True, read_only=True, help_text="Once rotated: until when it works beside its successor."
    )
    replaced_by = serializers.SerializerMethodField(help_text="Once rotated: the id of its successor.")
    created_at = InstantField()
    updated_at = InstantField()
    warnings = serializers.ListField(child=serializers.CharField(), required=False)

    class Meta:
        model = Credential
        fields = [
            "id",
            "credential_type_id",
            "label",
            "value",
            "enabled",
            "status",
            "person_id",
            "shared",
            "rotate_after_days",
            "ends_at",
            "replaced_by",
            "created_at",
            "updated_at",
            "warnings",
        ]

    def get_status(self, credential: Credential) -> str:
        if credential.expired_at is not None:
            return "expired"
        return "active" if credential.enabled else "disabled"

    def get_replaced_by(self, credential: Credential) -> str | None:
        return credential.replaced_by.public_id if credential.replaced_by else None

    def to_representation(self, credential: Credential) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(credential)
        value = self.context.get("values", {}).get(credential.pk)
        if value is not None:
            shown["value"] = value
        if warnings := self.context.get("warnings"):
            shown["warnings"] = warnings
        return shown


class CredentialFields(Body):
    """What may be written of a new credential."""

    credential_type_id = serializers.ChoiceField(choices=CredentialType.choices)
    value = serializers.JSONField(help_text='A PIN of 4 to 8 digits, "******" to draw one, or a card number.')
    enabled = serializers.BooleanField(default=True)
    deliver = serializers.ChoiceField(choices=["email", "sms"], required=False, allow_null=True)


class CredentialChange(Body):
    """What may be written of a credential that exists: its value cannot be changed."""

    enabled = serializers.BooleanField(required=False)
    value = serializers.JSONField(required=False)
    rotate_after_days = serializers.IntegerField(
        min_value=1,
        max_value=3650,
        required=False,
        allow_null=True,
        help_text="Have the PIN replaced after so many days at most; null: only as doors and roles ask.",
    )


class CredentialInput(CredentialFields):
    """Flat, or the same inside `person_credential`."""

    person_credential = CredentialFields(required=False)


class PersonNamed(Body):
    """Whose credential it will be."""

    person_id = serializers.IntegerField()


class FlatCredentialInput(CredentialFields, PersonNamed):
    """Flat, or the same inside `person_credential`."""

    person_credential = CredentialFields(required=False)


def unwrapped(body: Any) -> Any:
    """The fields of a credential, flat or inside `person_credential`."""
    if isinstance(body, dict) and isinstance(body.get("person_credential"), dict):
        return body["person_credential"]
    return body


class CredentialTypesView(ResourceView):
    rights: ClassVar = {"GET": Right.ACCOUNT_READ}

    @extend_schema(
        summary="The types of credentials",
        tags=["credentials"],
        responses={200: CredentialTypeOutput(many=True), **errors()},
    )
    def get(self, request: Request) -> Response:
        return Response(CredentialTypeOutput(list(CredentialType), many=True).data)
