"""What is asked to extend or to move a visit."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accesscontrol.desk.choosing import DeskForm, DoorsField, MomentField
from accesscontrol.desk.entry import Desk
from accesscontrol.doors.periods import OPEN
from accesscontrol.reservations.models import Reservation, ReservationChannel

MORE = [("30", _("30 minutes")), ("60", _("1 hour")), ("120", _("2 hours"))]


class ExtendForm(DeskForm):
    """Longer by some minutes at a click, or until a time."""

    called = {"end_time": "end"}

    more = forms.ChoiceField(choices=MORE, required=False)
    end = MomentField(label=_("Until"))

    def __init__(self, desk: Desk, visit: Reservation, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, prefix=None, **kwargs)
        self.visit = visit
        self.fields["end"].initial = timezone.localtime(visit.end_time)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("more"):
            values["end"] = self.visit.end_time + timedelta(minutes=int(values["more"]))
        elif "end" not in self.errors:
            self._require(values.get("end"))
        return values

    def _require(self, end: datetime | None) -> None:
        if end is None:
            self.add_error("end", _("Write a day and a time."))
        elif end <= self.desk.now:
            self.add_error("end", _("This time is over already. To let nobody in from now on, end the visit."))


class MoveForm(DeskForm):
    """Other times, other doors."""

    called = {"start_time": "start", "end_time": "end", "channel_ids": "doors"}

    start = MomentField(label=_("From"))
    end = MomentField(label=_("Until"))
    doors = DoorsField()

    def __init__(self, desk: Desk, visit: Reservation, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, auto_id="id_move_%s", **kwargs)
        self.fields["start"].initial = timezone.localtime(visit.start_time)
        self.fields["end"].initial = timezone.localtime(visit.end_time)
        rows = ReservationChannel.objects.filter(OPEN, reservation=visit)
        self.fields["doors"].initial = list(rows.values_list("channel_id", flat=True))

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in ("start", "end"):
            if not values.get(name) and name not in self.errors:
                self.add_error(name, _("Write a day and a time."))
        if values.get("start") and values.get("end") and values["end"] <= values["start"]:
            self.add_error("end", _("The end must be after the start."))
        return values
