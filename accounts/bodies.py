"""What is sent in a body: a text is a text and a number is a number; nothing is taken for what it might have meant."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

_WORDS = {
    "text": "Write a text, in quotation marks.",
    "number": "Write a whole number, without quotation marks.",
    "truth": "Write true or false.",
    "list": "Write a list.",
    "choice": "This is not one of the choices.",
}
_CODES = {"choice": "invalid_choice"}


class Body(serializers.Serializer[Any]):
    """The fields of a request. Unknown names are ignored, as the contract's clients need."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            sent = {name: (field, data[name]) for name, field in self.fields.items() if data.get(name) is not None}
            kinds = {name: _mistaken(field, value) for name, (field, value) in sent.items()}
            wrong = {
                name: [ErrorDetail(_WORDS[kind], _CODES.get(kind, "invalid"))] for name, kind in kinds.items() if kind
            }
            if wrong:
                raise ValidationError(wrong)
        return super().to_internal_value(data)


def _mistaken(field: serializers.Field[Any, Any, Any, Any], value: Any) -> str | None:
    """What should have been written, where the value is of another kind than the field."""
    if isinstance(field, serializers.ListField):
        if not isinstance(value, list):
            return "list"
        return next((kind for kind in (_mistaken(field.child, each) for each in value) if kind), None)
    if isinstance(field, serializers.ChoiceField):
        return None if any(value == key and type(value) is type(key) for key in _plain(field)) else "choice"
    if isinstance(field, serializers.BooleanField):
        return None if isinstance(value, bool) else "truth"
    if isinstance(field, serializers.IntegerField):
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return None if is_whole and not isinstance(value, bool) else "number"
    texts = (serializers.CharField, serializers.DateTimeField, serializers.DateField, serializers.TimeField)
    return "text" if isinstance(field, texts) and not isinstance(value, str) else None


def _plain(field: serializers.ChoiceField) -> list[Any]:
    """The choices as JSON has them: members of enumerations are the texts and numbers that they stand for."""
    return [str(key) if isinstance(key, str) else int(key) for key in field.choices]
