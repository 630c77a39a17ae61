"""The access check: a person, a door and an instant, answered by the rule that the door asks."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accesscontrol.access.checking import Check, check
from accesscontrol.doors.models import Channel
from accesscontrol.people import finding
from accesscontrol.people.models import Person
from accounts.admin.records import visible_rows
from accounts.admin_site import caller_of
from accounts.rights import Right

_SUGGESTED = 10
_WRITTEN = "%Y-%m-%dT%H:%M"


class CheckForm(forms.Form):
    """What is asked; the person is written as in a search, and chosen where several are meant."""

    who = forms.CharField(
        label="Person",
        max_length=120,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text="Name, e-mail address or telephone number.",
    )
    door = forms.ModelChoiceField(Channel.objects.none(), widget=UnfoldAdminSelectWidget, empty_label="Choose")
    at = forms.DateTimeField(
        label="When",
        required=False,
        input_formats=[_WRITTEN],
        widget=UnfoldAdminTextInputWidget({"type": "datetime-local"}),
        help_text="Empty: now.",
    )
    person = forms.ModelChoiceField(Person.objects.none(), required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        doors: Any = self.fields["door"]
        doors.queryset = visible_rows(request, Channel).select_related("site").order_by("site__name", "name", "id")
        doors.label_from_instance = lambda door: f"{door.name} ({door.site.name})"
        people: Any = self.fields["person"]
        people.queryset = visible_rows(request, Person)

    def matches(self) -> list[Person]:
        """Who is meant by what was written."""
        found = finding.search(self.cleaned_data.get("who", "")).values("pk")
        return list(visible_rows(self.request, Person).filter(pk__in=found)[:_SUGGESTED])


def may_check(request: HttpRequest) -> bool:
    """Whether the caller may see people and doors."""
    caller = caller_of(request)
    return caller is not None and caller.may(Right.PEOPLE_READ) and caller.may(Right.CHANNELS_READ)


def page(request: HttpRequest) -> HttpResponse:
    """Ask and answer by GET: nothing changes."""
    if not may_check(request):
        raise PermissionDenied
    asked = request.GET.copy()
    chosen = asked.get("chosen") or (asked.get("person") if not asked.get("who") else None)
    if chosen and chosen.isascii() and chosen.isdecimal() and len(chosen) < 19:
        known = visible_rows(request, Person).filter(pk=chosen).first()
        asked["person"], asked["who"] = chosen, known.name if known else ""
    # A link from the page of a person names no door yet.
    form = CheckForm(asked, request=request) if asked.get("door") else CheckForm(initial=asked.dict(), request=request)
    answer, matches = _answer(form) if form.is_bound and form.is_valid() else (None, [])
    context = {
        **admin.site.each_context(request),
        "title": "Access check",
        "form": form,
        "answer": answer,
        "matches": matches,
        "person": form.cleaned_data.get("person") if answer else None,
        "door": form.cleaned_data.get("door") if answer else None,
        "back": reverse("admin:index"),
    }
    return TemplateResponse(request, "admin/access_check.html", context, headers={"Cache-Control": "no-store"})


def _answer(form: CheckForm) -> tuple[Check | None, list[Person]]:
    values, now = form.cleaned_data, timezone.now()
    person = values["person"]
    if person is None or person.name != values["who"]:
        matches = form.matches()
        if not matches:
            form.add_error("who", "Nobody is called this. Write the beginning of a name.")
        if len(matches) != 1:
            return None, matches
        person = values["person"] = matches[0]
    at = values["at"] or now
    if at < now and values["at"] is not None and (now - at).total_seconds() > 60:
        form.add_error("at", "This is in the past. “Who could, who did” tells what people could open then.")
        return None, []
    return check(person, values["door"], at=max(at, now), now=now), []
