"""A step of one row beyond editing: asked on a page of its own, done by POST."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.rights import Right


class StepForm(forms.Form):
    """What a step asks; without fields it only asks whether."""

    def __init__(self, *args: Any, obj: Any, request: HttpRequest, **kwargs: Any) -> None:
        self.obj, self.request = obj, request
        super().__init__(*args, **kwargs)


@dataclass(frozen=True)
class Step:
    """`method` of the admin gets request, row, the form's values and now; it answers a message or a page."""

    name: str
    title: str
    right: Right
    method: str
    ask: str
    form: type[StepForm] = StepForm
    icon: str = "arrow_forward"
    danger: bool = False
    has_button: bool = True
    template: str = "admin/step.html"
    is_possible: Callable[[Any, datetime], bool] | None = None
