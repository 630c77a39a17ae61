"""What the steps of a bulk step ask."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accesscontrol.doors.admin.choosing import DoorsField
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Group
from accesscontrol.visits.models import Batch
from accounts.admin.records import grantable_rows
from accounts.admin.steps import StepForm


class StartForm(StepForm):
    deliver = forms.ChoiceField(
        label="Send the PINs",
        choices=[("", "No, they are handed over"), ("email", "By e-mail"), ("sms", "By text message")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.obj.kind != Batch.Kind.ISSUE:
            del self.fields["deliver"]


class GroupsForm(StepForm):
    into: Any = forms.ModelMultipleChoiceField(
        None, label="Put into", required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    out_of: Any = forms.ModelMultipleChoiceField(
        None, label="Take out of", required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("into", "out_of"):
            self.fields[name].queryset = grantable_rows(self.request, Group).order_by("name")  # type: ignore[attr-defined]
            self.initial[name] = (self.obj.plan or {}).get(name, [])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if set(values.get("into", ())) & set(values.get("out_of", ())):
            self.add_error("out_of", "A group stands in both lists.")
        return values


class MoveForm(StepForm):
    way = forms.ChoiceField(
        label="Times",
        choices=[("later", "Later"), ("earlier", "Earlier")],
        widget=UnfoldAdminSelectWidget,
        help_text="From and until move alike. Leave days and hours empty to move no time.",
    )
    days = forms.IntegerField(
        label="By days", required=False, min_value=0, max_value=366, widget=UnfoldAdminTextInputWidget
    )
    hours = forms.DecimalField(
        label="And hours",
        required=False,
        min_value=0,
        max_value=24,
        decimal_places=2,
        widget=UnfoldAdminTextInputWidget,
        help_text="Half an hour is 0.5.",
    )
    doors = DoorsField(label="To these doors", help_text="Choose none and every visit keeps its doors.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        doors: Any = self.fields["doors"]
        doors.queryset = grantable_rows(self.request, Channel).select_related("site").order_by("site__name", "name")
        plan = self.obj.plan or {}
        minutes = abs(plan.get("minutes", 0))
        self.initial.update(
            {
                "way": "earlier" if plan.get("minutes", 0) < 0 else "later",
                "days": minutes // 1440 or None,
                "hours": f"{minutes % 1440 / 60:g}" if minutes % 1440 else None,
                "doors": plan.get("doors", []),
            }
        )
