"""PINs over the API: chosen and generated, refused, shown to nobody else."""

import pytest

from accesscontrol.credentials.models import Credential
from accounts.models import AuditEvent
from tests.guide import (
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
