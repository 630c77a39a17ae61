"""A visit that comes back every week: “Tuesday and Thursday, 18:00 to 20:30, until 31 December” is one form."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accesscontrol.desk.entry import Desk, at_desk
from accesscontrol.desk.issue import answer, tells_elsewhere
from accesscontrol.desk.periods import at
from accesscontrol.desk.visit_form import VisitorForm
from accesscontrol.visits import recurring as weeks
from accesscontrol.visits import visiting
from accounts.refusals import Refusal
from accounts.rights import Right
from pins.signin.staff.stepping_up import ask


class DayField(forms.DateField):
    """A day on the calendar of the site."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        super().__init__(widget=widget, input_formats=["%Y-%m-%d"], **options)


class ClockField(forms.TimeField):
    """A time on the wall of the site."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"), **options)


class RecurringForm(VisitorForm):
    """The form of a visit with weekdays, hours and a last day in the place of a period."""

    called = VisitorForm.called | {"end_time": "last_day", "start_time": "first_day", "weekly": "begins"}

    weekdays = forms.TypedMultipleChoiceField(
        label=_("Every"),
        choices=list(WEEKDAYS.items()),
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one day of the week.")},
    )
    begins = ClockField(label=_("From"))
    ends = ClockField(label=_("Until"))
    first_day = DayField(label=_("First day"))
    last_day = DayField(label=_("Last day"))

    def __init__(self, desk: Desk, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, **kwargs)
        for name in ("period", "start", "end"):
            del self.fields[name]
        self.fields["first_day"].initial = timezone.localdate(desk.now)

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        first, last = values.get("first_day"), values.get("last_day")
        if first and last:
            if last < first:
                self.add_error("last_day", _("The last day must not be before the first."))
            elif (last - first).days > 366:
                self.add_error("last_day", _("A year at most; after that, issue it again."))
            elif last < timezone.localdate(self.desk.now):
                self.add_error("last_day", _("This day is over already."))
        if values.get("begins") and values.get("begins") == values.get("ends"):
            self.add_error("ends", _("The end must differ from the start."))
        return values

    def values(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        # An end at or before the start is on the next morning.
        over_night = cleaned["ends"] <= cleaned["begins"]
        zone = self.desk.site.zone
        self.cleaned_data |= {
            "start": self._instant(cleaned["first_day"], time()),
            "end": at(cleaned["last_day"], time(23, 59, 59), zone)
            if not over_night
            else at(cleaned["last_day"], cleaned["ends"], zone) + timedelta(days=1),
        }
        weekly = weeks.Weekly(frozenset(cleaned["weekdays"]), cleaned["begins"], cleaned["ends"])
        return super().values() | {"weekly": weekly}

    def _instant(self, day: Any, clock: time) -> datetime:
        return max(at(day, clock, self.desk.site.zone), self.desk.now)


@require_http_methods(["GET", "HEAD", "POST"])
@at_desk(Right.VISITS_WRITE, Right.VISITS_OWN)
def recurring(desk: Desk) -> HttpResponse:
    """The form, and what became of it."""
    form = RecurringForm(desk, desk.request.POST or None)
    if form.is_bound and form.is_valid():
        person = form.person()
        if tells_elsewhere(person, form) and (asking := ask(desk.request)) is not None:
            return asking
        try:
            visit = visiting.issue(person=person, **form.values(), by=desk.caller.actor, now=desk.now)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            return answer(desk, visit)
    return desk.page("desk/recurring.html", form=form, status=422 if form.errors else 200)
