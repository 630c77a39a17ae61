"""`/api/3/visits/{external_id}`: one call for a visit, under the id that a booking system gave it.

The same id is the same visit: told again it is moved, ended it is over. Person, PIN, reservation and message are
written together or not at all. The value of a PIN is in the answer that it was drawn for and in no later one.
"""

from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.api import CredentialOutput
from accesscontrol.people.api import PersonInput
from accesscontrol.people.models import one_line
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import changing, visiting
from accesscontrol.visits.api.people import ResultOutput
from accesscontrol.visits.api.reservations import (
    ReachesOtherSites,
    ReservationOutput,
    ReservationView,
    VisitDetails,
)
from accounts.answers import InstantField
from accounts.api import errors
from accounts.idempotency import idempotent
from accounts.models import Site
from accounts.refusals import Refusal
from accounts.rights import Right


class IdTooLong(Refusal):
    code = "max_length"
    field = "external_id"
    text = "Write an id of at most 120 characters, without control characters."


class UnknownSite(Refusal):
    code = "does_not_exist"
    field = "site_id"
    text = "There is no site with this id."


class VisitInput(VisitDetails):
    first_name = serializers.CharField(
        max_length=120, required=False, validators=[one_line], help_text="Required for a new visit."
    )
    last_name = serializers.CharField(max_length=120, required=False, allow_blank=True, validators=[one_line])
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True)
    mobile = serializers.CharField(max_length=16, required=False, allow_blank=True, help_text="E.164: +493012345678")
    language = serializers.CharField(max_length=10, required=False, allow_blank=True)
    start_time = InstantField()
    end_time = InstantField()
    site_id = serializers.IntegerField(required=False, allow_null=True, help_text="Whose visitor doors are meant.")
    channel_ids = serializers.ListField(
        child=serializers.IntegerField(), required=False, allow_empty=False, max_length=500
    )
    shift_id = serializers.IntegerField(required=False, allow_null=True)
    deliver = serializers.ChoiceField(choices=["email", "sms"], required=False, allow_null=True)

    validate_mobile = PersonInput.validate_mobile


class VisitOutput(serializers.Serializer[Any]):
    external_id = serializers.CharField()
    is_new = serializers.BooleanField(help_text="False: this id was known, and what differed was changed.")
    person_id = serializers.IntegerField()
    reservation = ReservationOutput()
    credential = CredentialOutput(allow_null=True, help_text="With its value where it was drawn for this answer.")
    delivery_id = serializers.IntegerField(allow_null=True)


class VisitView(ReservationView):
    rights: ClassVar = {"GET": Right.VISITS_READ, "PUT": Right.VISITS_WRITE, "DELETE": Right.VISITS_WRITE}

    @extend_schema(
        summary="The visit that a booking system knows under this id",
        tags=["visits"],
        responses={200: ReservationOutput, **errors(404)},
    )
    def get(self, request: Request, external_id: str) -> Response:
        return Response(ReservationOutput(self._found(external_id)).data)

    @extend_schema(
        summary="Create or move a visit: person, PIN, reservation and message in one call",
        tags=["visits"],
        request=VisitInput,
        responses={200: VisitOutput, 201: VisitOutput, **errors(403, 409, 422)},
    )
    @idempotent
    def put(self, request: Request, external_id: str) -> Response:
        if len(external_id) > 120 or not external_id.isprintable():
            raise IdTooLong
        form = VisitInput(data=request.data, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        values = form.validated_data
        known = Reservation.objects.filter(external_id=external_id).first()
        if known is not None and self.channels_elsewhere(known):
            raise ReachesOtherSites
        names = ("first_name", "last_name", "email", "mobile", "language", "start_time", "end_time", "deliver")
        visit = visiting.issue(
            external_id=external_id,
            channels=self.channels_of(values),
            site=self._site(values.get("site_id")),
            site_ids=self.caller.site_ids,
            shift=self.shift_of(values),
            by=self.caller.actor,
            now=self.now,
            **{name: values[name] for name in names if name in values},
            **form.details(),
        )
        return Response(self._shown(visit), status=201 if visit.is_new else 200, headers={"Cache-Control": "no-store"})

    @extend_schema(
        summary="End a visit: one that has not begun does not take place",
        tags=["visits"],
        responses={200: ResultOutput, **errors(403, 404)},
    )
    @idempotent
    def delete(self, request: Request, external_id: str) -> Response:
        found = self._found(external_id)
        if self.channels_elsewhere(found):
            raise ReachesOtherSites
        changing.end(found, by=self.caller.actor, now=self.now)
        return Response({"result": "ok"})

    def render_again(self, request: Request, body: Any) -> Any:
        """A repeated request says what came of it; its PIN is read at the person's credentials."""
        return body

    def _found(self, external_id: str) -> Reservation:
        found = self.visible().filter(external_id=external_id.replace("\x00", "")).first()
        if found is None or not external_id.isprintable():
            raise Http404
        return found

    def _site(self, site_id: int | None) -> Site | None:
        if site_id is None:
            return None
        sites = Site.objects.all()
        if self.caller.site_ids is not None:
            sites = sites.filter(pk__in=self.caller.site_ids)
        site = sites.filter(pk=site_id).first()
        if site is None:
            raise UnknownSite
        return site

    def _shown(self, visit: visiting.Visit) -> dict[str, Any]:
        shown = None
        if visit.credential is not None:
            context: dict[str, Any] = {}
            if visit.value and self.caller.may(Right.PINS_READ):
                by, now = self.caller.actor, self.now
                context = {"values": lifecycle.reveal([visit.credential], by=by, now=now)}
            shown = CredentialOutput(visit.credential, context=context).data
        return {
            "external_id": visit.reservation.external_id,
            "is_new": visit.is_new,
            "person_id": visit.person.pk,
            "reservation": self.shown(visit.reservation),
            "credential": shown,
            "delivery_id": visit.delivery.pk if visit.delivery else None,
        }
