"""`/api/3/webhooks`: subscriptions, their log, and what is done with them. A secret is answered once."""

from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Dispatch, Kind, Subscription, Try
from accounts.answers import InstantField, named, one_page, whole_number
from accounts.api import NAME, ResourceView, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.rights import Right

# Whoever is told of something must be allowed to read it.
_READS = {
    Kind.PERSON: Right.PEOPLE_READ,
    Kind.CREDENTIAL: Right.PEOPLE_READ,
    Kind.RESERVATION: Right.VISITS_READ,
    Kind.ACCESS: Right.EVENTS_READ,
    Kind.ALARM: Right.EVENTS_READ,
    Kind.DELIVERY: Right.VISITS_READ,
}
_NO_STORE = {"Cache-Control": "no-store"}


class WebhookOutput(serializers.ModelSerializer[Subscription]):
    """A subscription; `secret` only where it was just made."""

    types = serializers.ListField(child=serializers.ChoiceField(choices=Kind.choices), source="kinds")
    failing_since = InstantField(allow_null=True)
    earlier_secret_until = InstantField(source="earlier_until", allow_null=True)
    created_at = InstantField()
    updated_at = InstantField()
    secret = serializers.CharField(required=False, help_text="Answered once: when it is made or rotated.")

    class Meta:
        model = Subscription
        fields = [
            "id",
            "name",
            "url",
            "form",
            "types",
            "event_codes",
            "channel_ids",
            "state",
            "failing_since",
            "earlier_secret_until",
            "secret",
            "created_at",
            "updated_at",
        ]

    def to_representation(self, subscription: Subscription) -> Any:
        shown = super().to_representation(subscription)
        secret = self.context.get("secret")
        return {**shown, "secret": secret} if secret else shown


class WebhookInput(Body):
    name = serializers.CharField(max_length=120)
    url = serializers.CharField(max_length=500, help_text="https; addresses in private networks are refused.")
    types = serializers.ListField(child=serializers.ChoiceField(choices=Kind.choices), allow_empty=False, max_length=10)
    form = serializers.ChoiceField(
        choices=Subscription.Form.choices, default=Subscription.Form.STANDARD, help_text="Cannot be changed later."
    )


class ReplayInput(Body):
    starts_at = InstantField()
    ends_at = InstantField()


class TryOutput(serializers.ModelSerializer[Try]):
    tried_at = InstantField()

    class Meta:
        model = Try
        fields = ["number", "status", "error", "answer", "milliseconds", "tried_at"]


class DispatchOutput(serializers.ModelSerializer[Dispatch]):
    """One message with its tries."""

    id = serializers.CharField(source="message_id", help_text="The header webhook-id.")
    occurred_at = InstantField()
    settled_at = InstantField(allow_null=True)
    next_attempt_at = InstantField(allow_null=True)
    tries = TryOutput(many=True)

    class Meta:
        model = Dispatch
        fields = [
            "id",
            "type",
            "subject",
            "state",
            "is_replay",
            "occurred_at",
            "next_attempt_at",
            "settled_at",
            "tries",
        ]


