"""`/api/3/people/{id}/credentials` and `/api/3/credentials`. Every answer that shows a value is audited."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.db.models import F, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.api import (
    CredentialChange,
    CredentialFields,
    CredentialInput,
    CredentialOutput,
    FlatCredentialInput,
    PersonNamed,
    unwrapped,
)
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.api import visible
from accesscontrol.people.models import Person
from accesscontrol.visits import issuing, rotation
from accesscontrol.visits.api.people import person_of
from accounts.answers import id_of, one_page
from accounts.api import ResourceView, errors, paging
from accounts.idempotency import idempotent
from accounts.refusals import Refusal
from accounts.rights import Right

_NO_STORE = {"Cache-Control": "no-store"}


class ValueIsFixed(Refusal):
    code = "value_is_fixed"
    field = "value"
    text = "The value of a credential cannot be changed: delete this credential and create a new one."


class NobodyHere(Refusal):
    code = "does_not_exist"
    field = "person_id"
    text = "There is no person with this id."


class CredentialsView(ResourceView):
    """What the views of credentials share."""

    def kept(self, person: Person | None = None) -> QuerySet[Credential]:
        """Credentials that hold a value; one that was rotated until its overlap is over."""
        rows = Credential.objects.filter(
            Q(ends_at=None) | Q(ends_at__gt=self.now), revoked_at=None, erased_at=None
        ).select_related("person", "replaced_by")
        if person is None:
            return rows.filter(person__in=visible(self.caller))
        return rows.filter(person=person)

    def credential_of(self, person_id: int, public_id: str) -> Credential:
        return get_object_or_404(self.kept(person_of(self.caller, person_id)), public_id=public_id)

    def revealed(self, credentials: Iterable[Credential]) -> dict[str, Any]:
        """The serializer's context, with values where the caller may read them."""
        if not self.caller.may(Right.PINS_READ):
            return {}
        return {"values": lifecycle.reveal(credentials, by=self.caller.actor, now=self.now)}

    def issued(self, request: Request, person: Person) -> Response:
        """Issue what the body asks for."""
        form = CredentialFields(data=unwrapped(request.data))
        form.is_valid(raise_exception=True)
        wanted = form.validated_data
        try:
            issued = issuing.issue(
                person,
                CredentialType(wanted["credential_type_id"]),
                wanted["value"],
                enabled=wanted["enabled"],
                deliver=wanted.get("deliver"),
                by=self.caller.actor,
                now=self.now,
            )
        except lifecycle.HasOneAlready as refusal:
            # The contract answers with the credential that is there, without its value.
            return Response(CredentialOutput(refusal.facts["credential"]).data, status=409, headers=_NO_STORE)
        context = self.revealed([issued.credential]) | {"warnings": issued.warnings}
        shown = CredentialOutput(issued.credential, context=context)
        return Response(shown.data, status=201, headers=_NO_STORE)

    def render_again(self, request: Request, body: Any) -> Any:
        """A repeated request is answered with the value as it is kept now, if it still is."""
        if not isinstance(body, dict) or "id" not in body:
            return body
        kept = self.kept().filter(public_id=body["id"]).first()
        values = self.revealed([kept]).get("values", {}) if kept else {}
        return {**body, "value": values[kept.pk]} if kept and kept.pk in values else body


class PersonCredentialsView(CredentialsView):
    rights: ClassVar = {"GET": Right.PEOPLE_READ, "POST": Right.PEOPLE_WRITE}

    @extend_schema(
        summary="A person's credentials, with PIN values",
        tags=["credentials"],
        responses={200: CredentialOutput(many=True), **errors(404)},
    )
    def get(self, request: Request, person_id: int) -> Response:
        # During an overlap the successor comes first: whoever takes the first PIN takes the one that stays.
        successors_first = (F("ends_at").asc(nulls_first=True), "id")
        rows = list(self.kept(person_of(self.caller, person_id)).order_by(*successors_first))
        return Response(
            CredentialOutput(rows, many=True, context=self.revealed(rows)).data,
            headers={"Total": str(len(rows)), **_NO_STORE},
        )

    @extend_schema(
        summary="Issue a PIN or a card",
        tags=["credentials"],
        request=CredentialInput,
        responses={201: CredentialOutput, 409: CredentialOutput, **errors(404, 422, 429)},
    )
    @idempotent
    def post(self, request: Request, person_id: int) -> Response:
        return self.issued(request, person_of(self.caller, person_id))


