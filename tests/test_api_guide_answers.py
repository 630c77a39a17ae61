"""What an integration gets when something is wrong, comes twice, is long, or is of another site."""

import re

import pytest

from tests import world
from tests.guide import (
    JSON,
    a_person,
    a_pin,
    api_fixture,  # noqa: F401
    front_fixture,  # noqa: F401
    lab_fixture,  # noqa: F401
    post,
    put,
    reader_fixture,  # noqa: F401
    reserve,
    site_fixture,  # noqa: F401
    try_pin,
)


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
