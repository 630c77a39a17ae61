"""For controllers that work through an outage: the list of who opens a channel, and what was decided by it.

A value stands in the list as HMAC-SHA-256 under a key that the controller derives from its own reader key and the
channel's id: `HMAC(HMAC(reader key, "gatehouse access list <id>"), "<type>|<value>")`. Whoever has the controller has
that key and can try all PINs against the list: it gives away the PINs that open this door, and nothing of any other.
"""

import hmac
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import offline_events, offline_list
from accesscontrol.access.api.controllers import ControllerView
from accesscontrol.access.models import OfflineEntry, Reason
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accounts.answers import InstantField, cursor_of, parts_of, whole_number
from accounts.api import errors
from accounts.bodies import Body
from accounts.callers import presented_key
from accounts.rights import Right
from pins.policy import duress
from pins.vault.models import Fingerprint

_TYPES = {"PIN": CredentialType.PIN, "Card": CredentialType.CARD}


class GrantOutput(serializers.Serializer[Any]):
    role_id = serializers.IntegerField(allow_null=True)
    reservation_id = serializers.IntegerField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    hours = serializers.ListField(
        allow_null=True,
        help_text="[weekday, start, end, on_holiday] in the door's time zone, 0 is Monday. On a holiday of the door: "
        "closed, as_usual, or its hours instead (holiday_hours). Null: always.",
    )
    early_seconds = serializers.IntegerField(help_text="The hours open so long before each of their starts.")
    awaits_check_in = serializers.BooleanField()

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python.
        return {**super().get_fields(), "from": serializers.DateTimeField()}


class EntryOutput(serializers.Serializer[Any]):
    credential_id = serializers.CharField()
    credential_type = serializers.ChoiceField(choices=["PIN", "Card"])
    fingerprint = serializers.CharField()
    duress_fingerprint = serializers.CharField(allow_null=True)
    enabled = serializers.BooleanField()
    ends_at = serializers.DateTimeField(allow_null=True)
    person_enabled = serializers.BooleanField()
    valid_from = serializers.DateTimeField(allow_null=True)
    valid_to = serializers.DateTimeField(allow_null=True)
    is_visitor = serializers.BooleanField()
    grants = GrantOutput(many=True)


class HolidayOutput(serializers.Serializer[Any]):
    """A day on which the site does not keep its week; no hours: closed."""

    day = serializers.DateField()
    hours = serializers.ListField(help_text="[start, end]; an end at or before the start is on the next day.")


class OfflineDoorOutput(serializers.Serializer[Any]):
    """What the rule needs to know of the door itself."""

    id = serializers.IntegerField()
    time_zone = serializers.CharField()
    state = serializers.ChoiceField(choices=Channel.State.choices)
    relock_at = InstantField(allow_null=True)
    auto_unlock = serializers.ListField(allow_null=True, help_text="Weekly hours in which the door is held open.")
    holidays = HolidayOutput(many=True)
    release_seconds = serializers.IntegerField()
    free_tries = serializers.IntegerField()
    first_wait_seconds = serializers.IntegerField()
    longest_wait_seconds = serializers.IntegerField()
    visitor_seconds = serializers.IntegerField(help_text="A list that was confirmed so long ago admits no visitor.")


class AccessListOutput(serializers.Serializer[Any]):
    """`reset`: forget every entry that was known. `more`: ask again with the cursor before deciding by the list."""

    channel = OfflineDoorOutput()
    reset = serializers.BooleanField()
    entries = EntryOutput(many=True)
    removed = serializers.ListField(child=serializers.CharField(), help_text="Credentials to forget.")
    more = serializers.BooleanField()
    cursor = serializers.CharField()


class AccessListView(ControllerView):
    rights: ClassVar = {"GET": Right.DECIDE}

    @extend_schema(
        summary="Who opens a channel, for an outage",
        description="What changed since a cursor. Answers 304 to If-None-Match; that confirms the list too.",
        tags=["controllers"],
        parameters=[
            OpenApiParameter("since", str, description="The cursor of the last answer. Default: the whole list."),
            OpenApiParameter("n", int, description="How many entries; default and at most 500."),
        ],
        responses={200: AccessListOutput, **errors(404, 409, 422)},
    )
    def get(self, request: Request, channel_id: int) -> Response:
        size = whole_number(request, "n", 500, most=500)
        place = self._place(request)
        channel = self.channel(channel_id)
        kept = offline_list.refresh(channel, self.now)
        if place is not None and place.version > kept.version:
            # Of a database that was set back since: whoever has more than there is starts anew.
            place = None
        rows = offline_list.page(channel, place, size + 1)
        more, rows = len(rows) > size, rows[:size]
        if place is not None and not rows:
            offline_list.taken(kept, kept.version)
        reached = (kept.version, 0)
        if rows:
            reached = (rows[-1].version, rows[-1].credential_id)
        elif place is not None:
            reached = (place.version, place.credential_id)
        return Response(
            {
                "channel": _door(channel, self),
                "reset": place is None,
                "entries": list(_shown([row for row in rows if row.facts is not None], self._key(request, channel))),
                "removed": [row.credential.public_id for row in rows if row.facts is None],
                "more": more,
                "cursor": cursor_of(self.caller.actor.id, *reached),
            }
        )

    def _place(self, request: Request) -> offline_list.Place | None:
        """Where the reader stands; a cursor of another key is none, since its fingerprints were others."""
        text = request.query_params.get("since")
        if not text:
            return None
        try:
            key_id, version, credential_id = (int(part) for part in parts_of(text, 3))
        except (ValueError, exceptions.ValidationError):
            raise exceptions.ValidationError({"since": ["This cursor is not known."]}, "invalid") from None
        if not 0 <= version < 2**63 or not 0 <= credential_id < 2**63:
            raise exceptions.ValidationError({"since": ["This cursor is not known."]}, "invalid")
        return offline_list.Place(version, credential_id) if key_id == self.caller.actor.id else None

    def _key(self, request: Request, channel: Channel) -> bytes:
        shown = presented_key(request._request) or ""
        return hmac.digest(shown.encode(), f"gatehouse access list {channel.pk}".encode(), "sha256")


