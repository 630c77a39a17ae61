"""Icons, and what only a page knows: which of its neighbours is open."""

from datetime import datetime
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import pgettext_lazy

register = template.Library()

# How days and times are written, by the English way of it.
FORMATS = {
    "D H:i": pgettext_lazy("date format", "D H:i"),
    "D j M Y": pgettext_lazy("date format", "D j M Y"),
    "D j M Y, H:i:s": pgettext_lazy("date format", "D j M Y, H:i:s"),
    "D j M, H:i": pgettext_lazy("date format", "D j M, H:i"),
    "j M": pgettext_lazy("date format", "j M"),
    "j M Y": pgettext_lazy("date format", "j M Y"),
    "j M Y, H:i": pgettext_lazy("date format", "j M Y, H:i"),
    "j M, H:i": pgettext_lazy("date format", "j M, H:i"),
    "j M, H:i:s": pgettext_lazy("date format", "j M, H:i:s"),
    "l, j F Y": pgettext_lazy("date format", "l, j F Y"),
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing from the sprite, hidden from screen readers: words stand beside it or in a label."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        static("gatehouse/icons.svg"),
        name,
    )


@register.simple_tag(takes_context=True)
def here(context: dict[str, Any], *names: str) -> str:
    """Marks the link to the page that is open."""
    match = context["request"].resolver_match
    return mark_safe('aria-current="page"') if match and match.url_name in names else ""  # constant


@register.filter
def initials(name: str) -> str:
    """Of the first and the last word; of a name without spaces its first letter."""
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


@register.filter(expects_localtime=True)
def when(moment: datetime, written: str) -> str:
    """A day or a time as it is written in the language of the reader."""
    return date_format(moment, str(FORMATS[written]))
