"""Every address of the product, filled in with the ids of what a tenant has."""

import json
import re

import pytest
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern

from accounts.tenancy import tenant_transaction
from pins.signin.urls import in_any_case
from tests.sides import _VOLATILE, UNKNOWN


def addresses(patterns=None, prefix=()):
    """Every pattern of the resolver, with the patterns on the way to it."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        way = (*prefix, pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, way)
        else:
            assert isinstance(pattern, URLPattern)
            yield way, pattern


def route_of(way):
    return "/" + "".join(str(part) for part in way)


# Addresses that are no tenant's: regular expressions cannot be filled in, so each has its example.
EXAMPLES = {
    f"/^{in_any_case('identity/v2')}(?:/[\\s\\S]*)?\\Z": "/identity/v2/auth/account",
    f"/^{in_any_case('ciam')}/[\\s\\S]*\\Z": "/ciam/appinfo",
    r"/^v1(?:/[\s\S]*)?\Z": "/v1/anything",
    r"/admin/(?P<url>.*)$": "/admin/nothing",
}
# Parameters that name no tenant's object.
# A token in an address is itself the key to what is there; tests/test_reveal.py tries those of visits.
PLAIN = {
    "app_label": "people",
    "token": "a" * 32,
    "address": "nothing.xml",
    "uidb64": "MQ",
    # Open to platform owners alone, whatever their tenant; tests/test_platform.py tries them.
    "platform_tenant_id": 1,
    "logo_version": 1,
    "invitation_token": "b" * 32,
}
# What a session opens, and nothing else does.
PAGES = (
    "/admin/",
    "/desk/",
    "/platform/",
    "/account/",
    "/sign-",
    "/start/",
    "/lock",
    "/seen/",
    "/step-up/",
    "/invitation/",
)


def models_of_admin():
    return {(model._meta.app_label, model._meta.model_name): model for model in admin.site._registry}


def fill_in(way, ids):
    """The address with these ids; None where `ids` has nothing for a parameter."""
    route = route_of(way)
    if route in EXAMPLES:
        return EXAMPLES[route]
    parts = []
    for part in way:
        if found := re.fullmatch(r"\^\(\?P<app_label>(\w+)\|.*\)/\$", str(part)):
            parts.append(f"{found[1]}/")
            continue
        if isinstance(part, RegexPattern):
            pytest.fail(f"say in EXAMPLES what {route} looks like")
        assert isinstance(part, RoutePattern)
        text = str(part)
        for name in part.converters:
            if name == "object_id":
                value = object_of(route, ids)
            elif name in PLAIN:
                value = PLAIN[name]
            elif name in ids:
                value = ids[name]
            else:
                pytest.fail(f"{route}: say in Side.ids whose id {name} is")
            text = re.sub(rf"<(?:\w+:)?{name}>", str(value), text)
        parts.append(text)
    path = "/" + "".join(parts)
    assert "<" not in path, path
    return path


def object_of(route, ids):
    """The id of an object of the model whose admin page this is."""
    found = re.search(r"/(\w+)/(\w+)/<path:object_id>", route)
    assert found, route
    model = models_of_admin()[found.groups()]
    if "tenant" not in ids:
        return UNKNOWN
    with tenant_transaction(ids["tenant"].pk):
        row = model._default_manager.order_by("pk").first()
    assert row is not None, f"make a {model.__name__} in Side"
    return row.pk


def unknown_ids(side):
    return {name: "cred_" + "z" * 20 if name == "public_id" else UNKNOWN for name in side.ids}


def ids_of(side):
    return {**side.ids, "tenant": side.tenant}


def seen(response):
    """What a caller can tell two answers by."""
    headers = {name: value for name, value in response.headers.items() if name not in _VOLATILE}
    body = b"".join(response.streaming_content) if response.streaming else response.content
    if "json" in headers.get("Content-Type", "") and body:
        parsed = json.loads(body)
        if isinstance(parsed, dict):
            parsed.pop("request_id", None)
        body = parsed
    elif "html" in headers.get("Content-Type", ""):
        # Tokens against forged requests and nonces are new in every page.
        body = re.sub(rb'(nonce|value|csrf\w*|X-CSRFToken)["\']?[=:] ?["\'][^"\']*["\']', b"", body)
        headers.pop("Content-Security-Policy", None)
    return response.status_code, headers, body


def content_of(response):
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return body.decode(errors="replace") + json.dumps(dict(response.headers.items()))


# Enough for any write to get as far as the object that it is for.
WHOLE = json.dumps(
    {
        "first_name": "Bob",
        "last_name": "Bob",
        "credential_type_id": 6,
        "value": "271828",
        "start_time": "2030-01-01T00:00:00Z",
        "end_time": "2030-01-02T00:00:00Z",
    }
)
GARBAGE = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'"x"',
    b"{",
    b"\xff\xfe\x00",
    b'{"value": "\\u0000", "first_name": "\\u0000", "person_id": 1e999, "credential_type_id": "6"}',
    b'{"person_id": 99999999999999999999999, "start_time": "0000-00-00", "end_time": [], "channel_ids": [[]]}',
    b'{"first_name": "\\ud800", "person_credential": "x", "value": {"a": []}, "attempt_id": {}}',
    b'{"start_time": "9999-12-31T23:59:59+23:59", "end_time": "0001-01-01T00:00:00", "person_id": true}',
    b"[" * 5000,
]
