from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from accesscontrol.access.models import PATTERN_BOUNDS, Alarm, PatternRules
from accesscontrol.access.patterns.wording import LABELS, sentence
from accounts.admin.only_row import OnlyRowAdmin
from accounts.admin.records import RecordForm
from accounts.rights import Right

_SWITCHES = [kind for kind in Alarm.Kind if hasattr(PatternRules, kind.value)]


class PatternRulesForm(RecordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (least, most) in PATTERN_BOUNDS.items():
            field = self.fields.get(name)
            if isinstance(field, forms.IntegerField):
                field.label, field.help_text = LABELS[name], f"{least:,} to {most:,}."
                field.min_value, field.max_value = least, most
                field.widget.attrs |= {"min": least, "max": most}

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        for name, (least, most) in PATTERN_BOUNDS.items():
            number = values.get(name)
            if number is not None and not least <= number <= most:
                self.add_error(name, f"Write a number from {least:,} to {most:,}.")
        return values


@admin.register(PatternRules)
class PatternRulesAdmin(OnlyRowAdmin):
    """What is called suspicious, in plain words: one page, no list."""

    form = PatternRulesForm
    rights = {"view": Right.SETTINGS_WRITE, "change": Right.SETTINGS_WRITE}

    def get_fieldsets(self, request: HttpRequest, obj: PatternRules | None = None) -> Any:
        rules = obj or PatternRules()
        return [
            (
                kind.label,
                {
                    "fields": (kind.value, *(name for name in PATTERN_BOUNDS if name.startswith(f"{kind.value}_"))),
                    "description": sentence(kind, rules),
                },
            )
            for kind in _SWITCHES
        ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in {kind.value for kind in _SWITCHES}:
            field.label = "Look for this"
        return field
