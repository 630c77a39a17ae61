"""How a person is read and written over `/api/3`. The views stand in visits: deleting a person spans rooms."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request

from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import GroupMembership, Person, PersonRole, e164, one_line
from accounts.answers import InstantField, instant_of
from accounts.bodies import Body
from accounts.callers import Caller
from accounts.models import Tenant

_TEXTS = (
    "last_name",
    "salutation",
    "job_title",
    "department",
    "email",
    "mobile",
    "telephone",
    "language",
    "notes",
    "system_id",
    "barcode",
    "custom_1",
    "custom_2",
    "custom_3",
    "custom_4",
    "custom_5",
)


class PersonOutput(serializers.ModelSerializer[Person]):
    """A person; the value of a PIN is never in it."""

    valid_from = InstantField(allow_null=True)
    valid_to = InstantField(allow_null=True)
    created_at = InstantField()
    updated_at = InstantField()
    organisation_id = serializers.IntegerField(read_only=True, default=None, allow_null=True, help_text="Always null.")
    image_url = serializers.CharField(read_only=True, default=None, allow_null=True, help_text="No pictures are kept.")
    image_thumbnail_url = serializers.CharField(read_only=True, default=None, allow_null=True, help_text="Likewise.")
    groups = serializers.SerializerMethodField(help_text="Ids of the groups that the person is in.")
    roles = serializers.SerializerMethodField(help_text="Ids of the roles that the person has beside the groups'.")

    class Meta:
        model = Person
        fields = [
            "id",
            "kind",
            "first_name",
            "last_name",
            "salutation",
            "job_title",
            "department",
            "email",
            "mobile",
            "telephone",
            "language",
            "birthday",
            "enabled",
            "valid_from",
            "valid_to",
            "notes",
            "system_id",
            "organisation_id",
            "image_url",
            "image_thumbnail_url",
            "barcode",
            "custom_1",
            "custom_2",
            "custom_3",
            "custom_4",
            "custom_5",
            "groups",
            "roles",
            "created_at",
            "updated_at",
        ]

    def get_groups(self, person: Person) -> list[int]:
        return list(self.context["groups"].get(person.pk, []))

    def get_roles(self, person: Person) -> list[int]:
        return list(self.context["roles"].get(person.pk, []))


class PersonInput(Body):
    """What may be written of a person. Unknown keys are ignored; null empties a text."""

    first_name = serializers.CharField(max_length=120, validators=[one_line])
    last_name = serializers.CharField(max_length=120, allow_blank=True, required=False, validators=[one_line])
    kind = serializers.ChoiceField(choices=Person.Kind.choices, required=False)
    salutation = serializers.CharField(max_length=40, allow_blank=True, required=False)
    job_title = serializers.CharField(max_length=120, allow_blank=True, required=False)
    department = serializers.CharField(max_length=120, allow_blank=True, required=False)
    email = serializers.EmailField(max_length=254, allow_blank=True, required=False)
    mobile = serializers.CharField(max_length=16, allow_blank=True, required=False, help_text="E.164: +493012345678")
    telephone = serializers.CharField(max_length=40, allow_blank=True, required=False)
    language = serializers.CharField(max_length=10, allow_blank=True, required=False)
    birthday = serializers.DateField(allow_null=True, required=False, help_text="So that no chosen PIN holds it.")
    enabled = serializers.BooleanField(required=False)
    valid_from = InstantField(allow_null=True, required=False)
    valid_to = InstantField(allow_null=True, required=False)
    notes = serializers.CharField(max_length=10_000, allow_blank=True, required=False)
    system_id = serializers.CharField(max_length=120, allow_blank=True, required=False)
    barcode = serializers.CharField(max_length=120, allow_blank=True, required=False)
    custom_1 = serializers.CharField(max_length=250, allow_blank=True, required=False)
    custom_2 = serializers.CharField(max_length=250, allow_blank=True, required=False)
    custom_3 = serializers.CharField(max_length=250, allow_blank=True, required=False)
    custom_4 = serializers.CharField(max_length=250, allow_blank=True, required=False)
    custom_5 = serializers.CharField(max_length=250, allow_blank=True, required=False)
    pin = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text='"******" draws a PIN for whoever has none; "" revokes it. A PIN is chosen and read at '
        "/people/{id}/credentials.",
    )
    credentials_number = serializers.JSONField(
        required=False, allow_null=True, help_text='The number of their card; "" revokes it.'
    )
    group_ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=500)
    role_ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=500)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            data = {name: "" if name in _TEXTS and value is None else value for name, value in data.items()}
        return super().to_internal_value(data)

    def validate_mobile(self, value: str) -> str:
        try:
            if value:
                e164(value)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages, code="invalid") from error
        return value


def belonging(people: list[Person]) -> dict[str, dict[int, list[int]]]:
    """Group and role ids of these people in two queries: the context of PersonOutput."""
    found: dict[str, dict[int, list[int]]] = {"groups": {}, "roles": {}}
    ids = [person.pk for person in people]
    groups = GroupMembership.objects.filter(OPEN, person_id__in=ids).order_by("group_id")
    for person_id, group_id in groups.values_list("person_id", "group_id"):
        found["groups"].setdefault(person_id, []).append(group_id)
    roles = PersonRole.objects.filter(OPEN, person_id__in=ids).order_by("role_id")
    for person_id, role_id in roles.values_list("person_id", "role_id"):
        found["roles"].setdefault(person_id, []).append(role_id)
    return found


def visible(caller: Caller) -> QuerySet[Person]:
    """People who were not deleted; those of another site are absent for a caller who is limited to some."""
    people = Person.objects.filter(deleted_at=None)
    if caller.site_ids is not None:
        people = people.filter(Q(site=None) | Q(site_id__in=caller.site_ids))
    return people


def filtered(request: Request, people: QuerySet[Person], tenant: Tenant) -> QuerySet[Person]:
    """People by `email`, `system_id` and `since`; a whole address is looked up by index, a part is searched."""
    people = people.order_by("id")
    if email := request.query_params.get("email", "").replace("\x00", "").lower():
        people = people.filter(lower_email=email) if "@" in email else people.filter(lower_email__contains=email)
    if system_id := request.query_params.get("system_id", "").replace("\x00", ""):
        people = people.filter(system_id=system_id)
    if since := instant_of(request, "since_utc", tenant) or instant_of(request, "since", tenant):
        people = people.filter(updated_at__gte=since)
    return people
