"""The guide's calls as an integration makes them, and what it gets when something is wrong."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access.models import Event
from accesscontrol.credentials.models import Credential
from accounts.models import AuditEvent
from tests import world

JSON = "application/json"


@pytest.fixture
def site(acme):
    return world.a_site()


@pytest.fixture
def front(site):
    return world.a_door("Front Door", site=site, is_visitor_door=True)


@pytest.fixture
def lab(site):
    return world.a_door("Lab", site=site)


@pytest.fixture
def api(front):
    return world.api(world.an_api_key())


@pytest.fixture
def reader(front, lab):
    return world.api(world.a_reader_key(front, lab).value)


def post(api, path, body, **headers):
    return api.post(f"/api/3/{path}", body, content_type=JSON, headers=headers or None)


def put(api, path, body):
    return api.put(f"/api/3/{path}", body, content_type=JSON)


def a_person(api, **values):
    answer = post(api, "people", {"first_name": "Ann", "last_name": "Arbor", "email": "ann@example.com"} | values)
    assert answer.status_code == 201, answer.content
    return answer.json()


def a_pin(api, person, value="******", **values):
    body = {"person_credential": {"credential_type_id": 6, "value": value, "enabled": True} | values}
    return post(api, f"people/{person['id']}/credentials", body)


def try_pin(reader, channel, value, **values):
    return post(reader, f"channels/{channel.pk}/access_attempts", {"value": value} | values).json()


def reserve(api, person, *, hours=1, start=None, **values):
    start = start or timezone.now() - timedelta(minutes=1)
    body = {
        "person_id": person["id"],
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(hours=hours)).isoformat(),
    }
    return post(api, "reservations", body | values)


def test_the_whole_guide(api, reader, front, lab, time_machine):
    person = a_person(api)
    assert person["first_name"] == "Ann"
    assert person["groups"] == []

    issued = a_pin(api, person)
    assert issued.status_code == 201
    credential = issued.json()
    assert re.fullmatch(r"[0-9]{4,8}", credential["value"])
    assert credential["id"].startswith("cred_")
    assert credential["credential_type_id"] == 6
    assert credential["enabled"] is True
    assert credential["person_id"] == person["id"]
    assert credential["created_at"].endswith("Z")
    assert issued["Cache-Control"] == "no-store"

    listed = api.get(f"/api/3/people/{person['id']}/credentials").json()
    assert [row["value"] for row in listed] == [credential["value"]]

    pin = credential["value"]
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    reservation = reserve(api, person)
    assert reservation.status_code == 201
    assert reservation.json()["channel_ids"] == [front.pk]

    admitted = try_pin(reader, front, pin)
    assert admitted["decision"] == "admitted"
    assert admitted["release_seconds"] == 5
    assert admitted["person"] == {"id": person["id"], "name": "Ann Arbor"}
    assert try_pin(reader, lab, pin) == {
        "decision": "rejected",
        "event_id": admitted["event_id"] + 1,
        "retry_after": None,
    }

    events = api.get(f"/api/3/events?person_id={person['id']}").json()["events"]
    assert {event["event_type"] for event in events} == {"access_granted", "access_denied"}
    granted = next(event for event in events if event["event_type"] == "access_granted")
    assert granted["credential_id"] == credential["id"]
    assert granted["credential_type"] == "PIN"
    assert granted["channel_name"] == "Front Door"
    assert granted["event_code"] == 11
    assert granted["timestamp"].endswith("Z")
    assert granted["credentials_number"] is None

    disabled = put(
        api, f"people/{person['id']}/credentials/{credential['id']}", {"person_credential": {"enabled": False}}
    )
    assert disabled.status_code == 201
    assert disabled.json()["enabled"] is False
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    put(api, f"people/{person['id']}/credentials/{credential['id']}", {"enabled": True})
    assert try_pin(reader, front, pin)["decision"] == "admitted"

    deleted = api.delete(f"/api/3/people/{person['id']}/credentials/{credential['id']}")
    assert deleted.status_code == 200
    assert deleted["Content-Type"].startswith("text/plain")
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    reasons = list(Event.objects.order_by("id").values_list("reason", flat=True))
    assert reasons == ["unauthorized", "", "unauthorized", "credential_not_enabled", "", "invalid_pin"]


def test_a_pin_stops_at_end_time_to_the_second(api, reader, front, time_machine):
    start = timezone.now().replace(microsecond=0)
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    reserve(api, person, start=start, hours=1)
    time_machine.move_to(start - timedelta(seconds=1), tick=False)
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    time_machine.move_to(start, tick=False)
    assert try_pin(reader, front, pin)["decision"] == "admitted"
    time_machine.move_to(start + timedelta(minutes=59, seconds=59), tick=False)
    assert try_pin(reader, front, pin)["decision"] == "admitted"
    time_machine.move_to(start + timedelta(hours=1), tick=False)
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert Event.objects.order_by("-id").first().reason == "credential_expired"


@pytest.mark.parametrize("value", ["1234", "0123", "5678", "012345", "98765432"])
def test_weak_chosen_pins_are_accepted_with_a_warning(api, value):
    answer = a_pin(api, a_person(api), value)
    assert answer.status_code == 201
    assert answer.json()["value"] == value
    assert "too easy to guess" in answer.json()["warnings"][0]


def test_weak_chosen_pins_are_refused_where_the_tenant_wants_that(api, acme):
    type(acme).objects.filter(pk=acme.pk).update(weak_chosen_pins="refuse")
    answer = a_pin(api, a_person(api), "1234")
    assert answer.status_code == 422
    assert "too easy to guess" in answer.json()["errors"]["value"][0]
    assert answer.json()["codes"]["value"] == ["too_easy_to_guess"]


@pytest.mark.parametrize(
    "value", ["", "abcd", "12 34", "123", "123456789", "１２３４", "12345\x00", None, 1234, [], {}, True, "*****"]
)
def test_malformed_pins_name_the_field(api, value):
    answer = a_pin(api, a_person(api), value)
    assert answer.status_code == 422
    assert "value" in answer.json()["errors"]
    assert not Credential.objects.exists()


def test_the_flat_body_works_too(api):
    person = a_person(api)
    answer = post(
        api, f"people/{person['id']}/credentials", {"credential_type_id": 6, "value": "******", "enabled": True}
    )
    assert answer.status_code == 201


def test_one_credential_of_a_type(api):
    person = a_person(api)
    first = a_pin(api, person).json()
    second = a_pin(api, person)
    assert second.status_code == 409
    assert second.json()["id"] == first["id"]
    assert "value" not in second.json()


def test_a_pin_that_somebody_has_is_not_available(api):
    a_pin(api, a_person(api), "83951642")
    answer = a_pin(api, a_person(api, email="bob@example.com"), "83951642")
    assert answer.status_code == 422
    assert answer.json()["codes"]["value"] == ["not_available"]
    assert "in use" not in answer.content.decode()


def test_after_fifty_refusals_choosing_is_429_and_generating_is_not(api, settings):
    settings.CHOSEN_PIN_REFUSALS_PER_HOUR = 5
    a_pin(api, a_person(api), "83951642")
    bob = a_person(api)
    answers = [a_pin(api, bob, "83951642").status_code for _ in range(6)]
    assert answers == [422] * 5 + [429]
    refused = a_pin(api, bob, "77310465")
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert a_pin(api, bob).status_code == 201


def test_the_value_cannot_be_changed(api):
    person = a_person(api)
    credential = a_pin(api, person).json()
    path = f"people/{person['id']}/credentials/{credential['id']}"
    same = put(api, path, {"person_credential": {"value": credential["value"], "enabled": False}})
    assert same.status_code == 201
    assert same.json()["enabled"] is False
    other = put(api, path, {"person_credential": {"value": "83951642"}})
    assert other.status_code == 422
    assert "delete" in other.json()["errors"]["value"][0]


def test_pin_values_are_nowhere_else(api, front, reader):
    person = a_person(api)
    pin = a_pin(api, person, "83951642").json()["value"]
    reserve(api, person)
    try_pin(reader, front, pin)
    for path in ("people", f"people/{person['id']}", "credentials", "events", f"events?person_id={person['id']}"):
        assert pin not in api.get(f"/api/3/{path}").content.decode(), path
    assert "value" not in api.get("/api/3/credentials").json()[0]


def test_reads_that_show_a_value_are_audited_and_not_stored(api):
    person = a_person(api)
    credential = a_pin(api, person).json()
    before = AuditEvent.objects.filter(verb="reveal").count()
    for path in (f"people/{person['id']}/credentials", f"people/{person['id']}/credentials/{credential['id']}"):
        answer = api.get(f"/api/3/{path}")
        assert answer["Cache-Control"] == "no-store"
    assert AuditEvent.objects.filter(verb="reveal").count() == before + 2


def test_a_past_period_answers_201_and_grants_nothing(api, reader, front):
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    body = {"person_id": person["id"], "start_time": "2024-01-15T09:00:00Z", "end_time": "2024-01-15T17:00:00Z"}
    assert post(api, "reservations", body).status_code == 201
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert api.get("/api/3/reservations").json() == []


def test_reservations_without_a_visitor_door_are_refused(api, front):
    type(front).objects.filter(pk=front.pk).update(is_visitor_door=False)
    answer = reserve(api, a_person(api))
    assert answer.status_code == 422
    assert "channel_ids" in answer.json()["errors"]


def test_a_reservation_is_moved_extended_and_cancelled(api, reader, front, lab):
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    reservation = reserve(api, person, hours=1).json()
    path = f"reservations/{reservation['id']}"
    moved = put(api, path, {"channel_ids": [lab.pk], "end_time": (timezone.now() + timedelta(days=2)).isoformat()})
    assert moved.status_code == 201
    assert moved.json()["channel_ids"] == [lab.pk]
    assert moved.json()["start_time"] == reservation["start_time"]
    assert try_pin(reader, lab, pin)["decision"] == "admitted"
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert api.delete(f"/api/3/{path}").json() == {"result": "ok"}
    assert try_pin(reader, lab, pin)["decision"] == "rejected"
    assert api.get(f"/api/3/{path}").status_code == 404


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("2027-01-01T10:00:00Z", "2027-01-01T10:00:00Z", "end_time"),
        ("2027-01-01T10:00:00Z", "2027-01-01T09:00:00Z", "end_time"),
        ("yesterday", "2027-01-01T09:00:00Z", "start_time"),
        ("2027-02-30T10:00:00Z", "2027-03-01T09:00:00Z", "start_time"),
        ("2027-03-28T02:30:00", "2027-03-28T09:00:00", "start_time"),
        ("2027-10-31T02:30:00", "2027-10-31T09:00:00", "start_time"),
        (1767225600, "2027-01-01T09:00:00Z", "start_time"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "start_time"),
    ],
)
def test_periods_that_cannot_be_are_refused(api, start, end, field):
    answer = post(api, "reservations", {"person_id": a_person(api)["id"], "start_time": start, "end_time": end})
    assert answer.status_code == 422
    assert field in answer.json()["errors"]


def test_times_without_offset_are_the_accounts(api):
    body = {"person_id": a_person(api)["id"], "start_time": "2027-07-01T09:00:00", "end_time": "2027-07-01T10:00:00"}
    answer = post(api, "reservations", body).json()
    assert answer["start_time"] == "2027-07-01T07:00:00.000Z"


def test_unknown_ids_in_a_body_name_their_field(api):
    person = a_person(api)
    times = {"start_time": "2027-07-01T09:00:00Z", "end_time": "2027-07-01T10:00:00Z"}
    for body, field in (
        ({"person_id": 99999999}, "person_id"),
        ({"person_id": 10**30}, "person_id"),
        ({"person_id": person["id"], "channel_ids": [99999999]}, "channel_ids"),
        ({"person_id": person["id"], "channel_ids": [10**30]}, "channel_ids"),
        ({"person_id": person["id"], "channel_ids": []}, "channel_ids"),
        ({"person_id": person["id"], "shift_id": 99999999}, "shift_id"),
        ({"person_id": person["id"], "channel_ids": "all"}, "channel_ids"),
    ):
        answer = post(api, "reservations", body | times)
        assert answer.status_code == 422, body
        assert field in answer.json()["errors"], answer.json()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"first_name": "\\ud800"}',
        b'{"first_name": NaN}',
        b'{"first_name": ' + b"9" * 5000 + b"}",
        b"",
    ],
)
def test_bodies_that_are_no_json_object(api, body):
    answer = api.generic("POST", "/api/3/people", body, content_type=JSON)
    assert answer.status_code in (400, 422), answer.content
    assert set(answer.json()) >= {"error", "error_description", "request_id"}


@pytest.mark.parametrize(
    "values",
    [
        {"first_name": ""},
        {"first_name": "a\x00b"},
        {"first_name": "a\nBcc: b"},
        {"first_name": "x" * 200},
        {"first_name": ["x"]},
        {"email": "nobody"},
        {"mobile": "0301234"},
        {"valid_from": "2027-02-01", "valid_to": "x"},
        {"valid_from": "2027-02-01T00:00:00Z", "valid_to": "2027-01-01T00:00:00Z"},
        {"enabled": "perhaps"},
        {"group_ids": [1]},
        {"role_ids": [10**20]},
    ],
)
def test_people_that_cannot_be(api, values):
    answer = post(api, "people", {"first_name": "Ann"} | values)
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert api.get("/api/3/people").json() == []


def test_unknown_keys_are_ignored_and_null_empties(api):
    person = a_person(api, firstName="Ann", unknown={"a": 1}, notes="careful")
    changed = put(api, f"people/{person['id']}", {"notes": None, "lastName": "x"})
    assert changed.status_code == 201
    assert changed.json()["notes"] == ""
    assert changed.json()["last_name"] == "Arbor"


def test_a_deleted_person_opens_nothing(api, reader, front):
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    reserve(api, person)
    assert try_pin(reader, front, pin)["decision"] == "admitted"
    assert api.delete(f"/api/3/people/{person['id']}").json() == {"result": "ok"}
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert api.get(f"/api/3/people/{person['id']}").status_code == 404
    assert api.get("/api/3/reservations").json() == []


def test_lists_are_paged_with_both_spellings(api):
    for number in range(3):
        a_person(api, first_name=f"P{number}")
    answer = api.get("/api/3/people?per_page=2&page=2")
    assert [person["first_name"] for person in answer.json()] == ["P2"]
    for name, value in {
        "Total": "3",
        "Per-Page": "2",
        "X-Page": "2",
        "X-Per-Page": "2",
        "X-Total-Results": "3",
    }.items():
        assert answer[name] == value
    assert api.get("/api/3/people?per_page=x").status_code == 422
    assert api.get("/api/3/people?page=-1").status_code == 422
    assert api.get("/api/3/people?page=99999").json() == []


def test_events_follow_a_cursor(api, reader, front):
    for _ in range(5):
        try_pin(reader, front, "")
    first = api.get("/api/3/events?n=2")
    assert len(first.json()) == 2
    link = re.match(r'<([^>]+)>; rel="next"', first["Link"])[1]
    second = api.get(link)
    assert len(second.json()) == 2
    third = api.get(re.match(r'<([^>]+)>; rel="next"', second["Link"])[1])
    assert "Link" not in third
    ids = [event["id"] for answer in (first, second, third) for event in answer.json()]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 5
    assert api.get("/api/3/events?cursor=nonsense").status_code == 422
    assert api.get("/api/3/events?event_codes=10,11,99").status_code == 400
    assert api.get("/api/3/events?since=yesterday").status_code == 422
    assert len(api.get("/api/3/events?event_codes=10%2C11%2C24").json()) == 5
    assert api.get(f"/api/3/events?channel_id={front.pk + 1}").json() == []
    assert api.get("/api/3/events?envelope=true").json().keys() == {"events"}


def test_an_idempotency_key_does_a_write_once(api):
    key = {"Idempotency-Key": "order-17"}
    first = post(api, "people", {"first_name": "Ann"}, **key)
    again = post(api, "people", {"first_name": "Ann"}, **key)
    assert again.json() == first.json()
    assert again.status_code == 201
    assert len(api.get("/api/3/people").json()) == 1
    other = post(api, "people", {"first_name": "Bob"}, **key)
    assert other.status_code == 409

    path = f"people/{first.json()['id']}/credentials"
    body = {"credential_type_id": 6, "value": "******"}
    issued = post(api, path, body, **{"Idempotency-Key": "pin-17"})
    replay = post(api, path, body, **{"Idempotency-Key": "pin-17"})
    assert issued.status_code == replay.status_code == 201
    assert replay.json()["value"] == issued.json()["value"]
    assert replay["Idempotent-Replay"] == "true"
    assert replay["Cache-Control"] == "no-store"


def test_a_kept_answer_holds_no_pin(api):
    from accounts.models import IdempotentAnswer

    person = a_person(api)
    body = {"credential_type_id": 6, "value": "83951642"}
    post(api, f"people/{person['id']}/credentials", body, **{"Idempotency-Key": "k"})
    assert "83951642" not in str(IdempotentAnswer.objects.values())


def test_credential_types_are_the_contracts(api):
    assert api.get("/api/3/credential_types").json() == [
        {"id": 5, "label": "Card", "slug": "credentials_number", "code": 200},
        {"id": 6, "label": "PIN", "slug": "pin", "code": 10},
    ]


def test_account_and_channels(api, acme, front):
    account = api.get("/api/3/account").json()
    assert (account["id"], account["name"], account["time_zone"]) == (acme.slug, "Acme", "Europe/Berlin")
    assert account["user"] is None
    [channel] = api.get("/api/3/channels").json()
    assert channel["name"] == "Front Door"
    assert api.get(f"/api/3/channels/{front.pk}").json() == channel


def test_errors_have_the_contracts_shape(api, client):
    missing = api.get("/api/3/people/99999999")
    assert missing.status_code == 404
    assert missing.json().keys() == {"error", "error_description", "request_id"}
    assert missing.json()["error"] == "not_found"
    assert client.get("/api/3/people").json()["error"] == "unauthorized"
    assert world.api("ghk_wrong").get("/api/3/people").json()["error"] == "invalid_token"
    assert api.patch("/api/3/people").status_code == 405
    assert api.get("/api/3/people", headers={"Accept": "text/html"}).status_code == 406
    assert api.post("/api/3/people", {"first_name": "x"}).status_code == 415


def test_a_repeated_deletion_is_answered_as_the_first(api):
    person = a_person(api)
    credential = a_pin(api, person).json()
    path = f"/api/3/people/{person['id']}/credentials/{credential['id']}"
    answers = [api.delete(path, headers={"Idempotency-Key": "gone"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert api.delete(path).status_code == 404


def test_a_caller_of_one_site_finds_nothing_of_another(acme, front):
    from accounts.models import Site

    other = world.a_site("Warehouse")
    far = world.a_door("Gate", site=other)
    key = world.an_api_key(sites=[other])
    limited, everywhere = world.api(key), world.api(world.an_api_key())
    here = a_person(everywhere, first_name="Everywhere")
    theirs = world.a_person("Theirs", site=Site.objects.get(pk=front.site_id))
    assert [person["id"] for person in limited.get("/api/3/people").json()] == [here["id"]]
    assert limited.get(f"/api/3/people/{theirs.pk}").status_code == 404
    assert limited.get(f"/api/3/people/{theirs.pk}/credentials").status_code == 404
    assert [channel["id"] for channel in limited.get("/api/3/channels").json()] == [far.pk]
    assert limited.get(f"/api/3/channels/{front.pk}").status_code == 404
    both = reserve(everywhere, here, channel_ids=[front.pk, far.pk]).json()
    seen = limited.get(f"/api/3/reservations/{both['id']}").json()
    assert seen["channel_ids"] == [far.pk]
    assert reserve(limited, here, channel_ids=[front.pk]).status_code == 422
    assert reserve(limited, here).status_code == 422
    put(limited, f"reservations/{both['id']}", {"channel_ids": [far.pk]})
    assert put(limited, f"reservations/{both['id']}", {"end_time": "2030-01-01T00:00:00Z"}).status_code == 403
    assert limited.delete(f"/api/3/reservations/{both['id']}").status_code == 403
    assert everywhere.get(f"/api/3/reservations/{both['id']}").json()["channel_ids"] == sorted([front.pk, far.pk])


def test_a_caller_of_one_site_gives_no_right_elsewhere(acme, front):
    from accesscontrol.people.models import PersonRole

    warehouse = world.a_site("Warehouse")
    gate = world.a_door("Gate", site=warehouse)
    key = world.an_api_key(sites=[warehouse])
    limited = world.api(key)
    ann = world.a_person("Ann")
    here, elsewhere, everywhere = (
        world.a_role("Gate", gate),
        world.a_role("Front", front),
        world.a_role("All", gate, front),
    )
    type(here).objects.filter(pk__in=[here.pk, everywhere.pk]).update(site=warehouse)
    world.belonging.set_roles(ann, [elsewhere], by=world.BY, now=world.NOW)
    for role in (elsewhere, everywhere):
        assert put(limited, f"people/{ann.pk}", {"role_ids": [role.pk]}).status_code == 422
    group = world.a_group("Everybody", everywhere)
    type(group).objects.filter(pk=group.pk).update(site=warehouse)
    assert put(limited, f"people/{ann.pk}", {"group_ids": [group.pk]}).status_code == 422
    assert put(limited, f"people/{ann.pk}", {"role_ids": [here.pk]}).status_code == 201
    held = PersonRole.objects.filter(person=ann, ended_at=None).values_list("role_id", flat=True)
    assert set(held) == {here.pk, elsewhere.pk}


def test_a_message_is_queued_where_it_is_asked_for(api, front):
    from pins.deliveries.models import Delivery

    person = a_person(api)
    pin = a_pin(api, person, deliver="email")
    assert pin.status_code == 201
    assert reserve(api, person, deliver="email").status_code == 201
    assert list(Delivery.objects.order_by("id").values_list("template", "state")) == [
        ("pin", "queued"),
        ("visit", "queued"),
    ]
    nobody = a_person(api, email="")
    for answer in (a_pin(api, nobody, deliver="email"), reserve(api, nobody, deliver="email")):
        assert answer.status_code == 422
        assert answer.json()["codes"]["deliver"] == ["no_address"]
    assert a_pin(api, nobody, deliver="fax").status_code == 422
    assert Credential.objects.count() == 1


def test_people_are_found_by_address_whatever_its_case(api):
    person = a_person(api, email="Ann.Arbor@Example.com")
    a_person(api, email="bob@example.com")
    for text in ("ann.arbor@example.com", "ANN.ARBOR@EXAMPLE.COM", "arbor"):
        assert [row["id"] for row in api.get("/api/3/people", {"email": text}).json()] == [person["id"]]


def test_an_address_is_found_by_index(acme):
    from django.db import connection

    from accesscontrol.people.models import Person

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = Person.objects.filter(lower_email="ann@example.com").explain()
    assert "Index Cond" in plan, plan
    assert "lower_email" in plan.partition("Index Cond")[2], plan
