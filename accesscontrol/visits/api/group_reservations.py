"""`/api/3/group_reservations`: a person is in groups for a period."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.people.api import visible
from accesscontrol.people.models import Group
from accesscontrol.reservations.models import GroupReservation, GroupReservationGroup
from accesscontrol.visits import belonging, group_reserving
from accesscontrol.visits.api.people import ResultOutput, UnknownGroup
from accesscontrol.visits.api.reservations import UnknownPerson
from accounts.answers import InstantField, id_of, instant_of, one_page
from accounts.api import SINCE_UTC, ResourceView, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.rights import Right


class GroupReservationOutput(serializers.ModelSerializer[GroupReservation]):
    start_time = InstantField()
    end_time = InstantField()
    state = serializers.SerializerMethodField(help_text="pending, active or deactivated")
    group_ids = serializers.SerializerMethodField()
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        model = GroupReservation
        fields = ["id", "person_id", "start_time", "end_time", "state", "group_ids", "created_at", "updated_at"]

    def get_state(self, reservation: GroupReservation) -> str:
        return reservation.state(self.context["now"])

    def get_group_ids(self, reservation: GroupReservation) -> list[int]:
        return sorted(row.group_id for row in reservation.groups.all())


class GroupReservationFields(Body):
    person_id = serializers.IntegerField()
    start_time = InstantField()
    end_time = InstantField()
    group_ids = serializers.ListField(child=serializers.IntegerField(), allow_empty=False, max_length=500)


class GroupReservationInput(GroupReservationFields):
    """Flat, or the same inside `group_reservation`."""

    group_reservation = GroupReservationFields(required=False)


class GroupReservationView(ResourceView):
    """What the list and the single one share."""

    def groups(self) -> QuerySet[Group]:
        return belonging.groups_within(self.caller.site_ids)

    def visible(self) -> QuerySet[GroupReservation]:
        """Of people whom the caller may know of, for groups that are all the caller's to give."""
        rows = GroupReservation.objects.filter(person__in=visible(self.caller)).prefetch_related("groups")
        if self.caller.site_ids is not None:
            beyond = GroupReservationGroup.objects.exclude(group__in=self.groups())
            rows = rows.exclude(pk__in=beyond.values("group_reservation_id"))
        return rows

    def shown(self, rows: Any, *, many: bool = False) -> Any:
        return GroupReservationOutput(rows, many=many, context={"now": self.now}).data


class GroupReservationsView(GroupReservationView):
    rights: ClassVar = {"GET": Right.VISITS_READ, "POST": Right.VISITS_WRITE}

    @extend_schema(
        summary="Current and coming group reservations",
        tags=["group reservations"],
        parameters=[
            OpenApiParameter("person_id", int),
            OpenApiParameter("since", str, description="Those that ended later than this; default: now."),
            SINCE_UTC,
            *paging(500, 500),
        ],
        responses={200: GroupReservationOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        since = instant_of(request, "since_utc", self.tenant) or instant_of(request, "since", self.tenant)
        rows = self.visible().filter(end_time__gt=since or self.now).order_by("start_time", "id")
        if since is None:
            rows = rows.filter(ended_at=None)
        if (person_id := id_of(request, "person_id")) is not None:
            rows = rows.filter(person_id=person_id)
        found, headers = one_page(request, rows, per_page=500, most=500)
        return Response(self.shown(found, many=True), headers=headers)

    @extend_schema(
        summary="Put a person into groups for a period",
        tags=["group reservations"],
        request=GroupReservationInput,
        responses={201: GroupReservationOutput, **errors(422)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        sent = request.data
        if isinstance(sent, dict) and isinstance(sent.get("group_reservation"), dict):
            sent = sent["group_reservation"]
        form = GroupReservationFields(data=sent, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        values = form.validated_data
        person = visible(self.caller).filter(pk=values["person_id"]).first()
        if person is None:
            raise UnknownPerson
        groups = list(self.groups().filter(pk__in=values["group_ids"]))
        if len(groups) != len(set(values["group_ids"])):
            raise UnknownGroup
        made = group_reserving.reserve(
            person,
            groups,
            start_time=values["start_time"],
            end_time=values["end_time"],
            by=self.caller.actor,
            now=self.now,
        )
        return Response(self.shown(made), status=201)


class GroupReservationDetailView(GroupReservationView):
    rights: ClassVar = {"GET": Right.VISITS_READ, "DELETE": Right.VISITS_WRITE}

    @extend_schema(
        summary="One group reservation",
        tags=["group reservations"],
        responses={200: GroupReservationOutput, **errors(404)},
    )
    def get(self, request: Request, group_reservation_id: int) -> Response:
        return Response(self.shown(get_object_or_404(self.visible(), pk=group_reservation_id)))

    @extend_schema(
        summary="End a group reservation: the person leaves the groups at once",
        tags=["group reservations"],
        responses={200: ResultOutput, **errors(404)},
    )
    @idempotent
    def delete(self, request: Request, group_reservation_id: int) -> Response:
        found = get_object_or_404(self.visible(), pk=group_reservation_id)
        group_reserving.end([found], by=self.caller.actor, now=self.now)
        return Response({"result": "ok"})
