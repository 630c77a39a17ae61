"""Duress opens normally and says so to nobody at the door; neighbours are kept apart where a tenant asks for it."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.access import attempts
from accesscontrol.access.models import Alarm, Event
from accesscontrol.credentials.models import CredentialType
from accesscontrol.visits import belonging, duress, issuing
from accesscontrol.visits.duress import Collision, set_duress
from accounts.models import AuditEvent, Tenant
from accounts.tenancy import tenant_transaction
from pins.vault.fingerprints import NotAvailable
from pins.vault.models import Fingerprint
from tests import world
from tests.test_decision import PIN, statements
from tests.test_races import at_once
from tests.world import BY, NOW

DURESS = PIN[:-1] + "5"


@pytest.fixture
def door(acme):
    return world.a_door("Front Door")


@pytest.fixture
def ann(door):
    ann = world.a_person("Ann")
    world.a_pin(ann, PIN)
    belonging.set_roles(ann, [world.a_role("Staff", door)], by=BY, now=NOW - timedelta(hours=1))
    return ann


@pytest.fixture
def on(ann):
    assert set_duress(True, by=BY, now=NOW) == []


def attempt(door, value, *, now=NOW, **values):
    return attempts.attempt(door.pk, value, type=CredentialType.PIN, now=now, **values)


def chosen(name, value):
    return world.a_pin(world.a_person(name), value).credential


def test_the_duress_pin_opens_and_raises_a_silent_alarm(on, ann, door):
    plain, forced = attempt(door, PIN), attempt(door, DURESS)
    assert forced.admitted
    assert (forced.person_id, forced.person_name, forced.release_seconds, forced.retry_after) == (
        plain.person_id, plain.person_name, plain.release_seconds, plain.retry_after,
    )  # fmt: skip
    [alarm] = Alarm.objects.all()
    assert (alarm.kind, alarm.channel_id, alarm.person_id, alarm.raised_at) == ("duress", door.pk, ann.pk, NOW)
    columns = ("admitted", "reason", "code", "person_id", "credential_id", "release_seconds", "retry_after")
    assert len(set(Event.objects.values_list(*columns))) == 1


def test_the_last_digit_nine_becomes_nought(on, ann, door):
    bob = world.a_person("Bob")
    world.a_pin(bob, "84620739")
    belonging.set_roles(bob, [world.a_role("More", door)], by=BY, now=NOW)
    assert attempt(door, "84620730").person_id == bob.pk
    assert Alarm.objects.get().person_id == bob.pk


def test_it_is_a_wrong_pin_while_duress_is_off(ann, door):
    assert not attempt(door, DURESS).admitted
    set_duress(True, by=BY, now=NOW)
    assert attempt(door, DURESS).admitted
    set_duress(False, by=BY, now=NOW)
    assert not attempt(door, DURESS).admitted
    assert Alarm.objects.count() == 1
    assert not Fingerprint.objects.filter(kind=Fingerprint.Kind.DURESS).exists()
    assert AuditEvent.objects.filter(fields=["duress_enabled"]).count() == 2


def test_a_rejection_raises_the_alarm_too_but_a_wait_checks_nothing(on, ann, door):
    lab = world.a_door("Lab", free_tries=0)
    assert not attempt(lab, DURESS).admitted
    assert Alarm.objects.get().channel_id == lab.pk
    assert attempt(lab, "90000001").retry_after
    assert attempt(lab, DURESS).retry_after
    assert Alarm.objects.count() == 1


@pytest.mark.parametrize("slips", [(), ("73519246", "37519264", "93519264")])
def test_the_same_statements_as_for_the_plain_pin(on, ann, acme, slips):
    asked = []
    for value in (PIN, DURESS):
        door = world.a_door(f"Door {value}")
        belonging.set_roles(ann, [world.a_role(f"Role {value}", door)], by=BY, now=NOW)
        attempt(door, PIN)
        for slip in slips:
            attempt(door, slip)
        with CaptureQueriesContext(connection) as captured:
            assert attempt(door, value, attempt_id="x").admitted
        asked.append([sql.split("(")[0].split("SET")[0].split() for sql in statements(captured.captured_queries)])
    assert asked[0] == asked[1]
    assert len(asked[0]) == (5 if slips else 4)
    assert Alarm.objects.count() == 1


@pytest.mark.parametrize("value", [PIN, DURESS])
def test_duress_takes_the_slips_back_as_the_plain_pin_does(on, ann, door, value):
    for slip in ("73519246", "37519264", "93519264"):
        attempt(door, slip)
    assert attempt(door, value).admitted
    for number in range(3):
        assert attempt(door, f"9000000{number}").retry_after is None
    assert attempt(door, "90000003").retry_after == 30


def test_both_values_are_reserved_and_freed_together(on, ann, door):
    for taken in (PIN, DURESS, PIN[:-1] + "3"):
        with pytest.raises(NotAvailable):
            chosen("Bob", taken)
    issuing.revoke(duress._live().get(person=ann), by=BY, now=NOW)
    assert not Fingerprint.objects.exists()
    assert chosen("Bob", DURESS)


def test_switching_on_lists_who_lacks_it_until_issued_anew(ann, door):
    mine = duress._live().get(person=ann)
    other = chosen("Bob", DURESS)
    assert set_duress(True, by=BY, now=NOW) == [Collision(mine.pk, other.pk)]
    assert set_duress(True, by=BY, now=NOW) == [Collision(mine.pk, other.pk)]
    assert list(duress.without_duress()) == [mine]
    issuing.revoke(mine, by=BY, now=NOW)
    world.a_pin(ann)
    assert not duress.without_duress().exists()
    assert set_duress(True, by=BY, now=NOW) == []


def test_switching_goes_in_batches(ann, door, monkeypatch):
    monkeypatch.setattr(duress, "BATCH", 3)
    values = {world.a_pin(world.a_person(f"P{number}")).value for number in range(8)}
    assert len(set_duress(True, by=BY, now=NOW)) == len({value for value in values if duress.duress(value) in values})
    held = Fingerprint.objects.filter(kind=Fingerprint.Kind.DURESS).values("holder_id").distinct().count()
    assert held + duress.without_duress().count() == 9


def test_rows_called_duress_open_nothing_else(on, ann, door):
    Fingerprint.objects.filter(kind=Fingerprint.Kind.PLAIN).update(kind=Fingerprint.Kind.DURESS)
    assert not attempt(door, PIN).admitted
    assert Alarm.objects.get().kind == "tampering"


def test_the_command_switches_and_lists(ann, acme, capsys):
    mine = duress._live().get(person=ann)
    chosen("Bob", DURESS)
    call_command("set_duress", acme.slug, "on")
    said = capsys.readouterr().out
    assert mine.public_id in said
    assert PIN not in said
    call_command("set_duress", acme.slug, "off")
    assert not Tenant.objects.get(pk=acme.pk).duress_enabled


def test_pins_issued_while_it_is_switched_on_have_it(live):
    with tenant_transaction(live.acme.pk):
        people = [world.a_person(f"P{number}") for number in range(12)]

    def work(number):
        with tenant_transaction(live.acme.pk):
            if number == 12:
                set_duress(True, by=BY, now=NOW)
            else:
                world.a_pin(people[number])

    at_once(13, work)
    with tenant_transaction(live.acme.pk):
        duress_values = Fingerprint.objects.filter(kind=Fingerprint.Kind.DURESS).values("holder_id").distinct().count()
        assert duress_values + duress.without_duress().count() == 12


def apart(acme):
    type(acme).objects.filter(pk=acme.pk).update(keeps_neighbours_apart=True)


def test_a_neighbour_is_not_available(ann, acme):
    assert chosen("Bob", "73519265")
    apart(acme)
    for value in ("73519284", "03519264", "73519275"):
        with pytest.raises(NotAvailable):
            chosen("Carl", value)
    assert chosen("Carl", "84628735")


def test_a_slip_of_the_duress_pin_is_nobody_elses_either(on, ann, acme):
    apart(acme)
    for value in ("73519266", "73519295", "73519253", "73519233"):
        with pytest.raises(NotAvailable):
            chosen("Carl", value)


def test_neighbours_chosen_at_once_are_not_both_issued(live):
    with tenant_transaction(live.acme.pk):
        apart(live.acme)
        people = [world.a_person(f"P{number}") for number in range(9)]

    def work(number):
        with tenant_transaction(live.acme.pk):
            try:
                world.a_pin(people[number], f"7351926{number}")
            except NotAvailable:
                return False
        return True

    assert at_once(9, work).count(True) == 1
