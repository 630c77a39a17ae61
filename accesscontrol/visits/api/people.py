"""`/api/3/people`."""

from typing import Any, ClassVar

from django.db.transaction import atomic as undone_together
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Role
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import records
from accesscontrol.people.api import PersonInput, PersonOutput, belonging, filtered, visible
from accesscontrol.people.models import Group, GroupMembership, Person, PersonRole
from accesscontrol.visits import belonging as belongs
from accesscontrol.visits import issuing, leaving
from accounts.answers import one_page
from accounts.api import SINCE_UTC, ResourceView, errors, paging
from accounts.callers import Caller
from accounts.idempotency import idempotent
from accounts.refusals import Refusal
from accounts.rights import Right


class UnknownGroup(Refusal):
    code = "does_not_exist"
    field = "group_ids"
    text = "There is no group with one of these ids."


class UnknownRole(Refusal):
    code = "does_not_exist"
    field = "role_ids"
    text = "There is no role with one of these ids."


class ResultOutput(serializers.Serializer[object]):
    result = serializers.CharField(default="ok")


def person_of(caller: Caller, person_id: int) -> Person:
    """A person whom the caller may know of, or 404."""
    person: Person = get_object_or_404(visible(caller), pk=person_id)
    return person


def shown(person: Person) -> Any:
    return PersonOutput(person, context=belonging([person])).data


class DrawnOnly(Refusal):
    code = "invalid"
    field = "pin"
    text = "Write “******” to draw a PIN. To choose one, post it to the person's credentials."


class PersonView(ResourceView):
    """Writes shared by the list and the single person."""

    def hold(self, person: Person, values: dict[str, Any]) -> None:
        """A PIN and a card by their slugs. What is held already is left, so that a repeated write changes nothing."""
        for kind, name in ((CredentialType.PIN, "pin"), (CredentialType.CARD, "credentials_number")):
            if name not in values:
                continue
            wanted = values[name]
            held = Credential.objects.filter(person=person, type=kind, revoked_at=None, erased_at=None, ends_at=None)
            if wanted in ("", None):
                for credential in held:
                    issuing.revoke(credential, by=self.caller.actor, now=self.now)
            elif kind == CredentialType.PIN and wanted != issuing.GENERATE:
                # A refused choice is counted, and that count must outlive what is undone here.
                raise DrawnOnly
            elif kind == CredentialType.PIN and held.exists():
                continue
            elif not any(lifecycle.value_of(credential) == wanted for credential in held):
                for credential in held:
                    issuing.revoke(credential, by=self.caller.actor, now=self.now)
                issuing.issue(person, kind, wanted, by=self.caller.actor, now=self.now)

    def belong(self, person: Person, values: dict[str, Any]) -> None:
        """Groups and roles as wanted; those that reach beyond the caller's sites are left as they are."""
        by, now, site_ids = self.caller.actor, self.now, self.caller.site_ids
        if "group_ids" in values:
            groups = belongs.groups_within(site_ids)
            wanted = list(groups.filter(pk__in=values["group_ids"]))
            if len(wanted) != len(set(values["group_ids"])):
                raise UnknownGroup
            kept = GroupMembership.objects.filter(OPEN, person=person).exclude(group__in=groups)
            wanted += Group.objects.filter(pk__in=kept.values("group_id"))
            belongs.set_groups(person, wanted, by=by, now=now)
        if "role_ids" in values:
            roles = belongs.roles_within(site_ids)
            chosen = list(roles.filter(pk__in=values["role_ids"]))
            if len(chosen) != len(set(values["role_ids"])):
                raise UnknownRole
            held = PersonRole.objects.filter(OPEN, person=person).exclude(role__in=roles)
            chosen += Role.objects.filter(pk__in=held.values("role_id"))
            belongs.set_roles(person, chosen, by=by, now=now)


class PeopleView(PersonView):
    rights: ClassVar = {"GET": Right.PEOPLE_READ, "POST": Right.PEOPLE_WRITE}

    @extend_schema(
        summary="List people",
        tags=["people"],
        parameters=[
            OpenApiParameter("email", str, description="A whole address, or a part of one."),
            OpenApiParameter("system_id", str),
            OpenApiParameter("since", str, description="Changed since; without offset in the account's zone."),
            SINCE_UTC,
            *paging(50, 100),
        ],
        responses={200: PersonOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        people, headers = one_page(request, filtered(request, visible(self.caller), self.tenant), per_page=50, most=100)
        return Response(PersonOutput(people, many=True, context=belonging(people)).data, headers=headers)

    @extend_schema(
        summary="Add a person",
        tags=["people"],
        request=PersonInput,
        responses={201: PersonOutput, **errors(409, 422)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        form = PersonInput(data=request.data, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        with undone_together():
            person = records.create(form.validated_data, by=self.caller.actor, now=self.now)
            self.belong(person, form.validated_data)
            self.hold(person, form.validated_data)
        return Response(shown(person), status=201)


class PersonDetailView(PersonView):
    rights: ClassVar = {"GET": Right.PEOPLE_READ, "PUT": Right.PEOPLE_WRITE, "DELETE": Right.PEOPLE_WRITE}

    @extend_schema(summary="One person", tags=["people"], responses={200: PersonOutput, **errors(404)})
    def get(self, request: Request, person_id: int) -> Response:
        return Response(shown(person_of(self.caller, person_id)))

    @extend_schema(
        summary="Change a person; what is left out stays",
        tags=["people"],
        request=PersonInput(partial=True),
        responses={201: PersonOutput, **errors(404, 409, 422)},
    )
    @idempotent
    def put(self, request: Request, person_id: int) -> Response:
        person = person_of(self.caller, person_id)
        form = PersonInput(data=request.data, partial=True, context={"tenant": self.tenant})
        form.is_valid(raise_exception=True)
        with undone_together():
            person = records.change(person, form.validated_data, by=self.caller.actor, now=self.now)
            self.belong(person, form.validated_data)
            self.hold(person, form.validated_data)
        return Response(shown(person), status=201)

    @extend_schema(
        summary="Delete a person: nothing opens for them any more",
        tags=["people"],
        responses={200: ResultOutput, **errors(404)},
    )
    @idempotent
    def delete(self, request: Request, person_id: int) -> Response:
        leaving.delete_person(person_of(self.caller, person_id), by=self.caller.actor, now=self.now)
        return Response({"result": "ok"})
