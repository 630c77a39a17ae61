"""What an import asks: the file, and what its columns are."""

from typing import Any

from django import forms
from openpyxl.utils import get_column_letter
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accesscontrol.visits.importing import columns, files
from accesscontrol.visits.importing.plans import Plan, plan_of, require_whole
from accounts.admin.records import RecordForm
from accounts.admin.steps import StepForm
from accounts.admin_site import staff
from accounts.refusals import Refusal
from accounts.rights import Right

_SAMPLES = 3
_LONGEST_SAMPLE = 30


class UploadForm(RecordForm):
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget({"accept": ".csv,.txt,.tsv,.xlsx"}),
        help_text="CSV of up to 100,000 rows, or Excel workbook (.xlsx) of up to 20,000; 20 MB "
        "at most. Nothing is written before you have seen what each row would do.",
    )


def _switch(label: str, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, help_text=help_text, widget=UnfoldBooleanSwitchWidget)


class ColumnsForm(StepForm):
    """A choice for each column of the file, guessed from its heading, and how the file is to be taken."""

    has_headings = _switch("The first row holds headings")
    adds_people = _switch("Add people who are not here yet", "Otherwise their rows are refused.")
    finds_by_name = _switch(
        "Find people by name, too", "Where a row has neither an id nor an e-mail address. Two of one name are refused."
    )
    creates_groups = _switch("Create groups that do not exist", "Otherwise rows that name one are refused.")
    replaces_groups = _switch("Take people out of groups that their row does not name")
    replaces_cards = _switch("Replace the card of somebody who has another one", "Otherwise the row is refused.")
    day_first = forms.ChoiceField(
        label="Dates with slashes",
        choices=[("yes", "Day first: 31/07/2026"), ("", "Month first: 07/31/2026")],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="2026-07-31 and 31.07.2026 are understood anyway.",
    )
    country_code = forms.RegexField(
        r"\A\+[1-9]\d{0,3}\Z",
        label="Country code of mobile numbers that have none",
        required=False,
        widget=UnfoldAdminTextInputWidget({"placeholder": "+49"}),
        error_messages={"invalid": "Write a country code, such as +49."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        head = files.head(self.obj)
        plan = plan_of(self.obj.plan) if self.obj.plan else None
        headed = plan.has_headings if plan else columns.have_headings(head)
        width = max((len(cells) for _, cells in head), default=0)
        headings = [*(head[0][1] if headed and head else []), *[""] * width][:width]
        guessed = (plan.columns if plan else columns.guess(headings)) + [""] * width
        asked = {
            f"column_{number}": self._column(number, headings, head[1:] if headed else head, guessed[number])
            for number in range(width)
        }
        self.fields = {**asked, **self.fields}
        self.column_names = list(asked)
        if not staff(self.request).may(Right.ACCESS_WRITE):
            del self.fields["creates_groups"]
        before = plan or Plan(has_headings=headed)
        for name in self.fields.keys() - asked.keys():
            value = getattr(before, name)
            self.initial[name] = ("yes" if value else "") if name == "day_first" else value

    def _column(self, number: int, headings: list[str], rows: list[Any], guessed: str) -> forms.ChoiceField:
        samples = [cells[number][:_LONGEST_SAMPLE] for _, cells in rows if number < len(cells) and cells[number]]
        if columns.holds_pins(headings[number]):
            told = "PINs are not taken from files: issue them in bulk afterwards."
        else:
            told = f"Such as: {' · '.join(samples[:_SAMPLES])}" if samples else "Empty in the first rows."
        return forms.ChoiceField(
            label=headings[number] or f"Column {get_column_letter(number + 1)}",
            choices=[("", "Pass over"), *((column.name, column.label) for column in columns.COLUMNS)],
            required=False,
            initial=guessed,
            help_text=told,
            widget=UnfoldAdminSelectWidget,
        )

    def asked_columns(self) -> list[Any]:
        return [self[name] for name in self.column_names]

    def asked_manner(self) -> list[Any]:
        return [self[name] for name in self.fields if name not in self.column_names]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors:
            named = {name: values[name] for name in self.fields if name not in self.column_names}
            named |= {"columns": [values[name] for name in self.column_names], "day_first": bool(values["day_first"])}
            values["plan"] = Plan(**named)
            try:
                require_whole(values["plan"])
            except Refusal as refusal:
                self.add_error(None, refusal.sentence)
        return values
