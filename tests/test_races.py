"""Thirty-two at once, on real connections: exactly one wins, or everybody gets their own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accesscontrol.access import attempts
from accesscontrol.access.models import Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits import belonging, issuing
from accounts.tenancy import tenant_transaction
from tests import world
from tests.world import BY, NOW

MANY = 32


def at_once(count, work):
    """Run `work(number)` in so many threads that start together; returns what they returned."""
    gate = threading.Barrier(count)

    def run(number):
        gate.wait()
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def people(tenant, count=MANY):
    with tenant_transaction(tenant.pk):
        return [world.a_person(f"P{number}").pk for number in range(count)]


def test_one_of_many_gets_a_chosen_pin(live, settings):
    settings.CHOSEN_PIN_REFUSALS_PER_HOUR = 1000
    with tenant_transaction(live.acme.pk):
        key = world.an_api_key()
    ids = people(live.acme)
    body = {"person_credential": {"credential_type_id": 6, "value": "83951642", "enabled": True}}

    def choose(number):
        answer = world.api(key).post(f"/api/3/people/{ids[number]}/credentials", body, content_type="application/json")
        return answer.status_code, answer.json().get("codes", {}).get("value")

    answers = at_once(MANY, choose)
    assert sorted(status for status, _ in answers) == [201] + [422] * (MANY - 1)
    assert {tuple(codes) for _, codes in answers if codes} == {("not_available",)}
    with tenant_transaction(live.acme.pk):
        assert Credential.objects.count() == 1


def test_many_generated_pins_are_all_different(live):
    with tenant_transaction(live.acme.pk):
        key = world.an_api_key()
    ids = people(live.acme)
    body = {"person_credential": {"credential_type_id": 6, "value": "******", "enabled": True}}

    def generate(number):
        answer = world.api(key).post(f"/api/3/people/{ids[number]}/credentials", body, content_type="application/json")
        assert answer.status_code == 201, answer.content
        return answer.json()["value"]

    assert len(set(at_once(MANY, generate))) == MANY


def test_one_person_gets_one_pin(live):
    [person_id] = people(live.acme, 1)

    def issue(number):
        with tenant_transaction(live.acme.pk):
            person = Person.objects.get(pk=person_id)
            try:
                return issuing.issue(person, CredentialType.PIN, "******", by=BY, now=NOW).value
            except lifecycle.HasOneAlready as error:
                return type(error).__name__

    results = at_once(8, issue)
    assert results.count("HasOneAlready") == 7


def test_parallel_guesses_share_no_try(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()

    def guess(number):
        with tenant_transaction(live.acme.pk):
            attempts.attempt(door.pk, f"900000{number:02}", type=CredentialType.PIN, now=NOW)

    at_once(MANY, guess)
    with tenant_transaction(live.acme.pk):
        reasons = list(Event.objects.values_list("reason", flat=True))
    assert sorted(reasons) == ["invalid_pin"] * 4 + ["throttled"] * (MANY - 4)


def test_parallel_repeats_of_an_attempt_are_one(live):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        ann = world.a_person()
        pin = world.a_pin(ann).value
        belonging.set_roles(ann, [world.a_role("Staff", door)], by=BY, now=NOW)

    def ask(number):
        with tenant_transaction(live.acme.pk):
            return attempts.attempt(door.pk, pin, type=CredentialType.PIN, now=NOW, attempt_id="same")

    answers = at_once(16, ask)
    assert len(set(answers)) == 1
    assert answers[0].admitted
    with tenant_transaction(live.acme.pk):
        assert Event.objects.count() == 1


def test_one_write_per_idempotency_key(live):
    with tenant_transaction(live.acme.pk):
        key = world.an_api_key()

    def add(number):
        answer = world.api(key, **{"Idempotency-Key": "same"}).post(
            "/api/3/people", {"first_name": "Ann"}, content_type="application/json"
        )
        return answer.status_code, answer.json()["id"]

    assert len(set(at_once(16, add))) == 1
    with tenant_transaction(live.acme.pk):
        assert Person.objects.count() == 1


@pytest.mark.parametrize("closed", ["shortest", "full"])
def test_a_full_space_takes_the_next_length(acme, closed):
    """Every PIN of four digits held: one of five is drawn; where the keypad takes no more, that is said."""
    from accesscontrol.credentials.lifecycle import NoPinFree, issue_generated
    from pins.generator import Space, shuffled
    from pins.vault import fingerprints
    from pins.vault.models import Fingerprint

    space = Space(4, exclude_sequential=True, exclude_repeated=True, exclude_weak=True)
    holder = world.a_pin(world.a_person("Holder"), "83951642").credential
    every = list(shuffled(space))
    kept = every.pop() if closed == "shortest" else None
    Fingerprint.objects.bulk_create(
        Fingerprint(key_version=version, digest=digest, holder_id=holder.pk)
        for pin in every
        for version, digest in fingerprints.digests(pin, type="pin").items()
    )
    if kept:
        assert issue_generated(world.a_person("Last"), space, by=BY, now=NOW)[1] == kept
    else:
        with pytest.raises(NoPinFree):
            issue_generated(world.a_person("Last"), space, by=BY, now=NOW)
