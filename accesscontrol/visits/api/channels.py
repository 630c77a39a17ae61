"""`/api/3/channels`: doors, as far as the caller's sites go, and what guessing is worth there."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.doors.models import Channel
from accesscontrol.visits import odds
from accounts.answers import InstantField, id_of, one_page
from accounts.api import ResourceView, errors, paging
from accounts.callers import Caller
from accounts.rights import Right


class ChannelOutput(serializers.ModelSerializer[Channel]):
    """A door; what guessing is worth there is of the PINs it accepts now or will: one query for a whole list."""

    guess_odds = serializers.SerializerMethodField(
        help_text="The probability that ten guesses open this door, at the length in use where a guess is worth most."
    )
    guess_odds_in_words = serializers.SerializerMethodField(help_text="“about 1 in 2,500 for ten tries”")
    warning = serializers.SerializerMethodField(
        help_text="What to do where ten guesses open more often than 1 in 1,000; null where they do not."
    )
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        model = Channel
        fields = [
            "id",
            "name",
            "site_id",
            "direction",
            "is_visitor_door",
            "state",
            "shortest_pin",
            "longest_pin",
            "release_seconds",
            "guess_odds",
            "guess_odds_in_words",
            "warning",
            "created_at",
            "updated_at",
        ]

    def get_guess_odds(self, channel: Channel) -> float:
        return self._odds(channel).chance

    def get_guess_odds_in_words(self, channel: Channel) -> str:
        return self._odds(channel).in_words

    def get_warning(self, channel: Channel) -> str | None:
        return self._odds(channel).warning

    def _odds(self, channel: Channel) -> odds.Odds:
        found: odds.Odds = self.context["odds"][channel.pk]
        return found


def context_of(channels: Iterable[Channel], now: datetime) -> dict[str, Any]:
    """The context of ChannelOutput."""
    return {"odds": odds.of_channels([channel.pk for channel in channels], now)}


def visible(caller: Caller) -> QuerySet[Channel]:
    """The channels at the caller's sites."""
    channels = Channel.objects.order_by("name", "id")
    return channels if caller.site_ids is None else channels.filter(site_id__in=caller.site_ids)


class ChannelsView(ResourceView):
    rights: ClassVar = {"GET": Right.CHANNELS_READ}

    @extend_schema(
        summary="List channels (doors)",
        tags=["channels"],
        parameters=[
            OpenApiParameter("site_id", int),
            *paging(500, 1000),
        ],
        responses={200: ChannelOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        rows = visible(self.caller)
        if site_id := id_of(request, "site_id"):
            rows = rows.filter(site_id=site_id)
        found, headers = one_page(request, rows, per_page=500, most=1000)
        return Response(ChannelOutput(found, many=True, context=context_of(found, self.now)).data, headers=headers)


class ChannelView(ResourceView):
    rights: ClassVar = {"GET": Right.CHANNELS_READ}

    @extend_schema(summary="One channel", tags=["channels"], responses={200: ChannelOutput, **errors(404)})
    def get(self, request: Request, channel_id: int) -> Response:
        channel = get_object_or_404(visible(self.caller), pk=channel_id)
        return Response(ChannelOutput(channel, context=context_of([channel], self.now)).data)
