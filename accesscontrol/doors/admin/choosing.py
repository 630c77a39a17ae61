"""Choosing doors on a form, without touching those that the caller may not know of."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accesscontrol.doors.models import Channel
from accounts.admin.records import RecordForm, grantable_rows


class DoorsField(forms.ModelMultipleChoiceField[Channel]):
    """Doors of the caller's sites, each named with its site."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def __init__(self, *, help_text: str = "", label: str = "Doors") -> None:
        super().__init__(None, required=False, help_text=help_text, label=label)

    def label_from_instance(self, door: Any) -> str:
        return f"{door.name} ({door.site.name})"


def offer(form: RecordForm, name: str, model: type[Any], *related: str, within: QuerySet[Any] | None = None) -> None:
    """Let a field of a form choose among the rows that the caller may give, `within` narrows them."""
    if name in form.fields:
        rows = grantable_rows(form.request, model)
        if within is not None:
            rows = rows.filter(pk__in=within.values("pk"))
        form.fields[name].queryset = rows.select_related(*related).order_by(*related, "name")  # type: ignore[attr-defined]


def with_hidden(form: RecordForm, name: str, current: QuerySet[Any]) -> list[Any]:
    """What was chosen, and what the row has elsewhere: the form cannot show it, so it must not take it away."""
    shown = form.fields[name].queryset  # type: ignore[attr-defined]
    return [*form.cleaned_data[name], *current.exclude(pk__in=shown.order_by().values("pk"))]


def some_of(names: list[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more or "None"
