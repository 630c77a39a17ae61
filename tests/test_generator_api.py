"""The contract of `GET /v1/generate/pin`, row by row, and the same PINs in the terminal."""

import base64
import io
import json
import math
from datetime import timedelta

import pytest
import redis
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import keys, rates
from accounts.models import ApiKey
from pins.policy import POLICY_VERSION, all_same, single_run, weakness
from tests import world

PATH = "/v1/generate/pin"
UNAUTHORIZED = {"error": "Invalid API key", "code": "UNAUTHORIZED"}
LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.fixture(autouse=True)
def _no_counts(settings, monkeypatch):
    """Keys get the numbers of earlier tests' keys, whose minute may not be over."""
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    monkeypatch.setattr(rates, "_circuit", rates._Circuit())


def a_key(kind=ApiKey.Kind.GENERATOR, *, per_minute=1000, **values) -> str:
    return keys.mint("generator", kind=kind, by=world.BY, now=world.NOW, requests_per_minute=per_minute, **values).value


@pytest.fixture
def client(acme):
    return Client(headers={"X-API-Key": a_key()})


def ask(client, **parameters):
    response = client.get(PATH, parameters)
    for header in LIMIT_HEADERS:
        assert response[header].isdigit()
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Type"] == "application/json"
    return response


def test_the_contracts_example(client):
    response = ask(client, length=6)
    assert response.status_code == 200
    body = response.json()
    assert len(body.pop("pin")) == 6
    assert body == {"length": 6, "entropy_bits": 19.93, "allowed_count": 10**6, "policy": POLICY_VERSION}


def test_defaults(client):
    body = ask(client).json()
    assert (body["length"], len(body["pin"]), body["entropy_bits"], "pins" in body) == (4, 4, 13.29, False)


@pytest.mark.parametrize("length", range(4, 13))
def test_every_length_with_every_flag(client, length):
    flags = {"exclude_sequential": "true", "exclude_repeated": "1", "exclude_weak": "TRUE"}
    body = ask(client, length=length, count=100, **flags).json()
    assert len(set(body["pins"])) == 100
    assert body["pin"] == body["pins"][0]
    for pin in body["pins"]:
        assert len(pin) == length
        assert not single_run(pin)
        assert not all_same(pin)
        assert weakness(pin) is None
    assert body["entropy_bits"] == round(math.log2(body["allowed_count"]), 2)
    assert body["allowed_count"] < 10**length


def test_flags_shrink_the_space_exactly(client):
    counts = {
        flag: ask(client, **{flag: "true"}).json()["allowed_count"]
        for flag in ("exclude_sequential", "exclude_repeated")
    }
    assert counts == {"exclude_sequential": 9_980, "exclude_repeated": 9_990}
    assert ask(client, exclude_repeated="true").json()["entropy_bits"] == 13.29


@pytest.mark.parametrize("text", ["", "false", "0", "FALSE"])
def test_flags_that_are_off(client, text):
    assert ask(client, exclude_weak=text).json()["allowed_count"] == 10_000


def test_what_is_unknown_is_passed_over(client):
    assert ask(client, format="xml", digits="9", length="").json()["length"] == 4


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("length", "six", 400),
        ("length", "4.5", 400),
        ("length", " 6", 400),
        ("length", "٤", 400),
        ("length", "6\x00", 400),
        ("length", "6\ufffd", 400),
        ("length", "3", 422),
        ("length", "13", 422),
        ("length", "-6", 422),
        ("length", "9" * 5000, 422),
        ("count", "0", 422),
        ("count", "101", 422),
        ("count", "1e2", 400),
        ("exclude_sequential", "yes", 400),
        ("exclude_repeated", "2", 400),
        ("exclude_weak", "\x00", 400),
    ],
)
def test_bad_arguments(client, field, value, status):
    response = ask(client, **{field: value})
    assert response.status_code == status
    body = response.json()
    assert body["code"] == "VALIDATION_ERROR"
    assert body["error"].startswith(f"{field} must be ")
    assert body["details"] == {"field": field, "value": value[:100]}


@pytest.mark.parametrize(
    "query", ["length=%ff", "length=%00", "%ff=%fe", "&&&=&", "length[]=4&length=%F0%9F", "a" * 4000]
)
def test_no_query_breaks_it(client, query):
    assert client.get(f"{PATH}?{query}").status_code in (200, 400, 422)


