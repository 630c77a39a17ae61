"""One-time codes: five tries, one use, one answer for everything that is not right, and no code anywhere in clear."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
import time_machine
from django.core import mail
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from accounts import rates
from accounts.models import AuditEvent, IdempotentAnswer
from accounts.tenancy import tenant_context, tenant_transaction
from pins.codes import checking, erasing, issuing, tasks
from pins.codes.addresses import AddressLimitExceeded, Receiver
from pins.codes.models import AddressDay, Code
from pins.deliveries.models import Delivery
from pins.deliveries.rendering import render_email, render_sms
from pins.deliveries.sending import send_next
from pins.vault.sealing import open_json
from tests.test_generator_api import a_key
from tests.world import BY, NOW

EMAIL = "ann@example.com"


@pytest.fixture(autouse=True)
def _no_counts(settings, monkeypatch):
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    monkeypatch.setattr(rates, "_circuit", rates._Circuit())


@pytest.fixture
def client(acme):
    return Client(headers={"X-API-Key": a_key()})


def post(client, path, body, **headers):
    return client.post(path, body, content_type="application/json", headers=headers)


def make(client, **body):
    return post(client, "/v1/codes", {"purpose": "sign-in"} | body)


def tried(client, public_id, code, **body):
    response = post(client, f"/v1/codes/{public_id}/check", {"code": code} | body)
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    return response.json()


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def test_make_and_check(client):
    response = make(client)
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    assert response["X-RateLimit-Limit"] == "1000"
    body = response.json()
    assert set(body) == {"id", "purpose", "length", "expires_at", "code"}
    assert (body["purpose"], body["length"], len(body["code"])) == ("sign-in", 6, 6)
    left = Code.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=8) < left <= timedelta(minutes=10)
    assert tried(client, body["id"], other_than(body["code"])) == {"valid": False}
    assert tried(client, body["id"], f" {body['code'][:3]}-{body['code'][3:]} ") == {"valid": True}
    assert tried(client, body["id"], body["code"]) == {"valid": False}


@pytest.mark.parametrize("length", [6, 7, 8])
def test_lengths(client, length):
    assert len(make(client, length=length).json()["code"]) == length


def test_dead_after_five_tries(client):
    body = make(client).json()
    for _ in range(5):
        assert tried(client, body["id"], other_than(body["code"])) == {"valid": False}
    assert tried(client, body["id"], body["code"]) == {"valid": False}
    assert AuditEvent.objects.filter(verb="die", subject_id=body["id"]).count() == 1


def test_the_fifth_try_may_be_right(client):
    body = make(client).json()
    for _ in range(4):
        tried(client, body["id"], other_than(body["code"]))
    assert tried(client, body["id"], body["code"]) == {"valid": True}


def test_everything_that_is_not_right_looks_the_same(client, django_assert_num_queries):
    expired, used, dead, wrong = (make(client).json() for _ in range(4))
    Code.objects.filter(public_id=expired["id"]).update(expires_at=timezone.now())
    tried(client, used["id"], used["code"])
    Code.objects.filter(public_id=dead["id"]).update(tries=5)
    wrong["code"] = other_than(wrong["code"])
    unknown = {"id": "code_" + "a" * 32, "code": "123456"}
    odd = {"id": "\x00\ud7ff", "code": "123456"}
    for body in (expired, used, dead, wrong, unknown, odd):
        # Savepoint, key, count, release.
        with django_assert_num_queries(4):
            response = post(client, f"/v1/codes/{body['id']}/check", {"code": body["code"]})
        assert (response.status_code, response.content) == (200, b'{"valid":false}')


def test_another_tenants_code(live):
    with tenant_transaction(live.acme.pk):
        made = issuing.issue(purpose="sign-in", by=BY, now=NOW)
    with tenant_transaction(live.globex.pk):
        assert not checking.check(made.code.public_id, made.value, by=BY, now=NOW)
    with tenant_transaction(live.acme.pk):
        assert checking.check(made.code.public_id, made.value, by=BY, now=NOW)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "😀", "1" * 100])
def test_odd_codes_are_wrong_codes(client, code):
    body = make(client).json()
    assert tried(client, body["id"], code) == {"valid": False}
    assert Code.objects.get().tries == 1


@pytest.mark.parametrize("body", [{}, {"code": 123456}, {"code": None}, {"code": "1" * 101}, {"code": ["1"]}, []])
def test_what_is_no_try_costs_none(client, body):
    made = make(client).json()
    response = post(client, f"/v1/codes/{made['id']}/check", body)
    assert response.status_code == 422
    assert response.json()["code"] == "VALIDATION_ERROR"
    assert response.json()["details"]["value"] is None
    assert Code.objects.get().tries == 0


def test_pick_up_codes_live_longer_and_need_their_order(client):
    body = make(client, purpose="pick-up", order_reference="A-17", ttl=7 * 86400).json()
    assert tried(client, body["id"], body["code"]) == {"valid": False}
    assert tried(client, body["id"], body["code"], order_reference="A-18") == {"valid": False}
    with time_machine.travel(timezone.now() + timedelta(days=6), tick=False):
        assert tried(client, body["id"], body["code"], order_reference="A-17") == {"valid": True}


def test_a_reference_where_there_is_none_is_wrong(client):
    body = make(client).json()
    assert tried(client, body["id"], body["code"], order_reference="A-17") == {"valid": False}


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"purpose": ""}, "purpose", ""),
        ({"purpose": "a\nb"}, "purpose", "a\nb"),
        ({"purpose": None}, "purpose", None),
        ({"length": 5}, "length", 5),
        ({"length": 9}, "length", 9),
        ({"length": "six"}, "length", "six"),
        ({"length": 10**30}, "length", None),
        ({"length": True}, "length", True),
        ({"ttl": 0}, "ttl", 0),
        ({"ttl": 601}, "ttl", None),
        ({"ttl": 604_801, "order_reference": "A"}, "ttl", 604_801),
        ({"deliver": "ann@example.com"}, "deliver", "ann@example.com"),
        ({"deliver": {}}, "deliver", None),
        ({"deliver": {"email": EMAIL, "sms": "+493012345678"}}, "deliver", None),
        ({"deliver": {"email": "ann"}}, "deliver.email", "ann"),
        ({"deliver": {"email": "ann@example.com\nBcc: x@example.com"}}, "deliver.email", None),
        ({"deliver": {"sms": "030 123"}}, "deliver.sms", "030 123"),
        ({"order_reference": "x" * 101}, "order_reference", "x" * 100),
    ],
)
def test_bad_requests(client, body, field, value):
    response = make(client, **body)
    assert response.status_code == 422
    told = response.json()
    assert told["code"] == "VALIDATION_ERROR"
    assert told["details"]["field"] == field
    assert value is None or told["details"]["value"] == value
    assert not Code.objects.exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "1e999", "[" * 100_000, '{"purpose":"\\ud800"}', "NaN"])
def test_bodies_that_are_none(client, text):
    response = client.post("/v1/codes", text, content_type="application/json")
    assert response.status_code in (400, 422)
    assert response.json()["code"] == "VALIDATION_ERROR"


def test_a_body_that_is_too_large(client):
    response = make(client, purpose="x" * 1_100_000)
    assert response.status_code == 413
    assert response.json()["details"] == {}


def test_sent_by_email_and_told_to_nobody_else(live, settings):
    with tenant_transaction(live.acme.pk):
        client = Client(headers={"X-API-Key": a_key()})
    body = make(client, length=8, deliver={"email": EMAIL}).json()
    assert "code" not in body
    assert body["deliver"] == "email"
    assert send_next(live.acme.pk, clock=timezone.now)
    [message] = mail.outbox
    assert message.to == [EMAIL]
    with tenant_transaction(live.acme.pk):
        code = Code.objects.get()
    digits = next(line for line in message.body.splitlines() if "code:" in line).rpartition(" ")[2]
    assert digits.isdecimal()
    assert digits not in message.subject
    assert digits not in repr(code) + str(vars(code))
    assert "10 minutes" in message.body
    assert tried(client, body["id"], digits) == {"valid": True}


def test_the_words_of_a_message(acme):
    context = {"tenant_name": "Acme", "purpose": "sign-in", "code": "012345"}
    assert render_sms("code", language="en", context=context | {"minutes": 1}) == (
        "012345 is your code from Acme: sign-in. Valid for 1 minute. Nobody will ever ask you for it."
    )
    context |= {"order_reference": "A<17", "ends": "2026-07-08 11:00"}
    email = render_email("code", language="en", context=context)
    assert email.subject == "Your code from Acme"
    assert "A<17, until 2026-07-08 11:00" in email.text
    assert "A&lt;17" in email.html
    assert "012345" in email.html
    assert "Keep the PIN" not in email.html


def test_no_text_messages_without_a_gateway(client):
    response = make(client, deliver={"sms": "+493012345678"})
    assert (response.status_code, response.json()["code"]) == (422, "SMS_NOT_CONFIGURED")
    assert not AddressDay.objects.exists()


def test_sent_as_text_message(client, settings):
    settings.SMS_URL = "json://127.0.0.1:1/{phone}"
    assert make(client, deliver={"sms": "+493012345678"}).json()["deliver"] == "sms"
    assert Delivery.objects.get().address == "+493012345678"


def test_resend_replaces_and_gives_no_tries_back(client):
    first = make(client).json()
    for _ in range(3):
        tried(client, first["id"], other_than(first["code"]))
    response = client.post(f"/v1/codes/{first['id']}/resend")
    assert response.status_code == 200
    second = response.json()
    assert second["id"] == first["id"]
    if second["code"] != first["code"]:
        assert tried(client, first["id"], first["code"]) == {"valid": False}
    assert Code.objects.get().tries == 4
    assert tried(client, first["id"], second["code"]) == {"valid": True}


def test_resend_cancels_what_is_unsent(client):
    body = make(client, deliver={"email": EMAIL}, order_reference="A-17").json()
    assert client.post(f"/v1/codes/{body['id']}/resend").json()["deliver"] == "email"
    states = Delivery.objects.order_by("id").values_list("state", flat=True)
    assert list(states) == ["cancelled", "queued"]
    delivery = Delivery.objects.get(state="queued")
    content = open_json(
        bytes(delivery.content), tenant_id=delivery.tenant_id, table="deliveries_delivery", row_id=delivery.pk
    )
    assert content["order_reference"] == "A-17"
    assert tried(client, body["id"], content["code"], order_reference="A-17") == {"valid": True}


def test_resend_of_what_is_not_open_looks_the_same(client):
    expired, used, dead = (make(client).json() for _ in range(3))
    Code.objects.filter(public_id=expired["id"]).update(expires_at=timezone.now())
    tried(client, used["id"], used["code"])
    Code.objects.filter(public_id=dead["id"]).update(tries=5)
    bodies = set()
    for public_id in (expired["id"], used["id"], dead["id"], "code_none", "\x00"):
        response = client.post(f"/v1/codes/{public_id}/resend")
        assert response.status_code == 404
        bodies.add(response.content)
    assert len(bodies) == 1


def test_an_address_gets_so_many_codes_a_day(client, settings):
    settings.CODES_PER_ADDRESS_PER_DAY = 3
    body = make(client, deliver={"email": EMAIL}).json()
    client.post(f"/v1/codes/{body['id']}/resend")
    assert make(client, deliver={"email": EMAIL.upper()}).status_code == 201
    for _ in range(2):
        refused = make(client, deliver={"email": EMAIL})
        assert (refused.status_code, refused.json()["code"]) == (429, "ADDRESS_LIMIT_EXCEEDED")
        assert refused["Retry-After"] == str(refused.json()["retry_after"])
    assert client.post(f"/v1/codes/{body['id']}/resend").status_code == 429
    assert AuditEvent.objects.filter(verb="cap").count() == 1
    assert Delivery.objects.exclude(state="cancelled").count() == 2
    assert make(client, deliver={"email": "bob@example.com"}).status_code == 201
    assert make(client).status_code == 201
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        assert make(client, deliver={"email": EMAIL}).status_code == 201


def test_a_repeat_with_its_key_is_one_code_and_cannot_show_it(client):
    headers = {"Idempotency-Key": "order-1"}
    first = post(client, "/v1/codes", {"purpose": "sign-in"}, **headers)
    again = post(client, "/v1/codes", {"purpose": "sign-in"}, **headers)
    assert again.status_code == 201
    assert again["Idempotent-Replay"] == "true"
    assert "code" not in again.json()
    assert again.json() == {name: value for name, value in first.json().items() if name != "code"}
    assert Code.objects.count() == 1
    assert first.json()["code"] not in str(IdempotentAnswer.objects.get().body)
    other = post(client, "/v1/codes", {"purpose": "other"}, **headers)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    bad = post(client, "/v1/codes", {"purpose": "other"}, **{"Idempotency-Key": "x" * 256})
    assert bad.json()["details"]["field"] == "Idempotency-Key"


def test_no_code_in_clear(acme, client, caplog):
    code = make(client, length=8, order_reference="canary-order").json()["code"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(c)::text || encode(sealed, 'escape') FROM codes_code c")
        row = cursor.fetchone()[0]
    assert code not in row
    assert "canary-order" not in row
    assert code not in caplog.text
    assert code not in repr(issuing.issue(purpose="x", by=BY, now=NOW)) + repr(Code.objects.first())


def test_a_digest_is_bound_to_its_row(acme):
    one, two = (issuing.issue(purpose="x", by=BY, now=NOW) for _ in range(2))
    Code.objects.filter(pk=two.code.pk).update(digest=one.code.digest, sealed=one.code.sealed)
    assert not checking.check(two.code.public_id, one.value, by=BY, now=NOW)
    with pytest.raises(issuing.NoOpenCode):
        issuing.resend(two.code.public_id, by=BY, now=NOW)


def test_of_32_right_tries_at_once_one_is_right(live):
    with tenant_transaction(live.acme.pk):
        made = issuing.issue(purpose="x", by=BY, now=NOW)
    assert at_once(live.acme.pk, made.code.public_id, [made.value] * 32) == 1


def test_of_32_wrong_tries_at_once_five_are_looked_at(live):
    with tenant_transaction(live.acme.pk):
        made = issuing.issue(purpose="x", by=BY, now=NOW)
    assert at_once(live.acme.pk, made.code.public_id, [other_than(made.value)] * 32) == 0
    with tenant_transaction(live.acme.pk):
        assert not checking.check(made.code.public_id, made.value, by=BY, now=NOW)
        assert AuditEvent.objects.filter(verb="die").count() == 1


def test_an_address_is_capped_exactly_at_once(live, settings):
    settings.CODES_PER_ADDRESS_PER_DAY = 5
    receiver = Receiver(medium="email", address=EMAIL)

    def send() -> bool:
        try:
            issuing.issue(purpose="x", receiver=receiver, by=BY, now=NOW)
        except AddressLimitExceeded:
            return False
        return True

    assert in_threads(live.acme.pk, [send] * 16) == 5


def at_once(tenant_id, public_id, codes) -> int:
    return in_threads(tenant_id, [lambda code=code: checking.check(public_id, code, by=BY, now=NOW) for code in codes])


def in_threads(tenant_id, calls) -> int:
    barrier = threading.Barrier(len(calls))

    def run(call) -> bool:
        try:
            with tenant_transaction(tenant_id):
                barrier.wait()
                return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return sum(pool.map(run, calls))


def test_what_is_over_is_erased(live):
    with tenant_transaction(live.acme.pk):
        made = issuing.issue(purpose="x", receiver=Receiver(medium="email", address=EMAIL), by=BY, now=NOW)
    with tenant_transaction(live.globex.pk):
        issuing.issue(purpose="x", by=BY, now=NOW)
    assert erasing.tenants_with_codes_over(NOW + timedelta(minutes=9)) == []
    assert sorted(erasing.tenants_with_codes_over(made.code.expires_at)) == [live.acme.pk, live.globex.pk]
    with time_machine.travel(NOW + timedelta(minutes=10), tick=False):
        tasks.erase_codes()
    with tenant_transaction(live.acme.pk):
        assert not Code.objects.exists()
        assert AddressDay.objects.count() == 1
        assert list(Delivery.objects.values_list("state", "address")) == [("cancelled", "")]
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        tasks.erase_codes()
    with tenant_transaction(live.acme.pk):
        assert not AddressDay.objects.exists()
    assert erasing.tenants_with_codes_over(NOW + timedelta(days=2)) == []


def test_the_other_tenant_sees_nothing(live):
    with tenant_transaction(live.acme.pk):
        issuing.issue(purpose="x", receiver=Receiver(medium="email", address=EMAIL), by=BY, now=NOW)
    with tenant_transaction(live.globex.pk), connection.cursor() as cursor:
        for table in ("codes_code", "codes_addressday"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,)
        with tenant_context(live.globex.pk):
            assert not Code.objects.exists()
