"""Who is calling: keys in every form, what each scope may do, and one transaction that tells PostgreSQL for whom."""

import base64
import itertools
from datetime import timedelta
from unittest import mock

import pytest
from django.test import Client
from django.utils import timezone

from accesscontrol import api
from accounts import keys
from accounts.models import ApiKey, Tenant
from accounts.rights import OF_SCOPE, Right, StaffRole, rights_of_scopes
from tests import world
from tests.world import BY, NOW

SCOPES = sorted(OF_SCOPE)


# Every new client loads the whole chain of middleware again.
_client = Client()


def ask(path="/api/3/account", method="get", body=None, **headers):
    _client.cookies.clear()
    if method == "get":
        return _client.get(path, headers=headers)
    return getattr(_client, method)(path, body or "", "application/json", headers=headers)


def basic(key, password="x"):
    return "Basic " + base64.b64encode(f"{key}:{password}".encode()).decode()


def test_a_key_is_taken_in_every_form(acme):
    key = world.an_api_key("account.person")
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer   {key} "},
        {"Authorization": basic(key)},
        {"Authorization": basic(key, "")},
        {"Authorization": "basic " + base64.b64encode(key.encode()).decode()},
        {"Authorization": f"Token token={key}"},
        {"Authorization": f'Token token="{key}"'},
        {"Authorization": f"Token {key}"},
        {"X-API-Key": key},
    ):
        response = ask(**headers)
        assert (response.status_code, response.json().get("name")) == (200, "Acme"), headers


def test_what_is_no_key_is_nobody(acme):
    key = world.an_api_key("account.person")
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {key}x"},
        {"Authorization": f"Bearer {key[:-1]}"},
        {"Authorization": f"Bearer {key.upper()}"},
        {"Authorization": f"Bearer {key[:8]}"},
        {"Authorization": "Bearer " + "a" * 5000},
        {"Authorization": "Bearer \x00"},
        {"Authorization": "Bearer ’"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"Authorization": "Basic " + base64.b64encode(b":").decode()},
        {"Authorization": "Digest " + key},
        {"Authorization": key},
        # One header that does not hold decides: the other is not tried after it.
        {"Authorization": "Bearer nothing", "X-API-Key": key},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {key}"},
        {"Cookie": f"sessionid={key}"},
    ):
        response = ask(**headers)
        assert response.status_code == 401, headers
        assert set(response.json()) == {"error", "error_description", "request_id"}
        assert key not in response.content.decode()
    assert ask(f"/api/3/account?api_key={key}&access_token={key}").status_code == 401


def test_a_key_is_stored_as_a_keyed_digest_alone(acme):
    minted = keys.mint("test", kind=ApiKey.Kind.API, by=BY, now=NOW)
    row = ApiKey.objects.filter(pk=minted.api_key.pk).values().get()
    assert minted.value not in repr(row)
    assert minted.value not in repr(minted)
    assert row["shown_prefix"] == minted.value[:8]
    assert bytes(row["digest"]) == keys.digest(minted.value)
    with mock.patch("django.conf.settings.SECRET_KEY", "another"):
        assert keys.digest(minted.value) != bytes(row["digest"])


def test_a_key_outlives_the_change_of_the_secret_key(acme, settings):
    key = world.an_api_key("account.person")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]
    assert ask(Authorization=f"Bearer {key}").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert ask(Authorization=f"Bearer {key}").status_code == 401


def test_a_dead_key_is_nobody(acme):
    now = timezone.now()
    for value, status in ((now + timedelta(minutes=1), 200), (now, 401), (now - timedelta(days=1), 401)):
        key = keys.mint("test", kind=ApiKey.Kind.API, expires_at=value, by=BY, now=NOW)
        assert ask(Authorization=f"Bearer {key.value}").status_code == status
    live = keys.mint("test", kind=ApiKey.Kind.API, by=BY, now=NOW)
    assert ask(Authorization=f"Bearer {live.value}").status_code == 200
    keys.revoke(live.api_key, by=BY, now=NOW)
    assert ask(Authorization=f"Bearer {live.value}").status_code == 401
    other = world.an_api_key()
    Tenant.objects.filter(pk=acme.pk).update(suspended_at=NOW)
    assert ask(Authorization=f"Bearer {other}").status_code == 401


