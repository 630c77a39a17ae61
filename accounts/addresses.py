"""How addresses of `/api/3` may also be written: in the singular, with `.json`, under the reference's older names."""

import re
from typing import Any

from django.urls import URLPattern, path, register_converter
from django.urls.converters import StringConverter
from django.urls.resolvers import RoutePattern, URLResolver

_NAMES = (
    "admission_requests",
    "channels",
    "credential_types",
    "credentials",
    "events",
    "group_reservations",
    "groups",
    "notification_rules",
    "reservations",
    "roles",
    "shifts",
    "sites",
)
OTHER_NAMES = {"person": "people", "door_controller": "channels", "door_controllers": "channels"}
OTHER_NAMES |= {name.removesuffix("s"): name for name in _NAMES}
_SUFFIX = re.compile(r"\.json$")


class ManySpellings(RoutePattern):
    """Resolves each spelling as the one that the table of paths has; the request keeps what was sent."""

    def match(self, path: str) -> Any:
        found = super().match(path)
        if found is None:
            return None
        rest, args, kwargs = found
        return plain(rest), args, kwargs


def plain(rest: str) -> str:
    """The one spelling of an address below `/api/3/`."""
    parts = _SUFFIX.sub("", rest).split("/")
    # Names of resources and ids take turns; what comes after the second name is a verb.
    return "/".join(
        OTHER_NAMES.get(part, part) if index % 2 == 0 and index < 3 else part for index, part in enumerate(parts)
    )


def api(route: str, module: str) -> URLResolver:
    """Like `path(route, include(module))`, for a table of paths with many spellings."""
    return URLResolver(ManySpellings(route, is_endpoint=False), module)


class AnythingConverter(StringConverter):
    """Whatever is left of an address: nothing, and a line break too."""

    regex = r"[\s\S]*"


register_converter(AnythingConverter, "anything")


def nothing_else(view: Any) -> URLPattern:
    """The last of a table of paths: every other address, so that its answer has the form of the others."""
    pattern: URLPattern = path("<anything:address>", view)
    return pattern
