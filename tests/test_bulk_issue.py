"""PINs for thousands in one pass."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.access import attempts
from accesscontrol.credentials import bulk
from accesscontrol.credentials.lifecycle import NoPinFree, value_of
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits import duress, issuing, leaving
from accounts.models import AuditEvent, Tenant
from pins.deliveries.models import Delivery
from pins.generator import Space
from pins.policy import duress as with_last_digit_up
from pins.policy import neighbours, weakness
from tests import world
from tests.test_races import at_once
from tests.world import BY, NOW

FOUR = Space(4, exclude_sequential=True, exclude_repeated=True, exclude_weak=True)


def people(count):
    return Person.objects.bulk_create(
        Person(first_name=f"P{number}", email=f"p{number}@example.com") for number in range(count)
    )


def test_two_thousand_people_get_two_thousand_pins(acme):
    world.a_door()
    everybody = people(2000)
    with CaptureQueriesContext(connection) as asked:
        issued = issuing.issue_many(everybody, by=BY, now=NOW)
    assert len(asked) < 40
    pins = [value_of(credential) for credential in issued]
    assert len(set(pins)) == 2000
    assert not any(weakness(pin) for pin in pins)
    assert {len(pin) for pin in pins} == {8}
    assert AuditEvent.objects.filter(verb="issue").count() == 2000
    door = world.a_door("Lab")
    assert not attempts.attempt(door.pk, pins[0], type=CredentialType.PIN, now=NOW).admitted


def test_who_left_or_has_one_is_passed_over(acme):
    world.a_door()
    ann, bob, gone = (world.a_person(name) for name in ("Ann", "Bob", "Gone"))
    world.a_pin(ann)
    leaving.delete_person(gone, by=BY, now=NOW)
    [credential] = issuing.issue_many([ann, bob, gone], by=BY, now=NOW)
    assert credential.person_id == bob.pk
    assert issuing.issue_many([ann, bob], by=BY, now=NOW) == []


def test_too_few_free_pins_leave_nothing_half_done(acme):
    everybody = people(FOUR.allowed_count + 1)
    with pytest.raises(NoPinFree):
        bulk.issue_many(everybody, FOUR, by=BY, now=NOW)
    assert not Credential.objects.exists()
    assert len(bulk.issue_many(everybody[:-1], FOUR, by=BY, now=NOW)) == FOUR.allowed_count


def test_neighbours_and_duress_hold_within_the_pass(acme):
    Tenant.objects.update(keeps_neighbours_apart=True)
    duress.set_duress(True, by=BY, now=NOW)
    pins = {value_of(credential) for credential in bulk.issue_many(people(40), FOUR, by=BY, now=NOW)}
    opening = pins | {with_last_digit_up(pin) for pin in pins}
    assert len(opening) == 80
    for pin in pins:
        assert not (neighbours(pin) - {with_last_digit_up(pin)}) & opening


def test_messages_go_to_whoever_can_be_reached(acme):
    world.a_door()
    reached, silent = world.a_person("Ann", email="ann@example.com"), world.a_person("Bob")
    assert len(issuing.issue_many([reached, silent], by=BY, now=NOW, deliver="email")) == 2
    assert Delivery.objects.count() == 1


def test_passes_at_once_never_share_a_pin(live):
    ids = world.committed(live.acme, lambda: [person.pk for person in people(400)])
    world.committed(live.acme, world.a_door)

    def issue(number):
        def some():
            return [
                value_of(credential)
                for credential in bulk.issue_many(Person.objects.filter(pk__in=ids[number::4]), FOUR, by=BY, now=NOW)
            ]

        return world.committed(live.acme, some)

    pins = [pin for found in at_once(4, issue) for pin in found]
    assert len(pins) == len(set(pins)) == 400
