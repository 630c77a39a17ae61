from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.credentials.wording import in_groups_of_digits
from accesscontrol.doors.admin.choosing import offer, some_of, with_hidden
from accesscontrol.doors.models import Role
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import finding, records
from accesscontrol.people.models import Group, GroupMembership, Person, PersonRole
from accesscontrol.visits import belonging, issuing, leaving
from accesscontrol.visits.admin.batches import ACTIONS
from accesscontrol.visits.admin.choosing_people import GroupFilter, PinFilter, ValidityFilter
from accesscontrol.visits.admin.credentials import STATES, state_of
from accesscontrol.visits.admin.exported import PEOPLE as EXPORTED
from accounts.admin.moments import read_at
from accounts.admin.narrowing import Among, SiteFilter
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step, StepForm
from accounts.admin_site import staff
from accounts.rights import Right


class PersonForm(RecordForm):
    has_own_refusals = True

    in_groups: Any = forms.ModelMultipleChoiceField(
        None, required=False, label="Groups", widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    access_levels: Any = forms.ModelMultipleChoiceField(
        None,
        required=False,
        label="Access levels of their own",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Beside those of their groups.",
    )
    language = forms.ChoiceField(
        choices=[("", "As in the settings"), *settings.LANGUAGES],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Messages to this person are written in it.",
    )

    class Meta:
        labels = {
            "email": "E-mail address",
            "mobile": "Mobile number",
            "valid_from": "Valid from",
            "valid_to": "Valid until",
        }
        help_texts = {
            "birthday": "Only so that a chosen PIN is not this date.",
            "mobile": "With country code and without spaces, such as +493012345678.",
            "enabled": "Whoever is not enabled is let in nowhere.",
            "system_id": "How another system, such as payroll, names this person.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        site_ids = staff(self.request).site_ids
        offer(self, "in_groups", Group, within=belonging.groups_within(site_ids))
        offer(self, "access_levels", Role, within=belonging.roles_within(site_ids))
        if "language" in self.fields and self.instance.language:
            self._offer_language(self.instance.language)
        if self.instance.pk:
            groups = GroupMembership.objects.filter(OPEN, person=self.instance)
            roles = PersonRole.objects.filter(OPEN, person=self.instance)
            self.initial["in_groups"] = list(groups.values_list("group_id", flat=True))
            self.initial["access_levels"] = list(roles.values_list("role_id", flat=True))

    def _offer_language(self, language: str) -> None:
        """An integration may have written one that is not in the list."""
        field: Any = self.fields["language"]
        if language not in dict(field.choices):
            field.choices = [*field.choices, (language, language)]


class IssuePinForm(StepForm):
    value = forms.CharField(
        label="PIN of their choice",
        required=False,
        max_length=8,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "inputmode": "numeric"}),
        help_text="4 to 8 digits. Leave it empty: Gatehouse then draws one that nobody can guess.",
    )
    deliver = forms.ChoiceField(
        label="Send it",
        choices=[("", "No, it is handed over here"), ("email", "By e-mail"), ("sms", "By text message")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )


class IssueCardForm(StepForm):
    value = forms.CharField(
        label="Card number", max_length=64, widget=UnfoldAdminTextInputWidget({"autocomplete": "off"})
    )


def _has_none(type: CredentialType) -> Any:
    def possible(person: Person, now: datetime) -> bool:
        return not Credential.objects.filter(
            person=person, type=type, revoked_at=None, erased_at=None, ends_at=None
        ).exists()

    return possible


_MOST_SHOWN = 6


def _held() -> dict[str, Any]:
    """The groups of a person by name, and whether there is a PIN: for rows that are already found."""
    groups = GroupMembership.objects.filter(OPEN, person=OuterRef("pk")).order_by("group__name")
    pins = Credential.objects.filter(person=OuterRef("pk"), type=CredentialType.PIN, revoked_at=None, erased_at=None)
    return {"group_names": ArraySubquery(groups.values("group__name")), "pin_held": Exists(pins)}


class PersonAdmin(TenantAdmin):
    """People who may be let in. Registered by `overview`, which adds what happened at the doors."""

    form = PersonForm
    rights = {"view": Right.PEOPLE_READ, "add": Right.PEOPLE_WRITE, "change": Right.PEOPLE_WRITE}
    site_lookup = "site_id"
    list_display = ("full_name", "kind", "address", "groups_of", "has_pin", "state")
    list_filter: Any = ("kind", ValidityFilter, PinFilter, GroupFilter, SiteFilter)
    search_fields = ("last_name",)
    search_help_text = "Name, e-mail address or telephone number"
    ordering = ("last_name", "first_name", "id")
    fieldsets = (
        (None, {"fields": (("first_name", "last_name"), ("kind", "birthday"), "site")}),
        ("Reach", {"fields": (("email", "mobile"), ("telephone", "language"))}),
        ("Rights", {"fields": ("enabled", "valid_from", "valid_to", "in_groups", "access_levels")}),
        (
            "More",
            {"fields": (("salutation", "job_title"), ("department", "system_id"), "notes")},
        ),
    )
    exported = EXPORTED
    change_form_outer_before_template = "admin/person_story.html"
    actions = ACTIONS
    empty_words = "Add the first person, or reserve a visit once somebody is known."
    steps = (
        Step(
            "issue-pin",
            "Issue PIN",
            Right.PEOPLE_WRITE,
            "issue_pin",
            "{0} gets a PIN of their own. It is shown once, now.",
            form=IssuePinForm,
            icon="pin",
            is_possible=_has_none(CredentialType.PIN),
        ),
        Step(
            "issue-card",
            "Issue card",
            Right.PEOPLE_WRITE,
            "issue_card",
            "{0} gets this card.",
            form=IssueCardForm,
            icon="badge",
            is_possible=_has_none(CredentialType.CARD),
        ),
        Step(
            "remove",
            "Delete",
            Right.PEOPLE_WRITE,
            "remove",
            "Nothing opens for {0} any more: PIN and card are revoked, coming visits cancelled, groups left, "
            "and what has not been sent is not sent. The name is erased 30 days later, or earlier by “Erase”. What "
            "happened at the doors stays on record.",
            icon="delete",
            danger=True,
        ),
    )

    def visible(self, request: HttpRequest) -> QuerySet[Person]:
        return super().visible(request).filter(deleted_at=None)

    def links(self, request: HttpRequest, obj: Person) -> list[dict[str, Any]]:
        """Data protection spans rooms above this one; its pages are known by their names."""
        caller = staff(request)
        if not caller.may(Right.PEOPLE_ERASE) or caller.site_ids is not None:
            return []
        pages = (("Export", "download", "person_export", False), ("Erase", "delete_forever", "person_erase", True))
        return [
            {"title": title, "icon": icon, "danger": danger, "link": reverse(f"admin:{name}", args=[obj.pk])}
            for title, icon, name, danger in pages
        ]

    def is_open(self, request: HttpRequest, obj: Person) -> bool:
        # The front desk of one site looks after visitors whom an integration added without any.
        return True

    def look_up(self, request: HttpRequest, rows: list[Person]) -> None:
        held = Person.objects.filter(pk__in=[person.pk for person in rows]).annotate(**_held())
        found = {person.pk: person for person in held.only("pk")}
        for person in rows:
            person.group_names = found[person.pk].group_names  # type: ignore[attr-defined]
            person.pin_held = found[person.pk].pin_held  # type: ignore[attr-defined]

    def exported_rows(self, request: HttpRequest, rows: QuerySet[Person]) -> QuerySet[Person]:
        return rows.select_related("site").annotate(**_held())

    def search(self, rows: QuerySet[Person], term: str) -> QuerySet[Person]:
        return rows.filter(Among("pk", Subquery(finding.ids(term))))

    def save(self, request: HttpRequest, obj: Person, form: Any, *, change: bool, now: datetime) -> Person:
        by, values = staff(request).actor, form.cleaned_data
        written = {name: values[name] for name in records.WRITABLE if name in values}
        person = (
            records.change(obj, {name: written[name] for name in form.changed_data if name in written}, by=by, now=now)
            if change
            else records.create(written, by=by, now=now)
        )
        groups = GroupMembership.objects.filter(OPEN, person=person).values("group_id")
        roles = PersonRole.objects.filter(OPEN, person=person).values("role_id")
        chosen_groups = with_hidden(form, "in_groups", Group.objects.filter(pk__in=groups))
        chosen_roles = with_hidden(form, "access_levels", Role.objects.filter(pk__in=roles))
        belonging.set_groups(person, chosen_groups, by=by, now=now)
        belonging.set_roles(person, chosen_roles, by=by, now=now)
        return person

    def issue_pin(self, request: HttpRequest, obj: Person, values: dict[str, Any], now: datetime) -> HttpResponse:
        issued = issuing.issue(
            obj,
            CredentialType.PIN,
            values["value"] or issuing.GENERATE,
            deliver=values["deliver"] or None,
            by=staff(request).actor,
            now=now,
        )
        sent = " It is on its way to them, too." if issued.delivery else ""
        return self.shown_once(
            request,
            title=f"PIN for {obj}",
            intro=f"Hand it over now.{sent}",
            values=[("PIN", in_groups_of_digits(issued.value))],
            warnings=issued.warnings,
            back=self._after(request, obj),
        )

    def issue_card(self, request: HttpRequest, obj: Person, values: dict[str, Any], now: datetime) -> str:
        issuing.issue(obj, CredentialType.CARD, values["value"], by=staff(request).actor, now=now)
        return "The card was issued."

    def remove(self, request: HttpRequest, obj: Person, values: dict[str, Any], now: datetime) -> str:
        leaving.delete_person(obj, by=staff(request).actor, now=now)
        return "The person was deleted."

    def story(self, request: HttpRequest, obj: Person, now: datetime) -> dict[str, Any]:
        caller = staff(request)
        credentials = list(Credential.objects.filter(person=obj).order_by("-id")[: _MOST_SHOWN + 1])
        has_more = len(credentials) > _MOST_SHOWN
        return {
            "credentials": [
                {
                    "row": credential,
                    "state": state_of(credential, now),
                    "tone": STATES[state_of(credential, now)],
                    "issued": read_at(credential.created_at),
                }
                for credential in credentials[:_MOST_SHOWN]
            ],
            "may_show": caller.may(Right.PINS_READ),
            "credentials_link": reverse("admin:credentials_credential_changelist") + f"?person__id__exact={obj.pk}"
            if has_more
            else "",
        }

    @display(description="Name", ordering="last_name", header=True)
    def full_name(self, person: Person) -> list[str]:
        return [person.listed_name, person.job_title or person.department]

    @display(description="E-mail address")
    def address(self, person: Person) -> str:
        return person.email

    @display(description="Groups")
    def groups_of(self, person: Person) -> str:
        names: list[str] = person.group_names  # type: ignore[attr-defined]
        return some_of(names, most=2) if names else "-"

    @display(description="PIN")
    def has_pin(self, person: Person) -> str:
        return "Yes" if person.pin_held else "-"  # type: ignore[attr-defined]

    @display(description="State", label={"Active": "success", "Disabled": "danger", "Not valid now": "warning"})
    def state(self, person: Person) -> str:
        if not person.enabled:
            return "Disabled"
        return "Active" if person.is_active(timezone.now()) else "Not valid now"

    @display(description="Groups")
    def in_groups(self, person: Person) -> str:
        groups = GroupMembership.objects.filter(OPEN, person=person).order_by("group__name")
        return some_of(list(groups.values_list("group__name", flat=True)))

    @display(description="Access levels of their own")
    def access_levels(self, person: Person) -> str:
        roles = PersonRole.objects.filter(OPEN, person=person).order_by("role__name")
        return some_of(list(roles.values_list("role__name", flat=True)))