def test_too_many_parameters(client):
    response = client.get(PATH + "?" + "&".join(f"p{number}=1" for number in range(1100)))
    assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", [PATH, "/v1/nothing", "/v1/codes"])
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "tfn_live_x"}, {"X-API-Key": "\xff"}])
def test_without_a_valid_key(acme, path, headers):
    response = Client(headers=headers).get(path)
    assert (response.status_code, response.json()) == (401, UNAUTHORIZED)
    assert "WWW-Authenticate" in response
    assert [response[header] for header in LIMIT_HEADERS[:2]] == ["0", "0"]
    assert response["Cache-Control"] == "no-store"


def test_an_expired_and_a_revoked_key(acme):
    expired = a_key(expires_at=timezone.now() - timedelta(seconds=1))
    minted = keys.mint("gone", kind=ApiKey.Kind.GENERATOR, by=world.BY, now=world.NOW)
    keys.revoke(minted.api_key, by=world.BY, now=world.NOW)
    for key in (expired, minted.value):
        assert Client(headers={"X-API-Key": key}).get(PATH).json() == UNAUTHORIZED


def test_the_key_as_bearer_and_basic(acme):
    key = a_key()
    assert world.api(key).get(PATH).status_code == 200
    basic = base64.b64encode(f"{key}:".encode()).decode()
    assert Client(headers={"Authorization": f"Basic {basic}"}).get(PATH).status_code == 200


@pytest.mark.parametrize("kind", [ApiKey.Kind.API, ApiKey.Kind.READER])
def test_keys_for_other_things(acme, kind):
    response = Client(headers={"X-API-Key": a_key(kind)}).get(PATH)
    assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
    assert response["X-RateLimit-Limit"] == "0"


def test_a_browser_session_is_no_key(acme):
    member = world.a_member("owner")
    assert world.signed_in(member.user).get(PATH).json() == UNAUTHORIZED


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/generate/pin/", "/v1/generate/password", "/v1/%0A/x"])
def test_addresses_that_are_none(client, path):
    response = client.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    assert response.json()["details"] == {}
    assert response["X-RateLimit-Limit"] == "1000"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_methods_that_are_none(client, method):
    response = getattr(client, method)(PATH)
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in response["Allow"]


def test_head_and_options(client):
    head, options = client.head(PATH), client.options(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert (options.status_code, options.content) == (204, b"")
    assert "GET" in options["Allow"]


def test_what_nobody_expected_tells_nothing(client, monkeypatch, caplog):
    def fail(order):
        raise RuntimeError("secret 1234")

    monkeypatch.setattr("pins.codes.api.generator.generated", fail)
    response = client.get(PATH)
    assert response.status_code == 500
    assert response.json() == {"error": "Something went wrong here.", "code": "INTERNAL_ERROR", "details": {}}
    assert response["X-RateLimit-Limit"] == "1000"
    assert "RuntimeError" in caplog.text


def test_the_plan_limits_and_every_answer_counts(acme):
    client = Client(headers={"X-API-Key": a_key(per_minute=3)})
    answers = [client.get(PATH), client.get(PATH, {"length": 99}), client.get("/v1/none"), client.get(PATH)]
    assert [answer.status_code for answer in answers] == [200, 422, 404, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer["X-RateLimit-Limit"] for answer in answers} == {"3"}
    refused = answers[-1]
    retry_after = refused.json()["retry_after"]
    assert refused.json() == {
        "error": "Rate limit exceeded",
        "code": "RATE_LIMIT_EXCEEDED",
        "retry_after": retry_after,
    }
    assert 1 <= retry_after <= 60
    assert refused["Retry-After"] == str(retry_after)
    reset = int(refused["X-RateLimit-Reset"])
    assert 0 <= reset - timezone.now().timestamp() <= 61
    assert Client(headers={"X-API-Key": a_key(per_minute=3)}).get(PATH).status_code == 200


def test_one_round_trip_to_the_database(client, django_assert_num_queries):
    client.get(PATH)
    # The key, and the test's own savepoint around it.
    with django_assert_num_queries(3):
        client.get(PATH, {"length": 6, "exclude_weak": "true"})


def test_not_in_the_document_of_the_other_api(acme):
    text = Client().get("/api/3/schema/").content.decode()
    assert "/v1/" not in text
    assert "/api/3/" in text


def in_terminal(*arguments: str) -> str:
    output = io.StringIO()
    call_command("generate_pin", *arguments, stdout=output)
    return output.getvalue()


def test_in_the_terminal():
    pins = in_terminal("--length", "6", "--count", "3", "--exclude-weak").split()
    assert len(set(pins)) == 3
    assert all(len(pin) == 6 and weakness(pin) is None for pin in pins)
    answer = json.loads(in_terminal("--json", "--exclude-sequential", "--exclude-repeated"))
    assert answer["allowed_count"] == 9_970
    with pytest.raises(CommandError, match=r"^length must be a whole number from 4 to 12\.$"):
        in_terminal("--length", "3")
