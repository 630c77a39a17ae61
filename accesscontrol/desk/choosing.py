"""The parts that the forms of the desk share: doors of the site, a period by one click or by own times."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accesscontrol.desk.entry import Desk
from accesscontrol.desk.periods import DAYS, PERIODS, period_of
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.doors.opening import closing, hours_of
from accounts.refusals import Refusal


class DoorsField(forms.ModelMultipleChoiceField[Channel]):
    """Doors of one site as boxes; its visitor doors are preset."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", _("Doors"))
        messages = {"required": _("Choose at least one door.")}
        super().__init__(Channel.objects.none(), error_messages=messages, **options)

    def offer(self, desk: Desk) -> None:
        doors = Channel.objects.filter(site=desk.site)
        # A host opens to visitors what visitors get; a PIN for any other door is the desk's to give.
        doors = doors.filter(is_visitor_door=True) if desk.is_host else doors
        self.queryset = doors.order_by("-is_visitor_door", "name")
        self.initial = [door.pk for door in self.queryset if door.is_visitor_door]


class MomentField(forms.DateTimeField):
    """An instant on the wall of the site."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        messages = {"invalid": _("Write a day and a time.")}
        super().__init__(
            widget=widget, required=False, error_messages=messages, input_formats=["%Y-%m-%dT%H:%M"], **options
        )

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        if moment is not None and not 2000 <= moment.year <= 2100:
            raise forms.ValidationError(_("Write a year between 2000 and 2100."))
        return moment


class DeskForm(forms.Form):
    """A form of the desk: made for one request, focused where it must be mended, able to carry a Refusal."""

    # The domain's word for a field -> the form's.
    called: dict[str, str] = {}

    def __init__(self, desk: Desk, *args: Any, **kwargs: Any) -> None:
        self.desk = desk
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field, DoorsField):
                field.offer(desk)

    def refuse(self, refusal: Refusal) -> None:
        """Say why the domain did not do it, beside the field it is about."""
        about = self.called.get(refusal.about or "", refusal.about)
        self.add_error(about if about in self.fields else None, refusal.in_words())


class PeriodForm(DeskForm):
    """From now for as long as one click says, or from and until a time."""

    period = forms.ChoiceField(choices=PERIODS, label=_("When"), widget=forms.RadioSelect, initial="closing")
    start = MomentField(label=_("From"))
    end = MomentField(label=_("Until"))

    def __init__(self, desk: Desk, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, **kwargs)
        start, end = self._period("closing")
        self.fields["start"].initial = timezone.localtime(start)
        self.fields["end"].initial = timezone.localtime(end)

    def _period(self, name: str) -> tuple[datetime, datetime]:
        site = self.desk.site
        return period_of(name, self.desk.now, site.zone, lambda moment: closing(site, moment))

    def opening_hours(self) -> Shift | None:
        """Several days at a click mean the hours in which the site is open."""
        return hours_of(self.desk.site) if self.cleaned_data.get("period") in DAYS else None

    @property
    def shows_times(self) -> bool:
        return bool(self["period"].value() == "other")

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if "period" not in values:
            return values
        if values["period"] != "other":
            values["start"], values["end"] = self._period(values["period"])
            return values
        for name in ("start", "end"):
            if not values.get(name) and name not in self.errors:
                self.add_error(name, _("Write a day and a time."))
        if values.get("start") and values.get("end"):
            if values["end"] <= values["start"]:
                self.add_error("end", _("The end must be after the start."))
            elif values["end"] <= self.desk.now:
                self.add_error("end", _("This time is over already."))
        return values
