"""What the list of people is narrowed by."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Group, GroupMembership, Person
from accounts.admin.records import visible_rows


class ValidityFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "May be let in"), ("disabled", "Disabled"), ("over", "Validity is over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        now = timezone.now()
        if self.value() == "active":
            return queryset.filter(Q(valid_to=None) | Q(valid_to__gt=now), enabled=True)
        if self.value() == "disabled":
            return queryset.filter(enabled=False)
        return queryset.filter(valid_to__lte=now) if self.value() == "over" else queryset


class PinFilter(admin.SimpleListFilter):
    title = "PIN"
    parameter_name = "pin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Has a PIN"), ("no", "Has no PIN")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        if self.value() not in ("yes", "no"):
            return queryset
        pins = Credential.objects.filter(
            person=OuterRef("pk"), type=CredentialType.PIN, revoked_at=None, erased_at=None
        )
        return queryset.filter(Exists(pins) if self.value() == "yes" else ~Exists(pins))


class GroupFilter(admin.SimpleListFilter):
    title = "group"
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        groups = visible_rows(request, Group).order_by("name", "id")
        return [(str(number), name) for number, name in groups.values_list("pk", "name")[:_MOST_GROUPS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        chosen = self.value()
        if chosen is None or chosen not in {number for number, _ in self.lookup_choices}:
            return queryset
        rows = GroupMembership.objects.filter(OPEN, person=OuterRef("pk"), group_id=int(chosen))
        return queryset.filter(Exists(rows))


# A list to choose from, not to search: whoever has more groups finds one on its own page.
_MOST_GROUPS = 200