class PersonCredentialView(CredentialsView):
    rights: ClassVar = {"GET": Right.PEOPLE_READ, "PUT": Right.PEOPLE_WRITE, "DELETE": Right.PEOPLE_WRITE}

    @extend_schema(
        summary="One credential, with its value",
        tags=["credentials"],
        responses={200: CredentialOutput, **errors(404)},
    )
    def get(self, request: Request, person_id: int, public_id: str) -> Response:
        credential = self.credential_of(person_id, public_id)
        return Response(CredentialOutput(credential, context=self.revealed([credential])).data, headers=_NO_STORE)

    @extend_schema(
        summary="Enable or disable a credential, or have its PIN rotated regularly",
        tags=["credentials"],
        request=CredentialChange,
        responses={201: CredentialOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, person_id: int, public_id: str) -> Response:
        credential = self.credential_of(person_id, public_id)
        form = CredentialChange(data=unwrapped(request.data))
        form.is_valid(raise_exception=True)
        if "value" in form.validated_data and form.validated_data["value"] != lifecycle.value_of(credential):
            raise ValueIsFixed
        if "enabled" in form.validated_data:
            issuing.set_enabled(credential, form.validated_data["enabled"], by=self.caller.actor, now=self.now)
        if "rotate_after_days" in form.validated_data:
            days = form.validated_data["rotate_after_days"]
            rotation.set_period(credential, days, by=self.caller.actor, now=self.now)
        shown = CredentialOutput(credential, context=self.revealed([credential]))
        return Response(shown.data, status=201, headers=_NO_STORE)

    @extend_schema(
        summary="Revoke a credential: it opens nothing any more",
        tags=["credentials"],
        responses={(200, "text/plain"): OpenApiTypes.STR, **errors(404)},
    )
    @idempotent
    def delete(self, request: Request, person_id: int, public_id: str) -> HttpResponse:
        issuing.revoke(self.credential_of(person_id, public_id), by=self.caller.actor, now=self.now)
        return HttpResponse("OK", content_type="text/plain")


class RotateCredentialView(CredentialsView):
    rights: ClassVar = {"POST": Right.PEOPLE_WRITE}

    @extend_schema(
        summary="Rotate a PIN: the new one is answered and sent, the old one works until the overlap is over",
        tags=["credentials"],
        request=None,
        responses={201: CredentialOutput, **errors(404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, person_id: int, public_id: str) -> Response:
        issued = rotation.rotate(self.credential_of(person_id, public_id), by=self.caller.actor, now=self.now)
        shown = CredentialOutput(issued.credential, context=self.revealed([issued.credential]))
        return Response(shown.data, status=201, headers=_NO_STORE)


class AllCredentialsView(CredentialsView):
    rights: ClassVar = {"GET": Right.PEOPLE_READ, "POST": Right.PEOPLE_WRITE}

    @extend_schema(
        summary="All credentials, without values",
        tags=["credentials"],
        parameters=[OpenApiParameter("person_id", int), *paging(50, 100)],
        responses={200: CredentialOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        kept = self.kept().order_by("id")
        if (person_id := id_of(request, "person_id")) is not None:
            kept = kept.filter(person_id=person_id)
        rows, headers = one_page(request, kept, per_page=50, most=100)
        return Response(CredentialOutput(rows, many=True).data, headers=headers)

    @extend_schema(
        summary="Issue a PIN or a card to the person that the body names",
        tags=["credentials"],
        request=FlatCredentialInput,
        responses={201: CredentialOutput, 409: CredentialOutput, **errors(422, 429)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        form = PersonNamed(data=unwrapped(request.data))
        form.is_valid(raise_exception=True)
        person = visible(self.caller).filter(pk=form.validated_data["person_id"]).first()
        if person is None:
            raise NobodyHere
        return self.issued(request, person)


class CredentialView(CredentialsView):
    rights: ClassVar = {"GET": Right.PEOPLE_READ}

    @extend_schema(
        summary="One credential, with its value; its id is enough",
        tags=["credentials"],
        responses={200: CredentialOutput, **errors(404)},
    )
    def get(self, request: Request, public_id: str) -> Response:
        credential = get_object_or_404(self.kept(), public_id=public_id)
        return Response(CredentialOutput(credential, context=self.revealed([credential])).data, headers=_NO_STORE)
