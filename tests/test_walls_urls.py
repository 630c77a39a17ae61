"""Every URL, called by every kind of caller with the other tenant's ids, with ids of nothing and with garbage.

The addresses are those that the resolver knows; an address with a parameter that nobody explains here fails.
"""

import json
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection, connections, transaction
from django.test import Client
from django.test.client import MULTIPART_CONTENT
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern
from django.utils import timezone

from accesscontrol import api
from accesscontrol.access import attempts, commands
from accesscontrol.access.models import Alarm, AlarmRecipient, PatternRules
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Holiday, Shift, SiteHours
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits import batches, group_reserving
from accesscontrol.visits.importing import checking, files
from accesscontrol.visits.importing.plans import Plan
from accesscontrol.webhooks import rules, subscribing
from accounts import keys
from accounts.models import ApiKey, Tenant
from accounts.rights import OF_SCOPE, StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries import queueing
from pins.signin.models import SignInSettings
from pins.signin.staff import inviting
from pins.signin.staff.models import StaffSettings
from pins.signin.urls import in_any_case
from tests import world
from tests.conftest import _empty
from tests.test_api_document import DOCUMENT
from tests.world import BY

UNKNOWN = 999_999_999
CANARY = "Kanarienvogel"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
# Volatile in any answer, and no news to the caller.
_VOLATILE = {
    "Content-Length",
    "Expires",
    "Set-Cookie",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
}


