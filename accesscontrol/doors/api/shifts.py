"""`/api/3/shifts`: weekly hours, read in the time zone of the site where they are used."""

from datetime import time
from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.doors import levels
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import ON_HOLIDAY, Shift, ShiftTime
from accesscontrol.doors.periods import OPEN
from accounts.answers import InstantField, named, one_page
from accounts.api import NAME, ResourceView, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.rights import Right


class ClockField(serializers.TimeField):
    """`HH:MM`; 24:00 is midnight."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="%H:%M", input_formats=["%H:%M", "%H:%M:%S"], **options)

    def to_internal_value(self, value: Any) -> time:
        return super().to_internal_value("00:00" if value == "24:00" else value)


class StretchOutput(serializers.Serializer[ShiftTime]):
    day = serializers.IntegerField(source="weekday", help_text="0 is Monday.")
    description = serializers.CharField(source="__str__")
    start_time = ClockField()
    end_time = ClockField()


class StretchInput(Body):
    day = serializers.IntegerField(min_value=0, max_value=6, help_text="0 is Monday.")
    start_time = ClockField(help_text="09:00")
    end_time = ClockField(help_text="At or before the start: on the next day.")


class ShiftOutput(serializers.ModelSerializer[Shift]):
    times = StretchOutput(source="current_times", many=True)
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        model = Shift
        fields = ["id", "name", "notes", "on_holiday", "times", "created_at", "updated_at"]


class ShiftInput(Body):
    name = serializers.CharField(max_length=120)
    notes = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    on_holiday = serializers.ChoiceField(
        choices=ON_HOLIDAY, required=False, help_text="What they do on a holiday of the site. Default: closed."
    )
    times = StretchInput(many=True, required=False, max_length=100)  # type: ignore[call-arg]  # of the list


class ShiftView(ResourceView):
    """What the list and the single shift share. Every site uses the same hours: callers of some sites only read."""

    def all(self) -> QuerySet[Shift]:
        times = ShiftTime.objects.filter(OPEN).order_by("weekday", "start_time")
        return (
            Shift.objects.filter(is_private=False)
            .order_by("name", "id")
            .prefetch_related(Prefetch("times", times, to_attr="current_times"))
        )

    def write(self, shift: Shift, request: Request, *, partial: bool) -> Response:
        if self.caller.site_ids is not None:
            raise PermissionDenied("Weekly hours are shared by all sites: this caller is limited to some of them.")
        form = ShiftInput(data=request.data, partial=partial)
        form.is_valid(raise_exception=True)
        values = dict(form.validated_data)
        times = values.pop("times", None)
        stretches = None if times is None else [Stretch(t["day"], t["start_time"], t["end_time"]) for t in times]
        levels.save_shift(shift, values, times=stretches, by=self.caller.actor, now=self.now)
        return Response(ShiftOutput(self.all().get(pk=shift.pk)).data, status=201)


class ShiftsView(ShiftView):
    rights: ClassVar = {"GET": Right.ACCESS_READ, "POST": Right.ACCESS_WRITE}

    @extend_schema(
        summary="List weekly hours",
        tags=["shifts"],
        parameters=[NAME, *paging(500, 1000)],
        responses={200: ShiftOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        found, headers = one_page(request, named(request, self.all()), per_page=500, most=1000)
        return Response(ShiftOutput(found, many=True).data, headers=headers)

    @extend_schema(
        summary="Add weekly hours", tags=["shifts"], request=ShiftInput, responses={201: ShiftOutput, **errors(422)}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        return self.write(Shift(), request, partial=False)


class ShiftDetailView(ShiftView):
    rights: ClassVar = {"GET": Right.ACCESS_READ, "PUT": Right.ACCESS_WRITE}

    @extend_schema(summary="One set of weekly hours", tags=["shifts"], responses={200: ShiftOutput, **errors(404)})
    def get(self, request: Request, shift_id: int) -> Response:
        return Response(ShiftOutput(get_object_or_404(self.all(), pk=shift_id)).data)

    @extend_schema(
        summary="Change weekly hours from now on; `times` replaces all of them",
        tags=["shifts"],
        request=ShiftInput(partial=True),
        responses={201: ShiftOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, shift_id: int) -> Response:
        return self.write(get_object_or_404(Shift.objects.filter(is_private=False), pk=shift_id), request, partial=True)