@pytest.mark.parametrize("role", list(StaffRole))
def test_a_browsers_session_is_no_way_into_the_api(acme, role):
    client = world.signed_in(world.a_member(role).user)
    for pattern in api.resources:
        if pattern.name != "schema":
            assert client.get(filled(pattern)).status_code == 401, pattern
    assert Client().get("/api/3/schema/").status_code == 200


def test_a_key_opens_no_page_of_the_admin(acme):
    key = world.an_api_key(*OF_SCOPE)
    response = ask("/admin/", Authorization=f"Bearer {key}")
    assert response.status_code == 302
    member = world.a_member(StaffRole.OWNER)
    client = world.signed_in(member.user)
    assert client.get("/admin/", headers={"Authorization": f"Bearer {key}"}).status_code != 200


# What each endpoint asks for, written down a second time: a change in a view must be meant.
ENDPOINTS = {
    ("account", "GET"): Right.ACCOUNT_READ,
    ("people", "GET"): Right.PEOPLE_READ,
    ("people", "POST"): Right.PEOPLE_WRITE,
    ("people/<id:person_id>", "GET"): Right.PEOPLE_READ,
    ("people/<id:person_id>", "PUT"): Right.PEOPLE_WRITE,
    ("people/<id:person_id>", "DELETE"): Right.PEOPLE_WRITE,
    ("people/<id:person_id>/credentials", "GET"): Right.PEOPLE_READ,
    ("people/<id:person_id>/credentials", "POST"): Right.PEOPLE_WRITE,
    ("people/<id:person_id>/credentials/<slug:public_id>", "GET"): Right.PEOPLE_READ,
    ("people/<id:person_id>/credentials/<slug:public_id>", "PUT"): Right.PEOPLE_WRITE,
    ("people/<id:person_id>/credentials/<slug:public_id>", "DELETE"): Right.PEOPLE_WRITE,
    ("people/<id:person_id>/credentials/<slug:public_id>/rotate", "POST"): Right.PEOPLE_WRITE,
    ("credentials", "GET"): Right.PEOPLE_READ,
    ("credential_types", "GET"): Right.ACCOUNT_READ,
    ("credentials", "POST"): Right.PEOPLE_WRITE,
    ("credentials/<slug:public_id>", "GET"): Right.PEOPLE_READ,
    ("visits/<str:external_id>", "GET"): Right.VISITS_READ,
    ("visits/<str:external_id>", "PUT"): Right.VISITS_WRITE,
    ("visits/<str:external_id>", "DELETE"): Right.VISITS_WRITE,
    ("group_reservations", "GET"): Right.VISITS_READ,
    ("group_reservations", "POST"): Right.VISITS_WRITE,
    ("group_reservations/<id:group_reservation_id>", "GET"): Right.VISITS_READ,
    ("group_reservations/<id:group_reservation_id>", "DELETE"): Right.VISITS_WRITE,
    ("sites", "GET"): Right.CHANNELS_READ,
    ("sites", "POST"): Right.CHANNELS_WRITE,
    ("sites/<id:site_id>", "GET"): Right.CHANNELS_READ,
    ("sites/<id:site_id>", "PUT"): Right.CHANNELS_WRITE,
    ("shifts", "GET"): Right.ACCESS_READ,
    ("shifts", "POST"): Right.ACCESS_WRITE,
    ("shifts/<id:shift_id>", "GET"): Right.ACCESS_READ,
    ("shifts/<id:shift_id>", "PUT"): Right.ACCESS_WRITE,
    ("roles", "GET"): Right.ACCESS_READ,
    ("roles", "POST"): Right.ACCESS_WRITE,
    ("roles/<id:role_id>", "GET"): Right.ACCESS_READ,
    ("roles/<id:role_id>", "PUT"): Right.ACCESS_WRITE,
    ("groups", "GET"): Right.ACCESS_READ,
    ("groups", "POST"): Right.ACCESS_WRITE,
    ("groups/<id:group_id>", "GET"): Right.ACCESS_READ,
    ("groups/<id:group_id>", "PUT"): Right.ACCESS_WRITE,
    ("reservations", "GET"): Right.VISITS_READ,
    ("reservations", "POST"): Right.VISITS_WRITE,
    ("reservations/<id:reservation_id>", "GET"): Right.VISITS_READ,
    ("reservations/<id:reservation_id>", "PUT"): Right.VISITS_WRITE,
    ("reservations/<id:reservation_id>", "DELETE"): Right.VISITS_WRITE,
    ("channels", "GET"): Right.CHANNELS_READ,
    ("channels/<id:channel_id>", "GET"): Right.CHANNELS_READ,
    ("channels/<id:channel_id>/access_attempts", "POST"): Right.DECIDE,
    ("channels/<id:channel_id>/admit", "POST"): Right.CHANNELS_ADMIT,
    ("channels/<id:channel_id>/admit_person", "POST"): Right.CHANNELS_ADMIT_PERSON,
    ("channels/<id:channel_id>/unlock", "POST"): Right.CHANNELS_ADMIT,
    ("channels/<id:channel_id>/normal", "POST"): Right.CHANNELS_ADMIT,
    ("channels/<id:channel_id>/lockdown", "POST"): Right.CHANNELS_ADMIT,
    ("channels/<id:channel_id>/unlockdown", "POST"): Right.CHANNELS_ADMIT,
    ("channels/<id:channel_id>/auto_unlock", "POST"): Right.CHANNELS_ADMIT,
    ("channels/<id:channel_id>/commands", "GET"): Right.DECIDE,
    ("channels/<id:channel_id>/commands/stream", "GET"): Right.DECIDE,
    ("channels/<id:channel_id>/commands/wait", "GET"): Right.DECIDE,
    ("channels/<id:channel_id>/commands/<id:command_id>/acknowledge", "POST"): Right.DECIDE,
    ("channels/<id:channel_id>/access_list", "GET"): Right.DECIDE,
    ("channels/<id:channel_id>/events", "POST"): Right.DECIDE,
    ("admission_requests/<id:admission_request_id>", "GET"): Right.CHANNELS_ADMIT_PERSON,
    ("events", "GET"): Right.EVENTS_READ,
    ("events/stream", "GET"): Right.EVENTS_READ,
    ("events/<id:event_id>", "GET"): Right.EVENTS_READ,
    ("sync", "POST"): Right.CHANNELS_SYNC,
    ("notification_rules", "GET"): Right.WEBHOOKS_READ,
    ("notification_rules", "POST"): Right.SETTINGS_WRITE,
    ("notification_rules/<id:rule_id>", "GET"): Right.WEBHOOKS_READ,
    ("notification_rules/<id:rule_id>", "PUT"): Right.SETTINGS_WRITE,
    ("notification_rules/<id:rule_id>", "DELETE"): Right.SETTINGS_WRITE,
    ("webhooks", "GET"): Right.WEBHOOKS_READ,
    ("webhooks", "POST"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>", "GET"): Right.WEBHOOKS_READ,
    ("webhooks/<id:webhook_id>", "PUT"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>", "DELETE"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>/messages", "GET"): Right.WEBHOOKS_READ,
    ("webhooks/<id:webhook_id>/pause", "POST"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>/replay", "POST"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>/resume", "POST"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>/rotate_secret", "POST"): Right.SETTINGS_WRITE,
    ("webhooks/<id:webhook_id>/test", "POST"): Right.SETTINGS_WRITE,
}
# Which scopes the contract names for each right.
MAY = {
    Right.ACCOUNT_READ: set(SCOPES),
    Right.PEOPLE_READ: {"account.person", "account.person.readonly"},
    Right.PEOPLE_WRITE: {"account.person"},
    Right.VISITS_READ: {
        "account.person",
        "account.person.readonly",
        "account.reservation",
        "account.reservation.readonly",
        "account.group_reservation",
        "account.group_reservation.readonly",
    },
    Right.VISITS_WRITE: {"account.person", "account.reservation", "account.group_reservation"},
    Right.ACCESS_READ: {
        "account.person",
        "account.person.readonly",
        "account.group",
        "account.group.readonly",
        "account.role",
        "account.role.readonly",
        "account.shift",
        "account.shift.readonly",
    },
    Right.ACCESS_WRITE: {"account.group", "account.role", "account.shift"},
    Right.CHANNELS_WRITE: {"account.channel", "account.site"},
    Right.CHANNELS_READ: {
        "account.channel",
        "account.site",
        "account.channel.readonly",
        "account.channel.admit",
        "account.channel.admit.person",
        "account.site.readonly",
        "account.sync",
    },
    Right.EVENTS_READ: {
        "account.event.access.readonly",
        "account.event.readonly",
        "account.event.guarding.readonly",
        "account.reports.readonly",
    },
    Right.CHANNELS_ADMIT: {"account.channel.admit"},
    Right.CHANNELS_ADMIT_PERSON: {"account.channel.admit", "account.channel.admit.person"},
    Right.DECIDE: set(),
    Right.SETTINGS_WRITE: {"account.notification_rule"},
    Right.WEBHOOKS_READ: {"account.notification_rule", "account.notification_rule.readonly"},
    Right.CHANNELS_SYNC: {"account.sync"},
}


def filled(pattern):
    route = str(pattern.pattern)
    for name in pattern.pattern.converters:
        kind = {"public_id": "slug", "external_id": "str"}.get(name, "id")
        route = route.replace(f"<{kind}:{name}>", "cred_x" if name == "public_id" else "999999999")
    assert "<" not in route
    return f"/api/3/{route}"


def endpoints():
    for pattern in api.resources:
        for method in pattern.callback.view_class.rights:
            yield str(pattern.pattern), method, pattern


def test_every_endpoint_is_in_the_table():
    found = {(route, method): p.callback.view_class.rights[method] for route, method, p in endpoints()}
    assert found == ENDPOINTS


def test_what_each_scope_may_do_at_each_endpoint(acme):
    made = {scope: world.an_api_key(scope) for scope in SCOPES}
    for scope, (route, method, pattern) in itertools.product(SCOPES, list(endpoints())):
        allowed = scope in MAY[ENDPOINTS[route, method]]
        response = ask(filled(pattern), method.lower(), "{}", Authorization=f"Bearer {made[scope]}")
        # Past the gate an empty request meets the list, a field that is missing, or nothing at this id.
        expected = (200, 404, 422) if allowed else (403,)
        assert response.status_code in expected, (scope, method, route, response.content)


def test_kinds_of_keys_do_one_thing_each(acme):
    reader, generator = world.a_reader_key(), keys.mint("g", kind=ApiKey.Kind.GENERATOR, by=BY, now=NOW)
    pair = keys.mint("s", kind=ApiKey.Kind.SIGNIN, by=BY, now=NOW)
    for minted, may in ((reader, {Right.DECIDE}), (generator, set()), (pair, set())):
        for route, method, pattern in endpoints():
            response = ask(filled(pattern), method.lower(), "{}", Authorization=f"Bearer {minted.value}")
            expected = (404, 422) if ENDPOINTS[route, method] in may else (403,)
            assert response.status_code in expected, (minted.api_key.kind, method, route)
    assert ask(Authorization=f"Bearer {pair.secret}").status_code == 401


def test_scopes_that_nobody_knows_give_nothing():
    assert rights_of_scopes(["account", "account.*", "ACCOUNT.PERSON", ""]) == {Right.ACCOUNT_READ}
    for scope in SCOPES:
        write = scope.removesuffix(".readonly")
        if write in OF_SCOPE:
            assert OF_SCOPE[write] >= OF_SCOPE[scope], "a write scope includes its read"
    assert not any(Right.DECIDE in rights for rights in OF_SCOPE.values())


def test_a_key_of_some_sites_sees_nothing_elsewhere(acme):
    here, there = world.a_site("Here"), world.a_site("There")
    door, other = world.a_door("Door", site=here), world.a_door("Other", site=there, is_visitor_door=True)
    ann = world.a_person("Ann")
    now = timezone.now()
    mine, theirs = world.a_reservation(ann, door, start=now), world.a_reservation(ann, other, start=now)
    client = world.api(world.an_api_key(*OF_SCOPE, sites=[here]))
    assert [row["id"] for row in client.get("/api/3/channels").json()] == [door.pk]
    assert [row["id"] for row in client.get("/api/3/reservations").json()] == [mine.pk]
    for method in ("get", "put", "delete"):
        response = getattr(client, method)(f"/api/3/reservations/{theirs.pk}")
        assert response.status_code == 404
    assert client.get(f"/api/3/channels/{other.pk}").status_code == 404
    body = {"person_id": ann.pk, "start_time": now.isoformat(), "end_time": (now + timedelta(hours=1)).isoformat()}
    for channel_ids in ([other.pk], [door.pk, other.pk]):
        response = client.post("/api/3/reservations", body | {"channel_ids": channel_ids}, "application/json")
        assert response.json()["codes"] == {"channel_ids": ["does_not_exist"]}
    # The visitor doors that are meant without naming any are those of these sites.
    assert client.post("/api/3/reservations", body, "application/json").json()["codes"] == {
        "channel_ids": ["no_channels"]
    }