class Side:
    """One tenant with an object for every parameter of an address; every name in it contains `mark`."""

    def __init__(self, tenant, mark):
        self.tenant, self.mark = tenant, mark
        now = timezone.now()
        with tenant_transaction(tenant.pk):
            site = world.a_site(f"{mark} site", notes=mark, address=mark)
            front = world.a_door(f"{mark} door", site=site, is_visitor_door=True)
            shift = Shift.objects.create(name=f"{mark} shift")
            SiteHours.objects.create(site=site, shift=shift)
            Holiday.objects.create(site=site, name=mark, first_day=now.date(), last_day=now.date())
            role = world.a_role(f"{mark} role", front, shift=shift, now=now)
            group = world.a_group(f"{mark} group", role, now=now)
            person = world.a_person(mark, now=now, last_name=mark, email=f"{mark}@example.com".lower(), notes=mark)
            issued = world.a_pin(person, now=now)
            booking = f"booking-{tenant.pk}"
            reservation = world.a_reservation(person, front, start=now, now=now, details={"external_id": booking})
            party = GroupVisit.objects.create(name=f"{mark} party")
            Reservation.objects.filter(pk=reservation.pk).update(group=party)
            grouped = group_reserving.reserve(
                person, [group], start_time=now, end_time=now + timedelta(days=1), by=BY, now=now
            )
            event = attempts.attempt(front.pk, issued.value, type=CredentialType.PIN, now=now).event_id
            command = commands.admit(front, by=BY, now=now)
            alarm = Alarm.objects.create(kind="guessing", site=site, channel=front, raised_at=now)
            batch = batches.choose("issue", Person.objects.filter(pk=person.pk), by=BY, now=now)
            source = files.upload(f"{mark}.csv", f"Name\n{mark}".encode(), by=BY, now=now)
            files.check(source, Plan(columns=["name"]), by=BY, now=now)
            while checking.work(now):
                pass
            AlarmRecipient.objects.create(name=mark, address=f"{mark}@example.com", site=site)
            delivery = queueing.queue(
                medium="email",
                address=f"{mark}@example.com",
                template="pin",
                language="en",
                context={},
                about=[("person", person.pk)],
                now=now,
            )
            hook = subscribing.subscribe(
                mark, f"https://{mark}.example/".lower(), kinds=["person"], form="standard", by=BY, now=now
            ).subscription
            subscribing.test(hook, by=BY, now=now)
            rule = rules.make(
                mark,
                f"https://{mark}.example/rule".lower(),
                event_codes=[11],
                channel_ids=[front.pk],
                is_active=True,
                by=BY,
                now=now,
            ).subscription
            SignInSettings.objects.create(security_questions=[mark])
            world.a_subscriber(mark, pin="805294", email=f"{mark}@app.example".lower(), first_name=mark, now=now)
            StaffSettings.objects.create()
            PatternRules.objects.create()
            inviting.invite(f"{mark}@new.example", StaffRole.HOST, name=mark, sites=[site], by=BY, now=now)
            member = world.a_member(StaffRole.OWNER, f"{mark}@staff.example".lower(), now=now)
            world.a_staff_pin(member)
            self.user, self.token = member.user, world.a_token(member, *OF_SCOPE, now=now)
            full = keys.mint(
                mark, kind=ApiKey.Kind.API, scopes=list(OF_SCOPE), requests_per_minute=1_000_000, by=BY, now=now
            )
            self.key, self.reader = full.value, world.a_reader_key(front, now=now).value
            self.generator = keys.mint(mark, kind=ApiKey.Kind.GENERATOR, by=BY, now=now).value
            self.readonly = world.an_api_key(
                "account.person.readonly", "account.channel.readonly", "account.event.access.readonly", now=now
            )
            self.signin = keys.mint(mark, kind=ApiKey.Kind.SIGNIN, by=BY, now=now).value
            self.old = keys.mint(
                mark, kind=ApiKey.Kind.API, scopes=["account.person"], expires_at=now, by=BY, now=now
            ).value
            revoked = keys.mint(mark, kind=ApiKey.Kind.API, scopes=["account.person"], by=BY, now=now)
            keys.revoke(revoked.api_key, by=BY, now=now)
            self.revoked, self.pin = revoked.value, issued.value
        self.secrets = (issued.credential.public_id, mark)
        self.ids = {
            "person_id": person.pk,
            "public_id": issued.credential.public_id,
            "reservation_id": reservation.pk,
            "channel_id": front.pk,
            "command_id": command.pk,
            "admission_request_id": command.pk,
            "event_id": event,
            "group_id": group.pk,
            "role_id": role.pk,
            "shift_id": shift.pk,
            "site_id": site.pk,
            "group_reservation_id": grouped.pk,
            "external_id": booking,
            "alarm_id": alarm.pk,
            "delivery_id": delivery.pk,
            "batch_id": batch.pk,
            "import_id": source.pk,
            "group_visit_id": party.pk,
            "webhook_id": hook.pk,
            "rule_id": rule.pk,
        }


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


DEAD = ("nobody", "expired", "revoked", "suspended", "unknown", "staff", "suspended staff")


# Every new client loads the whole chain of middleware again.
_handler = Client(raise_request_exception=False).handler


def client_of(authorization="", user=None):
    client = Client(raise_request_exception=False, headers={"Authorization": authorization} if authorization else {})
    client.handler = _handler
    if user is not None:
        client.force_login(user)
        world.open_screen(client, user)
    client.brings = client.cookies.copy()
    return client


def call(client, method, path, body=None, **options):
    """One request as if on a connection of its own: here the requests of a test share one transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant_id', '', true)")
    client.cookies = client.brings.copy()
    if method in ("get", "head", "options"):
        return getattr(client, method)(path, **options)
    options.setdefault("content_type", "application/json")
    return getattr(client, method)(path, data=body if body is not None else "", **options)


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
    "content_type_id": 1,
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
    if "content_type_id" in route:
        return ids["person_id"]
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
    """Who asks there, and how: keys are shown to APIs, and a session opens nothing but pages."""
    if path.startswith(PAGES):
        return [("staff", ("get", "post")), ("suspended staff", ("get",)), ("full", ("get",)), ("nobody", ("get",))]
    return [(name, ("get", "post", "delete") if name in DEAD else METHODS) for name in callers]


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
            for method in ("get", "post", "put", "delete"):
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
