from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.credentials.wording import in_groups_of_digits
from accesscontrol.people import whose
from accesscontrol.people.models import Person
from accesscontrol.visits import issuing
from accesscontrol.visits.admin.exported import CREDENTIALS as EXPORTED
from accounts.admin.moments import read_at
from accounts.admin.narrowing import SiteFilter
from accounts.admin.records import TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.rights import Right
from pins.signin.staff.stepping_up import ask

STATES = {"Live": "success", "Disabled": "warning", "Expired": "warning", "Revoked": "danger", "Erased": "info"}


def state_of(credential: Credential, now: datetime) -> str:
    """In one word; the clock at the door decides, this is what was written down."""
    if credential.revoked_at is not None:
        return "Revoked"
    if credential.erased_at is not None:
        return "Erased"
    if (credential.expired_at is not None and credential.expired_at <= now) or credential.is_over(now):
        return "Expired"
    return "Live" if credential.enabled else "Disabled"


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.lower(), state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Credential]) -> QuerySet[Credential]:
        kept, now = Q(revoked_at=None, erased_at=None), timezone.now()
        over = Q(expired_at__lte=now) | Q(ends_at__lte=now)
        wanted = {
            "live": kept & Q(enabled=True) & ~over,
            "disabled": kept & Q(enabled=False) & ~over,
            "expired": kept & over,
            "revoked": Q(revoked_at__isnull=False),
            "erased": Q(erased_at__isnull=False),
        }
        return queryset.filter(wanted[self.value() or ""]) if self.value() in wanted else queryset


class HolderFilter(admin.SimpleListFilter):
    title = "holder"
    parameter_name = "holder"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, str(kind.label)) for kind in Person.Kind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Credential]) -> QuerySet[Credential]:
        return queryset.filter(person__kind=self.value()) if self.value() in Person.Kind.values else queryset


class RotationFilter(admin.SimpleListFilter):
    """Due is what a tick will replace within a week; a rotated PIN works until its overlap is over."""

    title = "rotation"
    parameter_name = "rotation"
    ahead = timedelta(days=7)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("due", "Due within seven days"), ("replaced", "Replaced, works a little longer")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Credential]) -> QuerySet[Credential]:
        now = timezone.now()
        kept = queryset.filter(revoked_at=None, erased_at=None, type=CredentialType.PIN)
        if self.value() == "due":
            # What was never looked at is looked at as soon as it is made, and is not due.
            return kept.filter(
                rotate_at__lte=now + self.ahead,
                rotate_at__gt=F("updated_at"),
                ends_at=None,
                enabled=True,
                expired_at=None,
            )
        return kept.filter(ends_at__gt=now) if self.value() == "replaced" else queryset


def _holds_value(credential: Credential, now: datetime) -> bool:
    return credential.is_live() and credential.sealed is not None


class CredentialAdmin(TenantAdmin):
    """PINs and cards, issued on the page of a person; a value never changes. Registered by `overview`."""

    rights = {"view": Right.PEOPLE_READ}
    site_lookup = "person__site_id"
    list_display = ("of_person", "type", "issued", "state")
    list_select_related = ("person",)
    list_filter = ("type", StateFilter, HolderFilter, RotationFilter, SiteFilter)
    opened_by = ("person__id__exact",)
    search_fields = ("public_id",)
    search_help_text = "Name, e-mail address, telephone number, or id (cred_…)"
    ordering = ("-id",)
    exported = EXPORTED
    fields = ("of_person", "type", "public_id", "state", "issued", "changed")
    readonly_fields = fields
    empty_words = "PINs and cards are issued on the page of a person."
    begun_at = "admin:people_person_changelist"
    steps = (
        Step(
            "show",
            "Show PIN or card number",
            Right.PINS_READ,
            "show",
            "The value is shown once on the next page, and it is recorded that you read it.",
            icon="visibility",
            is_possible=_holds_value,
        ),
        Step(
            "disable",
            "Disable",
            Right.PEOPLE_WRITE,
            "disable",
            "It opens nothing until it is enabled again.",
            icon="block",
            is_possible=lambda credential, _now: credential.is_live() and credential.enabled,
        ),
        Step(
            "enable",
            "Enable",
            Right.PEOPLE_WRITE,
            "enable",
            "It opens doors again where its person has a right.",
            icon="check_circle",
            is_possible=lambda credential, _now: credential.is_live() and not credential.enabled,
        ),
        Step(
            "revoke",
            "Revoke",
            Right.PEOPLE_WRITE,
            "revoke",
            "It ends for good: it opens nothing, and its value is free for somebody else.",
            icon="cancel",
            danger=True,
            is_possible=lambda credential, _now: credential.is_live(),
        ),
    )

    def visible(self, request: HttpRequest) -> QuerySet[Credential]:
        return super().visible(request).filter(person__deleted_at=None).select_related("person")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Credential], search_term: str
    ) -> tuple[QuerySet[Credential], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.startswith("cred_"):
            return queryset.filter(public_id=term), False
        return whose.whose(request, queryset, term), False

    def _take(self, request: HttpRequest, object_id: str, step: Step) -> HttpResponse:
        # A PIN that is shown is the key to a building: whoever asks types their own PIN once more.
        guarded = step.name == "show" and staff(request).may(step.right)
        if guarded and self.get_object(request, unquote(object_id)) and (asking := ask(request)) is not None:
            return asking
        return super()._take(request, object_id, step)

    def show(self, request: HttpRequest, obj: Credential, values: dict[str, Any], now: datetime) -> HttpResponse:
        value = lifecycle.reveal([obj], by=staff(request).actor, now=now)[obj.pk]
        is_pin = obj.type == CredentialType.PIN
        return self.shown_once(
            request,
            title=f"{'PIN' if is_pin else 'Card number'} of {obj.person}",
            intro="It is recorded that you read it.",
            values=[
                ("PIN", in_groups_of_digits(value)) if is_pin else ("Card number", value),
            ],
            back=self._after(request, obj),
        )

    def disable(self, request: HttpRequest, obj: Credential, values: dict[str, Any], now: datetime) -> str:
        issuing.set_enabled(obj, False, by=staff(request).actor, now=now)
        return f"The {obj.get_type_display()} was disabled."

    def enable(self, request: HttpRequest, obj: Credential, values: dict[str, Any], now: datetime) -> str:
        issuing.set_enabled(obj, True, by=staff(request).actor, now=now)
        return f"The {obj.get_type_display()} was enabled."

    def revoke(self, request: HttpRequest, obj: Credential, values: dict[str, Any], now: datetime) -> str:
        issuing.revoke(obj, by=staff(request).actor, now=now)
        return f"The {obj.get_type_display()} was revoked."

    @display(description="Person")
    def of_person(self, credential: Credential) -> str:
        return credential.person.listed_name

    @display(description="Issued")
    def issued(self, credential: Credential) -> str:
        return read_at(credential.created_at)

    @display(description="Last changed")
    def changed(self, credential: Credential) -> str:
        return read_at(credential.updated_at)

    @display(description="State", label=STATES)
    def state(self, credential: Credential) -> str:
        return state_of(credential, timezone.now())
