"""What every view of `/api/3` has in common, and `/api/3/account` itself."""

import hashlib
import re
from datetime import datetime
from functools import cached_property, partial
from typing import Any, ClassVar

from django.http import Http404, HttpResponse, HttpResponseNotModified
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import rates
from accounts.callers import Caller
from accounts.models import OAuthConsent, Tenant
from accounts.refusals import Refusal
from accounts.rights import Right
from accounts.tenancy import current_tenant_id


class TooManyRequests(Refusal):
    code = "rate_limited"
    status = 429
    text = "This key has used up its requests of this minute."


class ResourceView(APIView):
    """`rights` names what each method asks for. The clock is read once a request.

    Every key and token has its requests a minute; a reader has none, its doors slow down wrong PINs themselves.
    """

    rights: ClassVar[dict[str, Right]] = {}
    request: Request
    rate: rates.Rate | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        caller = request.user
        if isinstance(caller, Caller) and caller.requests_per_minute and not caller.may(Right.DECIDE):
            self.rate = rates.take(f"key:{caller.actor}", most=caller.requests_per_minute, now=self.now)
            if not self.rate.is_allowed:
                raise TooManyRequests(retry_after=self.rate.retry_after)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.rate is not None:
            for name, value in self.rate.headers.items():
                answer[name] = value
        if request.method in ("GET", "HEAD") and answer.status_code == 200 and "Cache-Control" not in answer.headers:
            answer.add_post_render_callback(partial(unless_known, request.headers.get("If-None-Match", "")))
        return answer

    @property
    def caller(self) -> Caller:
        return self.request.user  # type: ignore[return-value]

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @cached_property
    def tenant(self) -> Tenant:
        return Tenant.objects.get(pk=current_tenant_id())


def unless_known(known: str, answer: HttpResponse) -> HttpResponse:
    """Give an answer its ETag, or 304 in its place to whoever shows that they have it."""
    tag = f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    answer["ETag"] = tag
    # Of one caller, who may keep it and asks each time whether it still holds.
    answer["Cache-Control"] = "private, no-cache"
    patch_vary_headers(answer, ["Authorization", "X-API-Key"])
    shown = {part.strip().removeprefix("W/") for part in known.split(",")}
    if tag not in shown and "*" not in shown:
        return answer
    kept = {name: value for name, value in answer.headers.items() if name not in ("Content-Type", "Content-Length")}
    return HttpResponseNotModified(headers=kept)


class AccountSyncOutput(serializers.Serializer[object]):
    """Nothing waits to be sent; which doors are behind is answered by POST /sync."""

    SENT: ClassVar = {"status": "complete", "last_sync": None, "description": "What is written holds at once."}

    status = serializers.CharField()
    last_sync = serializers.CharField(allow_null=True)
    description = serializers.CharField()


class AccountUserOutput(serializers.Serializer[object]):
    id = serializers.IntegerField()
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    email = serializers.CharField()


class PassportOutput(serializers.Serializer[object]):
    """Mobile credentials are none of this product's."""

    NONE: ClassVar = {"remote_unlock_enabled": False, "hid_mobile_access": False}

    remote_unlock_enabled = serializers.BooleanField()
    hid_mobile_access = serializers.BooleanField()


class AccountOutput(serializers.ModelSerializer[Tenant]):
    """The tenant; what the reference knows beside that is not part of this product, and says so."""

    id = serializers.CharField(source="slug")
    monitored = serializers.BooleanField(read_only=True, default=False, help_text="Always false.")
    reseller = serializers.CharField(read_only=True, default=None, allow_null=True, help_text="Always null.")
    sync = AccountSyncOutput(read_only=True, default=AccountSyncOutput.SENT)
    user = AccountUserOutput(read_only=True, default=None, allow_null=True, help_text="Whom a token acts for.")
    passport = PassportOutput(read_only=True, default=PassportOutput.NONE)

    class Meta:
        model = Tenant
        fields = ["id", "name", "time_zone", "monitored", "reseller", "sync", "user", "passport"]

    def to_representation(self, tenant: Tenant) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(tenant)
        return shown | {"user": self.context.get("user")}


class AccountView(ResourceView):
    rights: ClassVar = {"GET": Right.ACCOUNT_READ}

    @extend_schema(summary="The account that this key acts for", responses=AccountOutput, tags=["account"])
    def get(self, request: Request) -> Response:
        return Response(AccountOutput(self.tenant, context={"user": self._member()}).data)

    def _member(self) -> dict[str, Any] | None:
        """The member of staff whom a token acts for; a key acts for the tenant itself."""
        if self.caller.actor.kind != "token":
            return None
        given = OAuthConsent.objects.select_related("membership__user").get(pk=self.caller.actor.id or 0)
        user = given.membership.user
        first_name, _, last_name = user.name.partition(" ")
        return {"id": given.membership_id, "first_name": first_name, "last_name": last_name, "email": user.email}


class NothingView(ResourceView):
    """Every other address: 404 in JSON, and 406 where it asks for another format; `.json` is taken everywhere."""

    rights: ClassVar = dict.fromkeys(("GET", "POST", "PUT", "DELETE"), Right.ACCOUNT_READ)

    def _nothing(self, request: Request, address: str) -> Response:
        if re.search(r"\.[a-z]{2,5}$", address):
            raise exceptions.NotAcceptable("Answers are JSON only.")
        raise Http404

    get = post = put = delete = extend_schema(exclude=True)(_nothing)


def paging(default: int, most: int) -> list[OpenApiParameter]:
    """The parameters of a paged list, for the API document."""
    return [
        OpenApiParameter("page", int, description="From 1."),
        OpenApiParameter("per_page", int, description=f"Default {default}, at most {most}."),
        OpenApiParameter(
            "cursor",
            str,
            description='In place of `page`: empty for the first page, then from the header Link, rel="next". '
            "Nothing is counted, and no row comes twice or is left out.",
        ),
        OpenApiParameter("skip_pagination", bool, description="As many as one page can hold."),
    ]


NAME = OpenApiParameter("name", str, description="The whole name, in any case.")
SINCE_UTC = OpenApiParameter("since_utc", str, description="Like `since`; goes before it.")


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
