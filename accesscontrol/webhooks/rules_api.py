"""`/api/3/notification_rules`: an address is told of some event codes, in the reference's words."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access.api.events import CODES
from accesscontrol.doors.models import Channel
from accesscontrol.visits.api.people import ResultOutput
from accesscontrol.webhooks import rules, subscribing
from accesscontrol.webhooks.api import WebhookViewBase
from accesscontrol.webhooks.models import Subscription
from accounts.answers import named, one_page
from accounts.api import NAME, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.rights import Right

_POST_TO_URL = {"type": 0, "type_description": "POST to URL"}


class ConditionOutput(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="door_controller_id")
    type_description = serializers.CharField()
    value = serializers.CharField(help_text="The id of a channel, as a text.")


class MatchedEventOutput(serializers.Serializer[Any]):
    code = serializers.IntegerField()
    name = serializers.CharField()


class ActionOutput(serializers.Serializer[Any]):
    type = serializers.IntegerField(help_text="0: POST to an address")
    type_description = serializers.CharField()
    data = serializers.CharField(help_text="The address.")  # type: ignore[assignment]  # the contract's word


class RuleOutput(serializers.Serializer[Any]):
    """A rule; `secret` only in the answer that made it: what is sent is signed with it."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    active = serializers.BooleanField()
    conditions = ConditionOutput(many=True)
    events = MatchedEventOutput(many=True)
    actions = ActionOutput(many=True)
    secret = serializers.CharField(required=False)


class RuleInput(Body):
    name = serializers.CharField(max_length=120)
    call_back_url = serializers.CharField(
        max_length=500, help_text="https; addresses in private networks are refused. Told as webhooks of form doorflow."
    )
    match_event_codes = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=999),
        allow_empty=False,
        max_length=100,
        help_text="Those of events: " + ", ".join(map(str, CODES)) + ".",
    )
    match_controller_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=10**18),
        required=False,
        allow_null=True,
        max_length=500,
        help_text="Channels; none for all of them.",
    )
    active = serializers.BooleanField(required=False, default=True)


class RuleView(WebhookViewBase):
    """What the list and the single rule share."""

    def rule(self, rule_id: int) -> Subscription:
        return get_object_or_404(rules.rules(), pk=rule_id)

    def wanted(self, request: Request) -> dict[str, Any]:
        form = RuleInput(data=request.data)
        form.is_valid(raise_exception=True)
        values = dict(form.validated_data)
        return {
            "name": values["name"],
            "url": values["call_back_url"],
            "event_codes": values["match_event_codes"],
            "channel_ids": values.get("match_controller_ids") or [],
            "is_active": values["active"],
        }


def shown(found: list[Subscription]) -> list[dict[str, Any]]:
    """Rules in the reference's words; one query for the names of all doors."""
    names = dict(
        Channel.objects.filter(pk__in={pk for rule in found for pk in rule.channel_ids}).values_list("pk", "name")
    )
    return [
        {
            "id": rule.pk,
            "name": rule.name,
            "active": rule.state == Subscription.State.ACTIVE,
            "conditions": [
                {"type": "door_controller_id", "type_description": names.get(pk, "Door"), "value": str(pk)}
                for pk in rule.channel_ids
            ],
            "events": [{"code": code, "name": CODES.get(code, "Event")} for code in rule.event_codes],
            "actions": [{**_POST_TO_URL, "data": rule.url}],
        }
        for rule in found
    ]


class NotificationRulesView(RuleView):
    rights: ClassVar = {"GET": Right.WEBHOOKS_READ, "POST": Right.SETTINGS_WRITE}

    @extend_schema(
        summary="List notification rules",
        tags=["notification rules"],
        parameters=[NAME, *paging(50, 100)],
        responses={200: RuleOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        found, headers = one_page(request, named(request, rules.rules()), per_page=50, most=100)
        return Response(shown(found), headers=headers)

    @extend_schema(
        summary="Have an address told of some events from now on",
        tags=["notification rules"],
        request=RuleInput,
        responses={200: RuleOutput, **errors(422)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        values = self.wanted(request)
        made = rules.make(values.pop("name"), values.pop("url"), **values, by=self.caller.actor, now=self.now)
        [body] = shown([made.subscription])
        return Response({**body, "secret": made.secret}, headers={"Cache-Control": "no-store"})


class NotificationRuleView(RuleView):
    rights: ClassVar = dict.fromkeys(("PUT", "DELETE"), Right.SETTINGS_WRITE) | {"GET": Right.WEBHOOKS_READ}

    @extend_schema(
        summary="One notification rule", tags=["notification rules"], responses={200: RuleOutput, **errors(404)}
    )
    def get(self, request: Request, rule_id: int) -> Response:
        return Response(shown([self.rule(rule_id)])[0])

    @extend_schema(
        summary="Replace a notification rule: what is left out is as in a new one",
        tags=["notification rules"],
        request=RuleInput,
        responses={200: RuleOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, rule_id: int) -> Response:
        rule, values = self.rule(rule_id), self.wanted(request)
        is_active = values.pop("is_active")
        changed = rules.replace(rule, values, is_active=is_active, by=self.caller.actor, now=self.now)
        return Response(shown([changed])[0])

    @extend_schema(
        summary="Delete a notification rule: nothing more is sent",
        tags=["notification rules"],
        responses={200: ResultOutput, **errors(404)},
    )
    @idempotent
    def delete(self, request: Request, rule_id: int) -> Response:
        subscribing.end(self.rule(rule_id), by=self.caller.actor, now=self.now)
        return Response({"result": "ok"})
