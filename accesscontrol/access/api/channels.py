"""`/api/3/channels`: doors, as far as the caller's sites go: how they stand, whether they are heard, and what
guessing is worth there.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Literal

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import contact
from accesscontrol.doors.models import Channel
from accesscontrol.visits import odds
from accounts.answers import InstantField, id_of, instant_in_utc, named, one_page
from accounts.api import NAME, ResourceView, errors, paging
from accounts.callers import Caller
from accounts.rights import Right


class ModeOutput(serializers.Serializer[Any]):
    description = serializers.ChoiceField(choices=["normal", "unlock"], help_text="unlock: held open by a command.")
    relock_at = InstantField(allow_null=True)


class SwitchOutput(serializers.Serializer[Any]):
    state = serializers.BooleanField()


class LockdownOutput(serializers.Serializer[Any]):
    """No PIN and no card opens. Exit buttons go on working: nobody is locked in."""

    message = serializers.CharField(help_text="The reason that was given; empty without one.")
    card_lockdown = SwitchOutput()
    rex_lockdown = SwitchOutput()
    aux_lockdown = SwitchOutput()


class AutoUnlockOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class SyncOutput(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "pending", "fail"], help_text="fail: the controller is silent.")
    last_sync_completed_at = InstantField(allow_null=True)


class ChannelOutput(serializers.ModelSerializer[Channel]):
    """A door; what guessing is worth there is of the PINs it accepts now or will: one query for a whole list."""

    guess_odds = serializers.SerializerMethodField(
        help_text="The probability that ten guesses open this door, at the length in use where a guess is worth most."
    )
    guess_odds_in_words = serializers.SerializerMethodField(help_text="“about 1 in 2,500 for ten tries”")
    warning = serializers.SerializerMethodField(
        help_text="What to do where ten guesses open more often than 1 in 1,000; null where they do not."
    )
    status = serializers.SerializerMethodField(
        help_text="online while the controller follows its commands, offline after two minutes of silence. A keypad "
        "that only asks about PINs is never heard otherwise, and offline."
    )
    state = serializers.SerializerMethodField(help_text="normal, unlocked (held open by a command) or locked_down")
    mode = serializers.SerializerMethodField()
    lockdown = serializers.SerializerMethodField(help_text="Null: not locked down.")
    auto_unlock = serializers.SerializerMethodField(help_text="The weekly hours in which the door is held open.")
    sync = serializers.SerializerMethodField()
    last_contact_at = serializers.SerializerMethodField(help_text="When the controller was last heard, if ever.")
    waiting_changes = serializers.SerializerMethodField(
        help_text="Commands that the controller has not taken yet, and 1 for a list that is not what it has."
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
            "status",
            "state",
            "is_locked_down",
            "mode",
            "lockdown",
            "auto_unlock",
            "sync",
            "last_contact_at",
            "waiting_changes",
            "keeps_offline_list",
            "shortest_pin",
            "longest_pin",
            "release_seconds",
            "guess_odds",
            "guess_odds_in_words",
            "warning",
            "created_at",
            "updated_at",
        ]

    def get_status(self, channel: Channel) -> Literal["online", "offline"]:
        return "online" if self._standing(channel).is_heard else "offline"

    @extend_schema_field(serializers.ChoiceField(choices=Channel.State.choices))
    def get_state(self, channel: Channel) -> str:
        return channel.stands(self.context["now"]).value

    @extend_schema_field(ModeOutput)
    def get_mode(self, channel: Channel) -> dict[str, Any]:
        is_held = channel.stands(self.context["now"]) == Channel.State.UNLOCKED
        relock_at = instant_in_utc(channel.relock_at) if is_held and channel.relock_at else None
        return {"description": "unlock" if is_held else "normal", "relock_at": relock_at}

    @extend_schema_field(LockdownOutput(allow_null=True))
    def get_lockdown(self, channel: Channel) -> dict[str, Any] | None:
        if not channel.is_locked_down:
            return None
        off = {"state": False}
        reason = self._standing(channel).reason
        return {"message": reason, "card_lockdown": {"state": True}, "rex_lockdown": off, "aux_lockdown": off}

    @extend_schema_field(AutoUnlockOutput(allow_null=True))
    def get_auto_unlock(self, channel: Channel) -> dict[str, Any] | None:
        shift = channel.auto_unlock_shift
        return {"id": shift.pk, "name": shift.name} if shift else None

    @extend_schema_field(SyncOutput)
    def get_sync(self, channel: Channel) -> dict[str, Any]:
        standing = self._standing(channel)
        status = "fail" if standing.is_silent else "pending" if standing.waiting_changes else "ok"
        return {"status": status, "last_sync_completed_at": self.get_last_contact_at(channel)}

    def get_last_contact_at(self, channel: Channel) -> str | None:
        heard_at = self._standing(channel).last_contact_at
        return instant_in_utc(heard_at) if heard_at else None

    def get_waiting_changes(self, channel: Channel) -> int:
        return self._standing(channel).waiting_changes

    def get_guess_odds(self, channel: Channel) -> float:
        return self._odds(channel).chance

    def get_guess_odds_in_words(self, channel: Channel) -> str:
        return self._odds(channel).in_words

    def get_warning(self, channel: Channel) -> str | None:
        return self._odds(channel).warning

    def _standing(self, channel: Channel) -> contact.Standing:
        found: contact.Standing = self.context["standing"][channel.pk]
        return found

    def _odds(self, channel: Channel) -> odds.Odds:
        found: odds.Odds = self.context["odds"][channel.pk]
        return found


def context_of(channels: Iterable[Channel], now: datetime) -> dict[str, Any]:
    """The context of ChannelOutput: a fixed number of queries for however many channels."""
    ids = [channel.pk for channel in channels]
    return {"now": now, "odds": odds.of_channels(ids, now), "standing": contact.standing(ids, now)}


def shown(channel: Channel, now: datetime) -> dict[str, Any]:
    """One channel as the API answers it."""
    return dict(ChannelOutput(channel, context=context_of([channel], now)).data)


def visible(caller: Caller) -> QuerySet[Channel]:
    """The channels at the caller's sites."""
    channels = Channel.objects.select_related("auto_unlock_shift").order_by("name", "id")
    return channels if caller.site_ids is None else channels.filter(site_id__in=caller.site_ids)


class ChannelsView(ResourceView):
    rights: ClassVar = {"GET": Right.CHANNELS_READ}

    @extend_schema(
        summary="List channels (doors)",
        tags=["channels"],
        parameters=[
            OpenApiParameter("site_id", int),
            NAME,
            *paging(500, 1000),
        ],
        responses={200: ChannelOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        rows = visible(self.caller)
        if (site_id := id_of(request, "site_id")) is not None:
            rows = rows.filter(site_id=site_id)
        found, headers = one_page(request, named(request, rows), per_page=500, most=1000)
        return Response(ChannelOutput(found, many=True, context=context_of(found, self.now)).data, headers=headers)


class ChannelView(ResourceView):
    rights: ClassVar = {"GET": Right.CHANNELS_READ}

    @extend_schema(summary="One channel", tags=["channels"], responses={200: ChannelOutput, **errors(404)})
    def get(self, request: Request, channel_id: int) -> Response:
        channel = get_object_or_404(visible(self.caller), pk=channel_id)
        return Response(shown(channel, self.now))
