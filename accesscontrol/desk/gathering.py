"""Group visits: names pasted or in a file, one host, doors and period; moved, extended or ended together."""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accesscontrol.access import board
from accesscontrol.credentials.wording import in_groups_of_digits
from accesscontrol.desk import guest_list
from accesscontrol.desk.choosing import DoorsField, PeriodForm
from accesscontrol.desk.entry import Desk, at_desk
from accesscontrol.desk.hosts import HostField
from accesscontrol.desk.periods import DAYS, PERIODS
from accesscontrol.desk.visit import version_of
from accesscontrol.desk.visit_steps import ExtendForm, MoveForm
from accesscontrol.people.models import one_line
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits import belonging, gatherings
from accesscontrol.visits.guests import Guest, Unreadable, parse_guests
from accounts.refusals import Refusal
from accounts.rights import Right


class GroupForm(PeriodForm):
    """A group visit; the names come as text or as a file."""

    called = {"start_time": "start", "end_time": "end", "channel_ids": "doors", "names": "guests"}

    form_id = forms.CharField(widget=forms.HiddenInput, max_length=60)
    name = forms.CharField(
        label=_("Name of the group"),
        max_length=120,
        validators=[one_line],
        error_messages={"required": _("Give the group a name, such as “Board meeting”.")},
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
    )
    host = HostField(label=_("Host"), required=False)
    guests = forms.CharField(
        label=_("Visitors"),
        required=False,
        help_text=_("One a line: name, e-mail or mobile number. Paste from a list or a spreadsheet."),
        widget=forms.Textarea(attrs={"rows": 7, "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        label=_("Or a file"),
        required=False,
        help_text=_("CSV or Excel (.xlsx), one visitor a line."),
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,.xlsx"}),
    )
    doors = DoorsField()
    shared = forms.ChoiceField(
        label=_("PINs"),
        widget=forms.RadioSelect,
        initial="own",
        choices=[("own", _("Each their own PIN")), ("shared", _("One shared PIN"))],
        help_text=_("What happens with a shared PIN cannot be traced to one individual."),
    )
    send = forms.BooleanField(label=_("Send each their PIN by e-mail"), required=False, initial=True)

    def __init__(self, desk: Desk, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, **kwargs)
        self.fields["form_id"].initial = str(uuid4())
        period: Any = self.fields["period"]
        period.choices = [choice for choice in PERIODS if choice[0] not in DAYS]
        self.found: list[Guest] = []
        self.wrong: list[Unreadable] = []
        if desk.is_host:
            del self.fields["host"]

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        text = values.get("guests", "")
        if values.get("file"):
            try:
                text = f"{text}\n{guest_list.lines_of(values['file'])}".strip()
            except Refusal as refusal:
                self.refuse(refusal)
                return values
            # A browser forgets the file when the form comes back: what was in it stands in the box then.
            self.data = {**self.data.dict(), "doors": self.data.getlist("doors"), "guests": text}  # type: ignore[attr-defined]
        self.found, self.wrong = parse_guests(text)
        if self.wrong:
            self.add_error("guests", _("Some lines cannot be read; they are named below. Nothing was issued."))
        elif not self.found and "guests" not in self.errors:
            self.add_error("guests", _("Write or upload at least one name."))
        return values


@require_http_methods(["GET", "HEAD", "POST"])
@at_desk(Right.VISITS_WRITE, Right.VISITS_OWN)
def group(desk: Desk) -> HttpResponse:
    """The form; “Check the list” says what would happen and issues nothing."""
    sent = desk.request.method == "POST"
    form = GroupForm(desk, desk.request.POST if sent else None, desk.request.FILES if sent else None)
    is_valid = form.is_bound and form.is_valid()
    if is_valid and "check" not in desk.request.POST:
        try:
            made = gatherings.issue_group(form.found, **_values(desk, form), by=desk.caller.actor, now=desk.now)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            return _issued(desk, made)
    return desk.page(
        "desk/group.html",
        form=form,
        checked=form.found if is_valid and not form.errors else [],
        status=422 if form.errors else 200,
    )


def _values(desk: Desk, form: GroupForm) -> dict[str, Any]:
    cleaned = form.cleaned_data
    host, host_name = cleaned.get("host") or (None, "")
    return {
        "name": cleaned["name"],
        "shared": cleaned["shared"] == "shared",
        "site": desk.site,
        "channels": list(cleaned["doors"]),
        "start_time": cleaned["start"],
        "end_time": cleaned["end"],
        "host": desk.membership() if desk.is_host else host,
        "host_name": host_name,
        "deliver": "email" if cleaned["send"] else None,
        "form_token": cleaned["form_id"],
    }


def _issued(desk: Desk, made: Any) -> HttpResponse:
    if not made.values:
        messages.info(desk.request, gettext("This group was issued already; its PINs were shown then."))
        return HttpResponseRedirect(reverse("desk:party", args=[made.group.pk]))
    pins = [(person.name, in_groups_of_digits(pin)) for person, pin in made.values]
    return desk.page("desk/group_issued.html", group=made.group, pins=pins, count=len(made.visits))


def _party(desk: Desk, group_visit_id: int) -> tuple[GroupVisit, list[Reservation]]:
    rows = Reservation.objects.filter(group_id=group_visit_id, person__deleted_at=None).select_related("person")
    if desk.is_host:
        rows = rows.filter(host_id=desk.caller.actor.id)
    if desk.caller.site_ids is not None:
        rows = rows.filter(pk__in=belonging.now_at(desk.caller.site_ids).values("reservation_id"))
    visits = list(rows.order_by("person__last_name", "person__first_name", "pk"))
    found = GroupVisit.objects.filter(pk=group_visit_id).first()
    if found is None or not visits:
        raise Http404
    return found, visits


def _everybody(found: GroupVisit) -> QuerySet[Reservation]:
    return Reservation.objects.filter(group=found)


@require_GET
@at_desk(Right.VISITS_READ, Right.VISITS_OWN)
def party(desk: Desk, group_visit_id: int) -> HttpResponse:
    """A group visit and everybody in it."""
    return _shown(desk, *_party(desk, group_visit_id))


def _shown(
    desk: Desk, found: GroupVisit, visits: list[Reservation], *, status: int = 200, **forms: Any
) -> HttpResponse:
    states = board.states_of(visits, desk.site, now=desk.now)
    live = [visit for visit in visits if not visit.is_over(desk.now)]
    first = (live or visits)[0]
    forms.setdefault("extend_form", ExtendForm(desk, first))
    forms.setdefault("move_form", MoveForm(desk, first))
    return desk.page(
        "desk/party.html",
        party=found,
        visits=[(visit, states[visit.pk]) for visit in visits],
        first=first,
        # Of everybody, whom the caller may not see, too: that is what a step changes.
        version=gatherings.version_of(_everybody(found)),
        can_change=bool(live) and (desk.may(Right.VISITS_WRITE) or desk.is_host),
        status=status,
        **forms,
    )


def _all(desk: Desk, group_visit_id: int, done: str, verb: Any, form: Any = None, **values: Any) -> HttpResponse:
    found, visits = _party(desk, group_visit_id)
    forms = {}
    if form is not None:
        made = form(desk, next((one for one in visits if not one.is_over(desk.now)), visits[0]), desk.request.POST)
        forms = {"extend_form" if form is ExtendForm else "move_form": made}
        if not made.is_valid():
            return _shown(desk, found, visits, status=422, **forms)
        values = {"end_time": made.cleaned_data["end"]}
        if form is MoveForm:
            doors: Any = made.fields["doors"]
            values |= {"start_time": made.cleaned_data["start"], "channels": list(made.cleaned_data["doors"])}
            values["among"] = list(doors.queryset)
    try:
        going_on = [visit for visit in _everybody(found) if not visit.is_over(desk.now)]
        belonging.refuse_elsewhere(going_on, desk.caller.site_ids)
        verb(found, **values, expected_version=version_of(desk), by=desk.caller.actor, now=desk.now)
    except Refusal as refusal:
        messages.error(desk.request, refusal.in_words(), extra_tags="bad")
        return _shown(desk, *_party(desk, group_visit_id), status=refusal.status, **forms)
    messages.success(desk.request, done % {"name": found.name})
    return HttpResponseRedirect(reverse("desk:party", args=[found.pk]))


@require_POST
@at_desk(Right.VISITS_WRITE, Right.VISITS_OWN)
def extend_party(desk: Desk, group_visit_id: int) -> HttpResponse:
    done = gettext("Everybody in “%(name)s” was extended.")
    return _all(desk, group_visit_id, done, gatherings.extend_group, ExtendForm)


@require_POST
@at_desk(Right.VISITS_WRITE, Right.VISITS_OWN)
def move_party(desk: Desk, group_visit_id: int) -> HttpResponse:
    return _all(desk, group_visit_id, gettext("Everybody in “%(name)s” was moved."), gatherings.move_group, MoveForm)


@require_POST
@at_desk(Right.VISITS_WRITE, Right.VISITS_OWN)
def end_party(desk: Desk, group_visit_id: int) -> HttpResponse:
    return _all(desk, group_visit_id, gettext("The visit of “%(name)s” was ended."), gatherings.end_group)
