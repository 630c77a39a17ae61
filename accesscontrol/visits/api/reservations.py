"""`/api/3/reservations`. Without `channel_ids` a reservation covers the tenant's visitor doors."""

from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from django.db.transaction import atomic as undone_together
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.doors.models import Channel, Shift
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.api import visible
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import changing, reserving
from accesscontrol.visits.api.people import ResultOutput
from accounts.answers import InstantField, id_of, instant_of, one_page
from accounts.api import SINCE_UTC, ResourceView, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.refusals import Refusal
from accounts.rights import Right


class UnknownPerson(Refusal):
    code = "does_not_exist"
    field = "person_id"
    text = "There is no person with this id."


class UnknownChannel(Refusal):
    code = "does_not_exist"
    field = "channel_ids"
    text = "There is no channel with one of these ids."


class UnknownShift(Refusal):
    code = "does_not_exist"
    field = "shift_id"
    text = "There is no shift with this id."


class ReachesOtherSites(Refusal):
    code = "reaches_other_sites"
    status = 403
    text = "This reservation covers doors at other sites too: this key may change its doors here only."


class ReservationOutput(serializers.ModelSerializer[Reservation]):
    start_time = InstantField()
    end_time = InstantField()
    created_at = InstantField()
    updated_at = InstantField()
    channel_ids = serializers.SerializerMethodField()

    class Meta:
        model = Reservation
        fields = [
            "id",
            "person_id",
            "start_time",
            "end_time",
            "channel_ids",
            "shift_id",
            "external_id",
            "host_name",
            "purpose",
            "company",
            "grace_seconds",
            "needs_check_in",
            "max_uses",
            "uses",
            "created_at",
            "updated_at",
        ]

    def get_channel_ids(self, reservation: Reservation) -> list[int]:
        return sorted(row.channel_id for row in reservation.current_channels)  # type: ignore[attr-defined]


class VisitDetails(Body):
    """What a visit may say beside who, where and when."""

    host_name = serializers.CharField(
        max_length=120, required=False, allow_blank=True, help_text="Whom the visitor comes to see."
    )
    purpose = serializers.CharField(max_length=250, required=False, allow_blank=True)
    company = serializers.CharField(max_length=120, required=False, allow_blank=True)
    grace_seconds = serializers.IntegerField(
        min_value=0, max_value=86400, required=False, help_text="The PIN works so long before the start."
    )
    needs_check_in = serializers.BooleanField(required=False)
    max_uses = serializers.IntegerField(
        min_value=1,
        max_value=1_000_000,
        required=False,
        allow_null=True,
        help_text="Uses within five minutes of a counted one are that one.",
    )

    def details(self) -> dict[str, Any]:
        """Those that were sent."""
        names = [str(name) for name in VisitDetails().fields]
        return {name: self.validated_data[name] for name in names if name in self.validated_data}