def _door(channel: Channel, view: ControllerView) -> dict[str, Any]:
    stands = channel.stands(view.now)
    return {
        **OfflineDoorOutput(
            {
                "id": channel.pk,
                "time_zone": channel.site.time_zone,
                "state": stands,
                "relock_at": channel.relock_at if stands == Channel.State.UNLOCKED else None,
                "auto_unlock": offline_list.hours_of(channel.auto_unlock_shift_id),
                "holidays": offline_list.holidays_of(channel.site, view.now),
                "release_seconds": channel.release_seconds,
                "free_tries": channel.free_tries,
                "first_wait_seconds": channel.first_wait_seconds,
                "longest_wait_seconds": channel.longest_wait_seconds,
                "visitor_seconds": channel.offline_visitor_hours * 3600,
            }
        ).data
    }


def _shown(rows: list[OfflineEntry], key: bytes) -> Any:
    """The entries with their fingerprints; a credential that ended since the list was computed is left out."""
    holders = [row.credential_id for row in rows]
    forced = Fingerprint.objects.filter(holder_id__in=holders, kind=Fingerprint.Kind.DURESS)
    with_duress = set(forced.values_list("holder_id", flat=True))

    def fingerprint(kind: CredentialType, value: str) -> str:
        return hmac.digest(key, f"{kind.slug}|{value}".encode(), "sha256").hex()

    for row in rows:
        if not row.credential.sealed:
            continue
        facts = dict(row.facts or {})
        kind = CredentialType(facts.pop("type"))
        value = lifecycle.value_of(row.credential)
        yield {
            "credential_id": row.credential.public_id,
            "credential_type": kind.label,
            "fingerprint": fingerprint(kind, value),
            "duress_fingerprint": fingerprint(kind, duress(value)) if row.credential_id in with_duress else None,
            **facts,
        }


class OfflineEventInput(Body):
    id = serializers.CharField(max_length=100, help_text="The controller's own; sent again, it is the same event.")
    occurred_at = InstantField()
    credential_type = serializers.ChoiceField(choices=list(_TYPES), default="PIN")
    credential_id = serializers.CharField(required=False, allow_null=True, default=None, max_length=40)
    admitted = serializers.BooleanField()
    reason = serializers.ChoiceField(choices=Reason.values, allow_blank=True, default="")
    duress = serializers.BooleanField(default=False)
    was_open = serializers.BooleanField(default=False, help_text="The door was held open.")


class OfflineEventsInput(Body):
    events = OfflineEventInput(many=True, max_length=offline_events.MOST)  # type: ignore[call-arg]  # of the list


class RecordedOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    event_id = serializers.IntegerField()


class OfflineEventsOutput(serializers.Serializer[Any]):
    recorded = serializers.IntegerField(help_text="How many were new.")
    events = RecordedOutput(many=True)


class OfflineEventsView(ControllerView):
    rights: ClassVar = {"POST": Right.DECIDE}

    @extend_schema(
        summary="What a controller decided alone",
        description="At most 500 events: all of them are recorded or, where one is wrong, none. Each id counts once.",
        tags=["controllers"],
        request=OfflineEventsInput,
        responses={200: OfflineEventsOutput, **errors(404, 422)},
    )
    def post(self, request: Request, channel_id: int) -> Response:
        channel = self.channel(channel_id)
        form = OfflineEventsInput(data=request.data, context={"tenant": self.tenant})
        if not form.is_valid():
            raise _by_row(form.errors)
        told = [
            offline_events.Told(
                id=row["id"],
                occurred_at=row["occurred_at"],
                type=_TYPES[row["credential_type"]],
                admitted=row["admitted"],
                reason=Reason(row["reason"]),
                credential_id=row["credential_id"] or None,
                is_duress=row["duress"],
                was_open=row["was_open"],
            )
            for row in form.validated_data["events"]
        ]
        try:
            found, fresh = offline_events.record(channel, told, now=self.now)
        except offline_events.BadEvents as refusal:
            raise exceptions.ValidationError(
                {
                    f"events[{place}].{field}": [exceptions.ErrorDetail(text, code)]
                    for place, (field, code, text) in refusal.facts["rows"].items()
                }
            ) from None
        events = [{"id": source_id, "event_id": event_id} for source_id, event_id in found.items()]
        return Response({"recorded": fresh, "events": events})


def _by_row(errors: Any) -> exceptions.ValidationError:
    """The errors of a batch under the row that each is about."""
    found = errors.get("events")
    rows = dict(enumerate(found)) if isinstance(found, list) else found
    if not isinstance(rows, dict) or not any(isinstance(row, dict) for row in rows.values()):
        return exceptions.ValidationError(errors)
    return exceptions.ValidationError(
        {
            f"events[{place}].{field}": texts
            for place, row in rows.items()
            if isinstance(row, dict)
            for field, texts in row.items()
        }
    )
