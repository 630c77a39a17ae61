"""What every view of `/api/3` has in common, and `/api/3/account` itself."""

from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.callers import Caller
from accounts.models import Tenant
from accounts.rights import Right
from accounts.tenancy import current_tenant_id


class ResourceView(APIView):
    """`rights` names what each method asks for. The clock is read once a request."""

    rights: ClassVar[dict[str, Right]] = {}
    request: Request

    @property
    def caller(self) -> Caller:
        return self.request.user  # type: ignore[return-value]

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @cached_property
    def tenant(self) -> Tenant:
        return Tenant.objects.get(pk=current_tenant_id())


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API document names the ways to show a key."""

    target_class = "accounts.answers.KeyAuthentication"
    name: ClassVar = ["bearer", "basic", "header"]  # type: ignore[misc]  # several are allowed, its type says one

    def get_security_definition(self, auto_schema: Any) -> Any:
        return [
            {"type": "http", "scheme": "bearer"},
            {"type": "http", "scheme": "basic", "description": "The key as user name; any password."},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]


class AccountOutput(serializers.ModelSerializer[Tenant]):
    id = serializers.CharField(source="slug")

    class Meta:
        model = Tenant
        fields = ["id", "name", "time_zone"]


class AccountView(ResourceView):
    rights: ClassVar = {"GET": Right.ACCOUNT_READ}

    @extend_schema(summary="The account that this key acts for", responses=AccountOutput, tags=["account"])
    def get(self, request: Request) -> Response:
        return Response(AccountOutput(self.tenant).data)


class ErrorOutput(serializers.Serializer[object]):
    """What every error answers."""

    error = serializers.CharField(help_text="A stable machine code.")
    error_description = serializers.CharField(help_text="A sentence for people.")
    errors = serializers.DictField(  # type: ignore[assignment]  # the contract's word
        child=serializers.ListField(child=serializers.CharField()), required=False
    )
    codes = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)
    request_id = serializers.CharField()


def errors(*statuses: int) -> dict[int, type[ErrorOutput]]:
    """The error answers of an operation, for the API document."""
    return dict.fromkeys((401, 403, *statuses), ErrorOutput)