class ReservationInput(VisitDetails):
    """`door_controller_ids` is the reference's other name for `channel_ids`."""

    person_id = serializers.IntegerField()
    start_time = InstantField()
    end_time = InstantField()
    channel_ids = serializers.ListField(
        child=serializers.IntegerField(), required=False, allow_empty=False, max_length=500
    )
    shift_id = serializers.IntegerField(required=False, allow_null=True)
    deliver = serializers.ChoiceField(choices=["email", "sms"], required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and "door_controller_ids" in data and "channel_ids" not in data:
            data = {**data, "channel_ids": data["door_controller_ids"]}
        if isinstance(data, dict) and data.get("channel_ids", ...) is None:
            data = {name: value for name, value in data.items() if name != "channel_ids"}
        return super().to_internal_value(data)


class ReservationView(ResourceView):
    """What the list and the single reservation share."""

    def visible(self) -> QuerySet[Reservation]:
        """Reservations at the caller's sites that were not cancelled, with their channels."""
        rows = Reservation.objects.filter(cancelled_at=None, person__deleted_at=None)
        here = ReservationChannel.objects.filter(OPEN)
        if self.caller.site_ids is not None:
            here = here.filter(channel__site_id__in=self.caller.site_ids)
            rows = rows.filter(pk__in=here.values("reservation_id"))
        return rows.prefetch_related(Prefetch("reservationchannels", here, to_attr="current_channels"))

    def shown(self, reservation: Reservation) -> Any:
        return ReservationOutput(self.visible().get(pk=reservation.pk)).data

    def channels_of(self, values: dict[str, Any]) -> list[Channel] | None:
        if "channel_ids" not in values:
            return None
        wanted = set(values["channel_ids"])
        channels = Channel.objects.filter(pk__in=wanted)
        if self.caller.site_ids is not None:
            channels = channels.filter(site_id__in=self.caller.site_ids)
        if len(channels) != len(wanted):
            raise UnknownChannel
        return list(channels)

    def channels_elsewhere(self, reservation: Reservation) -> list[Channel]:
        """What the caller cannot see of a reservation, and may neither take away nor move."""
        if self.caller.site_ids is None:
            return []
        rows = ReservationChannel.objects.filter(OPEN, reservation=reservation)
        beyond = rows.exclude(channel__site_id__in=self.caller.site_ids)
        return list(Channel.objects.filter(pk__in=beyond.values("channel_id")))

    def shift_of(self, values: dict[str, Any]) -> Shift | None:
        if values.get("shift_id") is None:
            return None
        shift = Shift.objects.filter(pk=values["shift_id"], is_private=False).first()
        if shift is None:
            raise UnknownShift
        return shift


class ReservationsView(ReservationView):
    rights: ClassVar = {"GET": Right.VISITS_READ, "POST": Right.VISITS_WRITE}

    @extend_schema(
        summary="Current and coming reservations",
        tags=["reservations"],
        parameters=[
            OpenApiParameter("person_id", int),
            OpenApiParameter("since", str, description="Ending after this instant, past ones included."),
            SINCE_UTC,
            *paging(500, 500),
        ],
        responses={200: ReservationOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        since = instant_of(request, "since_utc", self.tenant) or instant_of(request, "since", self.tenant)
        rows = self.visible().filter(end_time__gt=since or self.now).order_by("start_time", "id")
        if (person_id := id_of(request, "person_id")) is not None:
            rows = rows.filter(person_id=person_id)
        found, headers = one_page(request, rows, per_page=500, most=500)
        return Response(ReservationOutput(found, many=True).data, headers=headers)

    @extend_schema(
        summary="Let a person in for a period",
        tags=["reservations"],
        request=ReservationInput,
        responses={201: ReservationOutput, **errors(422)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        form = ReservationInput(data=request.data, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        values = form.validated_data
        person = visible(self.caller).filter(pk=values["person_id"]).first()
        if person is None:
            raise UnknownPerson
        reservation = reserving.reserve(
            person,
            channels=self.channels_of(values),
            start_time=values["start_time"],
            end_time=values["end_time"],
            shift=self.shift_of(values),
            deliver=values.get("deliver"),
            details=form.details(),
            site_ids=self.caller.site_ids,
            by=self.caller.actor,
            now=self.now,
        )
        return Response(self.shown(reservation), status=201)


class ReservationDetailView(ReservationView):
    rights: ClassVar = {"GET": Right.VISITS_READ, "PUT": Right.VISITS_WRITE, "DELETE": Right.VISITS_WRITE}

    @extend_schema(summary="One reservation", tags=["reservations"], responses={200: ReservationOutput, **errors(404)})
    def get(self, request: Request, reservation_id: int) -> Response:
        return Response(ReservationOutput(get_object_or_404(self.visible(), pk=reservation_id)).data)

    @extend_schema(
        summary="Move, extend or shorten a reservation; what is left out stays",
        tags=["reservations"],
        request=ReservationInput(partial=True),
        responses={201: ReservationOutput, **errors(404, 409, 422)},
    )
    @idempotent
    def put(self, request: Request, reservation_id: int) -> Response:
        reservation = get_object_or_404(self.visible(), pk=reservation_id)
        form = ReservationInput(data=request.data, partial=True, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        values = form.validated_data
        channels, elsewhere = self.channels_of(values), self.channels_elsewhere(reservation)
        if elsewhere and values.keys() - {"channel_ids", "person_id"}:
            raise ReachesOtherSites
        if channels is not None:
            channels += elsewhere
        with undone_together():
            if details := form.details():
                changing.change(reservation, by=self.caller.actor, now=self.now, **details)
            reserving.reschedule(
                reservation,
                start_time=values.get("start_time"),
                end_time=values.get("end_time"),
                channels=channels,
                deliver=values.get("deliver"),
                by=self.caller.actor,
                now=self.now,
                shift=self.shift_of(values) if "shift_id" in values else reserving.UNCHANGED,
            )
        return Response(self.shown(reservation), status=201)

    @extend_schema(
        summary="Cancel a reservation: the right ends at once",
        tags=["reservations"],
        responses={200: ResultOutput, **errors(404)},
    )
    @idempotent
    def delete(self, request: Request, reservation_id: int) -> Response:
        reservation = get_object_or_404(self.visible(), pk=reservation_id)
        if self.channels_elsewhere(reservation):
            raise ReachesOtherSites
        reserving.cancel(reservation, by=self.caller.actor, now=self.now)
        return Response({"result": "ok"})
