"""What every address of `/api/3` has in common: spellings, formats, limits, conditional requests."""

import pytest
from django.test import Client

from accounts.models import ApiKey
from accounts.rights import OF_SCOPE
from tests import world
from tests.test_api_document import DOCUMENT


@pytest.fixture
def client(acme):
    ann = world.a_person()
    client = world.api(world.an_api_key())
    client.ann = ann.pk
    world.a_door()
    return client


@pytest.mark.parametrize(
    ("spelling", "same"),
    [
        ("people.json", "people"),
        ("person", "people"),
        ("person/{0}", "people/{0}"),
        ("people/{0}.json", "people/{0}"),
        ("person/{0}/credential", "people/{0}/credentials"),
        ("door_controllers", "channels"),
        ("channel.json", "channels"),
        ("credential_type", "credential_types"),
        ("event", "events"),
    ],
)
def test_other_spellings_answer_the_same(client, spelling, same):
    first, second = (client.get(f"/api/3/{way.format(client.ann)}") for way in (spelling, same))
    assert (first.status_code, first.json()) == (200, second.json())


def test_writing_takes_other_spellings_too(client):
    made = client.post("/api/3/person.json", {"first_name": "Bob"}, "application/json")
    assert made.status_code == 201
    assert (
        client.put(f"/api/3/person/{made.json()['id']}.json", {"last_name": "B"}, "application/json").status_code == 201
    )


@pytest.mark.parametrize("path", ["people.xml", "people.csv", f"people/{1}.xml"])
def test_other_formats_are_406(client, path):
    response = client.get(f"/api/3/{path}")
    assert (response.status_code, response.json()["error"]) == (406, "not_acceptable")


def test_another_format_by_header_is_406(client):
    assert client.get("/api/3/people", headers={"Accept": "text/xml"}).status_code == 406
    assert client.get("/api/3/people", headers={"Accept": "text/xml, */*;q=0.1"}).status_code == 200
    assert client.get("/api/3/people?format=xml").status_code == 200


def test_an_answer_that_is_known_is_304(client):
    first = client.get("/api/3/channels")
    again = client.get("/api/3/channels", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert again["X-Total-Results"] == "1"
    assert client.get("/api/3/channels", headers={"If-None-Match": f'W/{first["ETag"]}, "x"'}).status_code == 304
    world.a_door("Back")
    changed = client.get("/api/3/channels", headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, len(changed.json())) == (200, 2)
    assert changed["ETag"] != first["ETag"]
    assert "Authorization" in changed["Vary"]


def test_an_answer_with_a_pin_is_kept_by_nobody(client):
    response = client.get(f"/api/3/people/{client.ann}/credentials")
    assert response["Cache-Control"] == "no-store"
    assert "ETag" not in response


def test_a_key_has_its_requests_a_minute(client):
    ApiKey.objects.update(requests_per_minute=3)
    answers = [client.get("/api/3/account") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[3].json()["error"] == "rate_limited"
    assert 1 <= int(answers[3]["Retry-After"]) <= 60
    assert answers[3].json()["retry_in"] == int(answers[3]["Retry-After"])
    # Another key has a count of its own, and whoever has none is told first that they may not ask.
    assert world.api(world.an_api_key()).get("/api/3/account").status_code == 200
    assert Client().get("/api/3/account").status_code == 401


def test_a_reader_is_not_slowed_down(acme):
    door = world.a_door()
    reader = world.a_reader_key(door)
    ApiKey.objects.update(requests_per_minute=1)
    client = world.api(reader.value)
    for _ in range(3):
        answer = client.post(f"/api/3/channels/{door.pk}/access_attempts", {"value": "1"}, "application/json")
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    ["", "/", "/people/", "/visits/a%0Ab/c", "/credentials/%0A", "/people/1/credentials/%0Ax", "/people%0A", "/%00"],
)
@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_whatever_the_address_the_answer_is_json(client, method, path):
    answer = getattr(client, method)(f"/api/3{path}")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert answer.json().keys() == {"error", "error_description", "request_id"}


def test_a_host_that_is_not_ours_is_told_so_in_json(client):
    answer = client.get("/api/3/people", headers={"Host": "elsewhere.example"})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert "<h1>" in client.get("/desk/", headers={"Host": "elsewhere.example"}).content.decode()


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_a_body_without_end_is_413(client, headers):
    body = b'{"first_name": "' + b"A" * 1_000_000 + b'"}'
    answer = client.post("/api/3/people", body, "application/json", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"first_name": "\\ud800"}',
        b"\xff\xfe",
        b'{"first_name": NaN}',
        b"9" * 9000,
    ],
)
def test_what_is_no_json_is_400(client, body):
    answer = client.post("/api/3/people", body, "application/json")
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


def test_of_a_name_that_comes_twice_the_last_counts(client):
    body = b'{"first_name": "Ann", "person_id": 1, "first_name": "Bob"}'
    assert client.post("/api/3/people", body, "application/json").json()["first_name"] == "Bob"


@pytest.mark.parametrize("kind", ["boolean", "integer"])
def test_a_parameter_of_the_query_is_what_the_document_says(acme, kind):
    """Every yes, no or number of every operation; nothing at all is none of them."""
    client, asked = world.api(world.an_api_key(*OF_SCOPE)), 0
    for path, operations in DOCUMENT["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", []):
            if not path.startswith("/api/3/") or parameter["in"] != "query" or "{" in path:
                continue
            if parameter["schema"].get("type") == kind:
                asked += 1
                for wrong in ("", "maybe", "[]", "%20"):
                    answer = client.get(f"{path}?{parameter['name']}={wrong}")
                    assert answer.status_code == 422, (path, parameter["name"], wrong)
                    assert list(answer.json()["errors"]) == [parameter["name"]]
    assert asked > 5
