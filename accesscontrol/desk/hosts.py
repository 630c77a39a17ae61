"""Whom a visitor comes to see: a member of staff, or a name that the desk writes down."""

from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership

MOST = 300


class HostInput(forms.TextInput):
    """A line with the names of the staff beneath it."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        line = super().render(name, value, {**(attrs or {}), "list": f"{name}_names"}, renderer)
        names = format_html_join("", '<option value="{}">', ((written(member),) for member in staff()))
        return format_html('{}<datalist id="{}_names">{}</datalist>', line, name, names)


class HostField(forms.CharField):
    """Cleaned to (member, "") for staff and to (None, name) for anybody else."""

    widget = HostInput

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=120, **options)
        self.widget.attrs["autocomplete"] = "off"

    def clean(self, value: Any) -> tuple[Membership | None, str] | None:
        text: str = super().clean(value)
        if not text:
            return None
        wanted = text.casefold()
        found = [member for member in staff() if wanted in (written(member).casefold(), member.user.email)]
        if not found:
            found = [member for member in staff() if member.user.name.casefold() == wanted]
        if len(found) > 1:
            raise forms.ValidationError(_("Several people have this name: choose one from the list."))
        return (found[0], "") if found else (None, text)


def staff() -> list[Membership]:
    """Everybody with a place here, by name."""
    members = Membership.objects.filter(ended_at=None, user__is_active=True).select_related("user")
    return list(members.order_by("user__name", "user__email")[:MOST])


def written(member: Membership) -> str:
    """Name and address, so that two of one name are told apart."""
    return f"{member.user.name} ({member.user.email})" if member.user.name else member.user.email
