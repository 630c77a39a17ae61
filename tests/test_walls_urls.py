"""Every URL, called by every kind of caller with the other tenant's ids, with ids of nothing and with garbage.

The addresses are those that the resolver knows; an address with a parameter that nobody explains here fails.
"""

import json
import re
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.test.client import MULTIPART_CONTENT
from django.urls import resolve
from django.utils import timezone

from accesscontrol import api
from accounts.models import Tenant
from accounts.tenancy import tenant_transaction
from tests import world
from tests.addresses import GARBAGE, PAGES, WHOLE, addresses, content_of, fill_in, ids_of, seen, unknown_ids
from tests.conftest import _empty
from tests.sides import CANARY, DEAD, METHODS, UNKNOWN, Side, call, client_of
from tests.test_api_document import DOCUMENT


@pytest.fixture(scope="module")
def sides(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        try:
            acme, globex, closed = world.tenants_named("Acme", CANARY, "Closed")
            # Numbers of the one must not be numbers of the other.
            with tenant_transaction(acme.pk):
                for number in range(3):
                    world.a_person(f"Acme {number}")
            made = Side(acme, "Acme"), Side(globex, CANARY), Side(closed, "Closed")
            with tenant_transaction(closed.pk):
                Tenant.objects.update(suspended_at=timezone.now())
            yield made
        finally:
            connections.close_all()
            _empty()


@pytest.fixture
def acme(sides, db):
    return sides[0]


@pytest.fixture
def globex(sides, db):
    return sides[1]


@pytest.fixture
def callers(sides, db):
    """Everybody who is not of Globex, as clients."""
    acme, _, closed = sides
    shown = {
        "full": acme.key,
        "token": acme.token,
        "readonly": acme.readonly,
        "reader": acme.reader,
        "generator": acme.generator,
        "signin": acme.signin,
        "expired": acme.old,
        "revoked": acme.revoked,
        "suspended": closed.key,
        "unknown": "ghk_" + "a" * 32,
    }
    made = {name: client_of(f"Bearer {key}") for name, key in shown.items()}
    made |= {"staff": client_of(user=acme.user), "suspended staff": client_of(user=closed.user)}
    return made | {"nobody": client_of()}


# What whoever is nobody tries where the methods of an address are not known.
DEADLY = ("get", "post", "delete")


def test_no_address_answers_with_anything_of_another_tenant(sides, callers, globex):
    for way, _ in addresses():
        path = fill_in(way, ids_of(globex))
        for name, methods in asked(path, callers):
            for method in methods:
                sid = transaction.savepoint()
                response = call(callers[name], method, path, WHOLE)
                transaction.savepoint_rollback(sid)
                told = content_of(response)
                assert response.status_code < 500, (name, method, path)
                for secret in globex.secrets:
                    assert secret not in told.replace(path, ""), (name, method, path)
                if makes_its_own(path, method):
                    assert response.status_code in (201, 401, 403), (name, method, path)
                elif path.startswith("/api/3/") and names_an_object(way) and method not in ("options", "head"):
                    assert response.status_code in (401, 403, 404, 405, 406), (name, method, path)


def makes_its_own(path, method):
    """What a caller writes under an id of its own is new here, whatever is there elsewhere."""
    return path.startswith("/api/3/visits/") and method == "put"


def names_an_object(way):
    return any(part.converters for part in way)


def asked(path, callers):
    """Who asks there, and how: keys are shown to APIs, and a session opens nothing but pages.

    What else the API says to methods that an address does not have, and to whoever is nobody, is tested below.
    """
    if path.startswith(PAGES):
        return [("staff", ("get", "post")), ("suspended staff", ("get",)), ("full", ("get",)), ("nobody", ("get",))]
    methods = has(path)
    return [(name, methods if name not in DEAD else ("get",) if methods != METHODS else DEADLY) for name in callers]


def has(path):
    """The methods that an address of the API has, with those that come with GET; all of them elsewhere."""
    view = getattr(resolve(path).func, "view_class", None)
    if view is None or not path.startswith("/api/3/") or not hasattr(view, "rights"):
        return METHODS
    found = [method.lower() for method in view.rights]
    return (*found, "head") if "get" in found else tuple(found)


def parts_of(path):
    return {part for part in path.split("/") if part.isdigit() or part.startswith("cred_")}


def test_missing_and_foreign_look_the_same(callers, globex):
    compared = 0
    for way, _ in addresses():
        theirs, nothing = fill_in(way, ids_of(globex)), fill_in(way, unknown_ids(globex))
        if theirs == nothing:
            continue
        for name, methods in asked(theirs, callers):
            if name in DEAD and name not in ("staff", "nobody"):
                continue
            for method in methods:
                if makes_its_own(theirs, method):
                    continue
                answers = []
                for path in (theirs, nothing):
                    sid = transaction.savepoint()
                    answer = repr(seen(call(callers[name], method, path, WHOLE)))
                    transaction.savepoint_rollback(sid)
                    # What was asked for may be named in the answer.
                    answers.append(re.sub(rf"\b({'|'.join(parts_of(theirs) | parts_of(nothing))})\b", "…", answer))
                assert answers[0] == answers[1], (name, method, theirs)
                compared += 1
    assert compared > 150


# Fields that end like the id of something, and are a name of the caller's own or one of a fixed few.
OWN_WORDS = {"attempt_id", "credential_type_id", "system_id"}
OF_FIELD = {"match_controller_ids": "channel_id", "credential_id": "public_id"}


def ids_in(schema, known=()):
    """The names of the fields of a body that hold ids, however deep."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from ids_in(DOCUMENT["components"]["schemas"][name], (*known, name)) if name not in known else ()
    parts = [schema["items"]] if "items" in schema else []
    for inner in (*parts, *schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from ids_in(inner, known)
    for name, inner in schema.get("properties", {}).items():
        if name.endswith(("_id", "_ids")) and name not in OWN_WORDS:
            yield name
        yield from ids_in(inner, known)


def test_ids_in_a_body_lead_to_no_other_tenant(acme, globex):
    """What a write refers to, by every field of every body: foreign and missing are refused alike."""
    start, end = timezone.now(), timezone.now() + timedelta(hours=1)
    whole = {"start_time": start.isoformat(), "end_time": end.isoformat()}
    named = {"first_name": "A", "last_name": "B"}
    own = {"person_id": acme.ids["person_id"]}
    rule = {"name": "x", "call_back_url": "https://93.184.215.14/", "match_event_codes": [11]}
    rest = {
        ("post", "credentials"): {"credential_type_id": 6, "value": "******"},
        ("post", "group_reservations"): whole | own | {"group_ids": [acme.ids["group_id"]]},
        ("post", "groups"): {"name": "x"},
        ("post", "notification_rules"): rule,
        ("put", "notification_rules/{rule_id}"): rule,
        ("post", "people"): named,
        ("post", "reservations"): whole | own,
        ("post", "roles"): {"name": "x"},
        ("put", "visits/{external_id}"): whole | named,
    }
    tried = 0
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None or not path.startswith("/api/3/"):
                continue
            fields = set(ids_in(content["schema"])) | ({"door_controller_ids"} if "/reservations" in path else set())
            for field in sorted(fields):
                kind = OF_FIELD.get(field) or field.replace("door_controller", "channel").replace("_ids", "_id")
                answers = []
                for value in (globex.ids[kind], "cred_unknown" if kind == "public_id" else UNKNOWN):
                    body = rest.get((method, path[7:]), {}) | {field: [value] if field.endswith("_ids") else value}
                    key = acme.key
                    if path.endswith("/events"):
                        told = {"id": "e", "occurred_at": whole["start_time"], "admitted": False, "reason": "lockdown"}
                        body, key = {"events": [told | body]}, acme.reader
                    client, address = client_of(f"Bearer {key}"), path.format(**acme.ids)
                    answers.append(seen(call(client, method, address, json.dumps(body))))
                assert answers[0] == answers[1], (path, field)
                # Whose a reservation is cannot be changed: there the field is not looked at.
                expected = (201,) if (method, field) == ("put", "person_id") else (400, 404, 422)
                assert answers[0][0] in expected, (path, field, answers[0])
                tried += 1
    assert tried > 25


def test_filters_with_another_tenants_ids_find_nothing(acme, globex):
    client = client_of(f"Bearer {acme.key}")
    for path, name, kind in (
        ("/api/3/events", "person_id", "person_id"),
        ("/api/3/events", "channel_id", "channel_id"),
        ("/api/3/events", "channels", "channel_id"),
        ("/api/3/reservations", "person_id", "person_id"),
        ("/api/3/channels", "site_id", "site_id"),
    ):
        answers = []
        for value in (globex.ids[kind], UNKNOWN):
            response = call(client, "get", path, query_params={name: value})
            assert response.status_code == 200
            answers.append(seen(response))
        assert answers[0] == answers[1], (path, name)
    for email in (CANARY, f"{CANARY}@example.com".lower()):
        assert call(client, "get", "/api/3/people", query_params={"email": email}).json() == []


def test_who_may_not_call_is_told_so_before_anything_else(callers, acme):
    """401 for whoever is nobody here, 403 for whoever is somebody else; never a hint whether the object exists."""
    for pattern in api.resources:
        path = "/api/3/" + fill_in((pattern.pattern,), ids_of(acme)).lstrip("/")
        rights = pattern.callback.view_class.rights
        for method in rights:
            for name in DEAD:
                response = call(callers[name], method.lower(), path, b"{}")
                assert response.status_code == 401, (name, method, path)
                assert response["WWW-Authenticate"].startswith("Bearer")
            for name in ("reader", "generator"):
                if rights[method] in ("decide", "account.read"):
                    continue
                assert call(callers[name], method.lower(), path, b"{}").status_code == 403, (name, method, path)


def test_methods_that_an_address_does_not_have_are_405(callers, acme):
    for pattern in api.resources:
        path = "/api/3/" + fill_in((pattern.pattern,), ids_of(acme)).lstrip("/")
        rights = pattern.callback.view_class.rights
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if method not in rights:
                response = call(callers["full"], method.lower(), path, b"{}")
                assert (response.status_code, response.json()["error"]) == (405, "method_not_allowed"), path


def test_garbage_is_never_an_error_of_ours(acme):
    clients = {
        "key": client_of(f"Bearer {acme.key}"),
        "reader": client_of(f"Bearer {acme.reader}"),
        "generator": client_of(f"Bearer {acme.generator}"),
    }
    for way, _ in addresses():
        path = fill_in(way, ids_of(acme))
        if path.startswith(PAGES):
            continue
        kind = "key" if path.startswith("/api/3/") else "generator"
        for name in {kind, "reader"} if path.endswith("access_attempts") else {kind}:
            for method in sorted({"get", "post", "put", "delete"} & set(has(path))):
                for body in GARBAGE[: 1 if method == "get" else None]:
                    sid = transaction.savepoint()
                    response = call(clients[name], method, path, body)
                    transaction.savepoint_rollback(sid)
                    assert response.status_code < 500, (name, method, path, body[:60], content_of(response)[:200])
                    if path.startswith("/api/3/") and not path.endswith("/") and response.status_code >= 400:
                        assert {"error", "error_description", "request_id"} <= set(response.json()), (path, body)


QUERIES = [
    "page=0&per_page=0",
    "page=99999999999999999999",
    "page=%00",
    "per_page=-1",
    "since=%00",
    "since=9999-12-31T23:59:59%2B23:59",
    "since=0001-01-01T00:00:00-23:59",
    "until=2026-02-30",
    "person_id=%D9%A1",
    "person_id=99999999999999999999",
    "channel_id=x",
    "site_id=x",
    "cursor=x",
    "cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwWiIsICI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Il0",
    "email=%00%25_",
    "system_id=%00",
    "event_codes=1,,x",
    "event_codes=99999999999",
    "channels=999999999999999999",
    "n=-5",
    "format=html",
    "sort=%00",
]


def test_garbage_in_a_query_is_never_an_error_of_ours(acme):
    staff, key = client_of(user=acme.user), client_of(f"Bearer {acme.key}")
    for way, _ in addresses():
        path = fill_in(way, ids_of(acme))
        if "logout" in path:
            continue
        # Pages are slow: all that their lists understand goes into one address.
        for query in ["&".join(QUERIES)] if path.startswith(PAGES) else QUERIES:
            sid = transaction.savepoint()
            response = call(staff if path.startswith(PAGES) else key, "get", f"{path}?{query}")
            transaction.savepoint_rollback(sid)
            assert response.status_code < 500, (path, query)


def test_forms_of_the_admin_take_garbage(acme):
    client = client_of(user=acme.user)
    for way, _ in addresses():
        path = fill_in(way, ids_of(acme))
        if not path.startswith(PAGES):
            continue
        fields = {"name": "\x00", "action": "nothing", "_selected_action": "x", "tenant_id": "9" * 40}
        sid = transaction.savepoint()
        response = call(client, "post", path, fields, content_type=MULTIPART_CONTENT)
        transaction.savepoint_rollback(sid)
        assert response.status_code < 500, path


def test_answers_to_a_key_are_not_kept_by_anybody_on_the_way(acme):
    """A shared cache in front must not hand one caller's answer to the next."""
    client = client_of(f"Bearer {acme.key}")
    for pattern in api.resources:
        path = "/api/3/" + fill_in((pattern.pattern,), ids_of(acme)).lstrip("/")
        response = call(client, "get", path)
        vary = response.headers.get("Vary", "")
        assert "no-store" in response.headers.get("Cache-Control", "") or "Authorization" in vary, path
        assert "Set-Cookie" not in response.headers, path


def test_no_answer_holds_a_pin_but_those_that_may(acme):
    client = client_of(f"Bearer {acme.key}")
    shown = set()
    for pattern in api.resources:
        path = "/api/3/" + fill_in((pattern.pattern,), ids_of(acme)).lstrip("/")
        response = call(client, "get", path)
        if f'"{acme.pin}"' in content_of(response):
            shown.add(str(pattern.pattern))
            assert response["Cache-Control"] == "no-store"
    assert shown == {
        "people/<id:person_id>/credentials",
        "people/<id:person_id>/credentials/<slug:public_id>",
        "credentials/<slug:public_id>",
    }