class WebhookViewBase(ResourceView):
    """What all of these share: webhooks are of the whole tenant, not of some of its sites."""

    # A repeated request is answered without it: it was shown once.
    secrets = ("secret",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.caller.site_ids is not None:
            raise PermissionDenied("This key is limited to some sites; webhooks tell of all of them.")

    def live(self) -> QuerySet[Subscription]:
        return Subscription.objects.exclude(state=Subscription.State.ENDED).order_by("id")

    def one(self, webhook_id: int) -> Subscription:
        return get_object_or_404(self.live(), pk=webhook_id)

    def shown(self, subscription: Subscription, status: int = 200, secret: str | None = None) -> Response:
        shown = WebhookOutput(subscription, context={"secret": secret})
        return Response(shown.data, status=status, headers=_NO_STORE if secret else {})

    def refuse_beyond_rights(self, kinds: list[str]) -> None:
        for kind in kinds:
            if not self.caller.may(_READS[Kind(kind)]):
                raise PermissionDenied(f"This key may not read what “{kind}” would tell.")


class WebhooksView(WebhookViewBase):
    rights: ClassVar = {"GET": Right.WEBHOOKS_READ, "POST": Right.SETTINGS_WRITE}

    @extend_schema(
        summary="Webhooks that are not ended",
        description="Notification rules are webhooks of some event codes, and stand here too.",
        tags=["webhooks"],
        parameters=[NAME, *paging(50, 100)],
        responses={200: WebhookOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        found, headers = one_page(request, named(request, self.live()), per_page=50, most=100)
        return Response(WebhookOutput(found, many=True).data, headers=headers)

    @extend_schema(
        summary="Have an address told of what happens from now on",
        tags=["webhooks"],
        request=WebhookInput,
        responses={201: WebhookOutput, **errors(422)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        form = WebhookInput(data=request.data)
        form.is_valid(raise_exception=True)
        values = form.validated_data
        self.refuse_beyond_rights(values["types"])
        made = subscribing.subscribe(
            values["name"],
            values["url"],
            kinds=values["types"],
            form=values["form"],
            by=self.caller.actor,
            now=self.now,
        )
        return self.shown(made.subscription, 201, made.secret)


class WebhookView(WebhookViewBase):
    rights: ClassVar = dict.fromkeys(("PUT", "DELETE"), Right.SETTINGS_WRITE) | {"GET": Right.WEBHOOKS_READ}

    @extend_schema(summary="One webhook", tags=["webhooks"], responses={200: WebhookOutput, **errors(404)})
    def get(self, request: Request, webhook_id: int) -> Response:
        return self.shown(self.one(webhook_id))

    @extend_schema(
        summary="Change name, address or types; what is left out stays",
        tags=["webhooks"],
        request=WebhookInput(partial=True),
        responses={200: WebhookOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, webhook_id: int) -> Response:
        subscription = self.one(webhook_id)
        form = WebhookInput(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        values = {name: value for name, value in form.validated_data.items() if name != "form"}
        if "types" in values:
            values["kinds"] = values.pop("types")
        # Of what it tells already, too: a new address would be told.
        self.refuse_beyond_rights([*subscription.kinds, *values.get("kinds", [])])
        return self.shown(subscribing.change(subscription, values, by=self.caller.actor, now=self.now))

    @extend_schema(
        summary="End a webhook: nothing more is sent",
        tags=["webhooks"],
        responses={200: WebhookOutput, **errors(404)},
    )
    @idempotent
    def delete(self, request: Request, webhook_id: int) -> Response:
        subscription = self.one(webhook_id)
        subscribing.end(subscription, by=self.caller.actor, now=self.now)
        return self.shown(Subscription.objects.get(pk=subscription.pk))


class WebhookStepView(WebhookViewBase):
    """`rotate_secret`, `pause`, `resume` and `test`."""

    rights: ClassVar = {"POST": Right.SETTINGS_WRITE}
    step: ClassVar[str] = ""

    @extend_schema(tags=["webhooks"], request=None, responses={200: WebhookOutput, **errors(404, 409)})
    @idempotent
    def post(self, request: Request, webhook_id: int) -> Response:
        subscription = self.one(webhook_id)
        done = getattr(subscribing, self.step)(subscription, by=self.caller.actor, now=self.now)
        secret = done.secret if isinstance(done, subscribing.Subscribed) else None
        return self.shown(self.one(webhook_id), secret=secret)


class RotateWebhookSecretView(WebhookStepView):
    step = "rotate_secret"
    post = extend_schema(summary="A new secret; the earlier one signs as well for 24 hours")(WebhookStepView.post)


class PauseWebhookView(WebhookStepView):
    step = "pause"
    post = extend_schema(summary="Pause: what happens meanwhile is kept")(WebhookStepView.post)


class ResumeWebhookView(WebhookStepView):
    step = "resume"
    post = extend_schema(summary="Go on where it stopped, in order")(WebhookStepView.post)


class TestWebhookView(WebhookStepView):
    step = "test"
    post = extend_schema(summary="Send a message that says it is a test")(WebhookStepView.post)


class ReplayWebhookView(WebhookViewBase):
    rights: ClassVar = {"POST": Right.SETTINGS_WRITE}

    @extend_schema(
        summary="Tell a period again, under the same ids",
        tags=["webhooks"],
        request=ReplayInput,
        responses={202: WebhookOutput, **errors(404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, webhook_id: int) -> Response:
        subscription = self.one(webhook_id)
        form = ReplayInput(data=request.data, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        subscribing.replay(subscription, **form.validated_data, by=self.caller.actor, now=self.now)
        return self.shown(subscription, 202)


class WebhookMessagesView(WebhookViewBase):
    rights: ClassVar = {"GET": Right.WEBHOOKS_READ}

    @extend_schema(
        summary="What was sent in the last 30 days and what came of it, newest first",
        tags=["webhooks"],
        parameters=[
            OpenApiParameter("state", str, enum=Dispatch.State.values),
            OpenApiParameter("before", str, description="The id of a message: those collected before it."),
            OpenApiParameter("n", int, description="How many; default 50, at most 200."),
        ],
        responses={200: DispatchOutput(many=True), **errors(404, 422)},
    )
    def get(self, request: Request, webhook_id: int) -> Response:
        rows = Dispatch.objects.filter(subscription=self.one(webhook_id)).order_by("-id")
        if "state" in request.query_params:
            state = serializers.ChoiceField(choices=Dispatch.State.choices)
            try:
                rows = rows.filter(state=state.run_validation(request.query_params["state"]))
            except serializers.ValidationError as error:
                raise serializers.ValidationError({"state": error.detail}) from None
        if before := request.query_params.get("before", "").replace("\x00", ""):
            last = rows.filter(message_id=before).values_list("pk", flat=True)[:1]
            rows = rows.filter(pk__lt=last)
        size = whole_number(request, "n", 50, most=200)
        tries = Prefetch("tries", Try.objects.order_by("number"))
        return Response(DispatchOutput(rows.prefetch_related(tries)[:size], many=True).data)
