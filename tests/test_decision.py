"""What the reader is answered and what the event says, for every condition; and how little it costs."""

import json
from datetime import time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.access import attempts, repeats
from accesscontrol.access.models import Alarm, Event
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Shift
from accesscontrol.people import records
from accesscontrol.visits import belonging, issuing, leaving, reserving
from accounts.models import AuditEvent
from tests import world
from tests.plans import plan_of
from tests.world import BY, NOW

PIN = "73519264"


@pytest.fixture
def door(acme):
    return world.a_door("Front Door", is_visitor_door=True)


@pytest.fixture
def ann(acme):
    return world.a_person("Ann")


@pytest.fixture
def issued(ann, door):
    return world.a_pin(ann, PIN)


def attempt(door, value=PIN, *, now=NOW, type=CredentialType.PIN, **values):
    return attempts.attempt(door.pk, value, type=type, now=now, **values)


def reason(door, value=PIN, **values):
    answer = attempt(door, value, **values)
    event = Event.objects.get(pk=answer.event_id)
    assert event.admitted is answer.admitted
    return event.reason or "admitted", event.code


def hours(*stretches):
    shift = Shift.objects.create(name=f"hours {Shift.objects.count()}")
    granting.set_times(shift, stretches, by=BY, now=NOW - timedelta(days=1))
    return shift


# NOW is Wednesday 2026-07-01 11:00 in Berlin.
OPEN = Stretch(2, time(8), time(18))
SHUT = Stretch(2, time(18), time(20))


def by_role(ann, door, shift=None):
    belonging.set_roles(ann, [world.a_role("Staff", door, shift=shift)], by=BY, now=NOW - timedelta(hours=1))


def by_group(ann, door, shift=None):
    group = world.a_group("Staff", world.a_role("Staff", door, shift=shift))
    belonging.set_groups(ann, [group], by=BY, now=NOW - timedelta(hours=1))


def by_reservation(ann, door, shift=None):
    world.a_reservation(ann, door, start=NOW - timedelta(hours=1), shift=shift)


@pytest.mark.parametrize("grant", [by_role, by_group, by_reservation])
@pytest.mark.parametrize(
    ("shift", "expected"),
    [(None, ("admitted", 11)), (OPEN, ("admitted", 11)), (SHUT, ("not_permitted_at_this_time", 21))],
)
def test_rights_open_during_their_hours(issued, ann, door, grant, shift, expected):
    grant(ann, door, hours(shift) if shift else None)
    assert reason(door) == expected


def test_a_shift_without_times_is_never_open(issued, ann, door):
    by_role(ann, door, hours())
    assert reason(door) == ("not_permitted_at_this_time", 21)


@pytest.mark.parametrize("grant", [by_role, by_group, by_reservation])
def test_a_right_is_for_its_door(issued, ann, door, grant):
    lab = world.a_door("Lab")
    grant(ann, lab)
    assert reason(door) == ("unauthorized", 24)
    assert reason(lab) == ("admitted", 11)


def test_reasons(issued, ann, door):
    by_role(ann, door)
    assert reason(door) == ("admitted", 11)
    assert reason(door, "10293847") == ("invalid_pin", 24)
    issuing.set_enabled(issued.credential, False, by=BY, now=NOW)
    assert reason(door) == ("credential_not_enabled", 24)
    issuing.set_enabled(issued.credential, True, by=BY, now=NOW)
    records.change(ann, {"enabled": False}, by=BY, now=NOW)
    assert reason(door) == ("person_not_enabled", 21)
    records.change(ann, {"enabled": True, "valid_to": NOW}, by=BY, now=NOW)
    assert reason(door) == ("person_not_active", 21)
    records.change(ann, {"valid_to": None, "valid_from": NOW + timedelta(seconds=1)}, by=BY, now=NOW)
    assert reason(door) == ("person_not_active", 21)
    records.change(ann, {"valid_from": NOW}, by=BY, now=NOW)
    assert reason(door) == ("admitted", 11)
    type(door).objects.filter(pk=door.pk).update(state="locked_down")
    assert reason(door) == ("lockdown", 22)
    type(door).objects.filter(pk=door.pk).update(state="normal")
    leaving.delete_person(ann, by=BY, now=NOW)
    assert reason(door) == ("invalid_pin", 24)


def test_reservations_and_their_times(issued, ann, door):
    assert reason(door) == ("unauthorized", 24)
    reservation = world.a_reservation(ann, door, start=NOW + timedelta(hours=1))
    assert reason(door) == ("not_permitted_at_this_time", 21)
    assert reason(door, now=NOW + timedelta(hours=1)) == ("admitted", 11)
    assert reason(door, now=NOW + timedelta(hours=3)) == ("credential_expired", 21)
    reserving.reschedule(reservation, end_time=NOW + timedelta(hours=4), by=BY, now=NOW)
    assert reason(door, now=NOW + timedelta(hours=3)) == ("admitted", 11)
    reserving.cancel(reservation, by=BY, now=NOW + timedelta(hours=3))
    assert reason(door, now=NOW + timedelta(hours=3, seconds=1)) == ("credential_expired", 21)


def test_cards_are_found_by_their_own_kind_and_spared(issued, ann, door):
    by_role(ann, door)
    world.a_card(ann, "04A1B2C3")
    assert reason(door, "04A1B2C3", type=CredentialType.CARD) == ("admitted", 10)
    assert reason(door, "04A1B2C3") == ("invalid_pin", 24)
    assert reason(door, PIN, type=CredentialType.CARD) == ("invalid_card", 20)
    for number in range(20):
        assert reason(door, f"{number}", type=CredentialType.CARD) == ("invalid_card", 20)
    assert reason(door) == ("admitted", 11)


@pytest.mark.parametrize(
    "value",
    ["", "abc", "123", "1" * 200, "１２３４５６", "٠١٢٣", "12 34", "1234\x00", "\n", "'; DROP TABLE", "ö" * 1000],
)
def test_whatever_a_keypad_sends_is_an_answer(door, value):
    reader = world.api(world.a_reader_key(door).value)
    for _ in range(5):
        answer = reader.post(
            f"/api/3/channels/{door.pk}/access_attempts", {"value": value}, content_type="application/json"
        )
        assert answer.status_code == 200, answer.content
        assert answer.json()["decision"] == "rejected"
    assert not Event.objects.filter(reason="throttled").exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": None},
        {"value": 1.5e400},
        {"value": []},
        {"value": {}},
        {"value": "1", "credential_type": "face"},
        {"value": "1", "attempt_id": "x" * 101},
        {"value": "1", "attempt_id": "a\x00"},
    ],
)
def test_a_malformed_question_is_a_4xx(door, body):
    reader = world.api(world.a_reader_key(door).value)
    answer = reader.post(
        f"/api/3/channels/{door.pk}/access_attempts", json.dumps(body), content_type="application/json"
    )
    assert 400 <= answer.status_code < 500


def test_wrong_pins_cost_time_and_a_wait_is_not_checked(issued, ann, door):
    by_role(ann, door)
    for number in range(3):
        assert attempt(door, f"9000000{number}").retry_after is None
    assert attempt(door, "90000003").retry_after == 30
    assert reason(door) == ("throttled", 24)
    waiting = attempt(door, now=NOW + timedelta(seconds=10))
    assert not waiting.admitted
    assert waiting.retry_after == 20
    assert reason(door, now=NOW + timedelta(seconds=30)) == ("admitted", 11)
    assert Event.objects.filter(reason="throttled", person=None).count() == 2


def test_a_wait_doubles_to_an_hour_and_is_not_lengthened(door):
    now, waits = NOW, []
    for number in range(14):
        answer = attempt(door, f"900000{number:02}", now=now)
        waits.append(answer.retry_after)
        if answer.retry_after:
            attempt(door, "11112222", now=now)
        now += timedelta(seconds=answer.retry_after or 0)
    assert waits[:10] == [None, None, None, 30, 60, 120, 240, 480, 960, 1920]
    assert waits[10] == 3600


def test_each_door_has_its_own_numbers_and_its_own_count(acme):
    strict = world.a_door("Vault", free_tries=0, first_wait_seconds=60, longest_wait_seconds=120)
    lenient = world.a_door("Garden")
    assert attempt(strict, "90000001").retry_after == 60
    assert attempt(lenient, "90000001").retry_after is None
    assert attempt(strict, "90000002", now=NOW + timedelta(seconds=60)).retry_after == 120
    assert attempt(strict, "90000003", now=NOW + timedelta(seconds=180)).retry_after == 120


def test_the_same_wrong_entry_counts_once(door):
    for _ in range(10):
        assert attempt(door, "90000001").retry_after is None


def test_a_live_pin_at_the_wrong_door_or_time_does_not_count(issued, ann, door):
    for _ in range(10):
        assert reason(door) == ("unauthorized", 24)
    assert attempt(door).retry_after is None


def test_a_success_takes_back_the_slips_before_it(issued, ann, door):
    by_role(ann, door)
    for slip in ("73519265", "73519246", "37519264"):
        attempt(door, slip)
    attempt(door)
    for number in range(3):
        assert attempt(door, f"9000000{number}").retry_after is None
    assert attempt(door, "90000003").retry_after == 30


def test_a_manager_lifts_a_wait(door):
    for number in range(4):
        attempt(door, f"9000000{number}")
    assert attempts.lift_wait(door, by=BY, now=NOW)
    assert not attempts.lift_wait(door, by=BY, now=NOW)
    assert reason(door, "90000007") == ("invalid_pin", 24)
    assert AuditEvent.objects.filter(verb="lift", subject_id=str(door.pk)).count() == 1


def test_ten_failures_within_an_hour_raise_one_alarm(acme):
    door = world.a_door("Front Door", free_tries=50)
    for number in range(30):
        attempt(door, f"900000{number:02}")
    [alarm] = Alarm.objects.all()
    assert (alarm.kind, alarm.channel_id) == ("guessing", door.pk)


def test_an_attempt_id_is_answered_once(issued, ann, door):
    by_role(ann, door)
    reader = world.a_reader_key(door)
    first = attempt(door, attempt_id="a1", reader_key_id=reader.api_key.pk)
    assert attempt(door, attempt_id="a1", reader_key_id=reader.api_key.pk) == first
    with pytest.raises(repeats.AttemptIdReused):
        attempt(door, "00000000", attempt_id="a1", reader_key_id=reader.api_key.pk)
    assert Event.objects.count() == 1
    wrong = [attempt(door, "90000001", attempt_id="w", reader_key_id=reader.api_key.pk) for _ in range(5)]
    assert len({answer.event_id for answer in wrong}) == 1
    other = world.a_reader_key(world.a_door("Lab"))
    with pytest.raises(attempts.NoSuchChannel):
        attempt(door, attempt_id="a1", reader_key_id=other.api_key.pk)


def test_a_repeated_attempt_does_not_outlive_its_pin(issued, ann, door):
    by_role(ann, door)
    first = attempt(door, attempt_id="1")
    issuing.revoke(issued.credential, by=BY, now=NOW)
    later = attempt(door, attempt_id="1", now=NOW + timedelta(minutes=10))
    assert first.admitted
    assert not later.admitted
    assert later.event_id != first.event_id


def test_a_reader_asks_for_its_own_channels_only(issued, ann, door):
    by_role(ann, door)
    reader = world.api(world.a_reader_key(world.a_door("Lab")).value)
    answer = reader.post(f"/api/3/channels/{door.pk}/access_attempts", {"value": PIN}, content_type="application/json")
    assert answer.status_code == 404
    assert not Event.objects.exists()


def test_exchanged_values_open_nothing_and_raise_an_alarm(issued, ann, door):
    by_role(ann, door)
    bob = world.a_person("Bob")
    other = world.a_pin(bob, "84620735").credential
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE credentials_credential a SET sealed = b.sealed FROM credentials_credential b "
            "WHERE (a.id, b.id) IN ((%s, %s), (%s, %s))",
            [issued.credential.pk, other.pk, other.pk, issued.credential.pk],
        )
    assert reason(door) == ("invalid_pin", 24)
    assert Alarm.objects.get().kind == "tampering"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE vault_fingerprint SET holder_id = %s", [issued.credential.pk])
    assert reason(door, "84620735") == ("invalid_pin", 24)


def statements(captured):
    words = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "finder.caller_by_key", "set_config")
    return [query["sql"] for query in captured if not any(word in query["sql"] for word in words)]


@pytest.mark.parametrize("extra", [{}, {"attempt_id": "x"}])
@pytest.mark.parametrize("value", [PIN, "90000009", "", "73519265"])
def test_at_most_five_statements_over_http(issued, ann, door, value, extra):
    by_role(ann, door)
    by_reservation(ann, door)
    reader = world.api(world.a_reader_key(door).value)
    for number in range(3):
        attempt(door, f"9000000{number}")
    with CaptureQueriesContext(connection) as captured:
        answer = reader.post(
            f"/api/3/channels/{door.pk}/access_attempts", {"value": value} | extra, content_type="application/json"
        )
    assert answer.status_code == 200
    found = statements(captured.captured_queries)
    assert len(found) <= 5, "\n".join(found)


def test_the_facts_are_found_by_index(issued, ann, door):
    """Row security lets only leakproof operators use an index; the door's query must use nothing else."""
    with CaptureQueriesContext(connection) as captured:
        attempt(door)
    sql = next(query["sql"] for query in captured.captured_queries if "doors_rolechannel" in query["sql"])
    plan = plan_of(sql)
    assert "Seq Scan" not in plan, plan


def test_credentials_of_the_other_tenant_open_nothing(acme, issued, ann, door):
    from accounts.models import Tenant
    from accounts.tenancy import tenant_context

    by_role(ann, door)
    globex = world.tenants_named("Initech")[0]
    assert isinstance(globex, Tenant)
    with tenant_context(globex.pk):
        theirs = world.a_door("Front Door")
        assert reason(theirs) == ("invalid_pin", 24)
        mallory = world.a_person("Mallory")
        world.a_pin(mallory, PIN)
        by_role(mallory, theirs)
        assert reason(theirs) == ("admitted", 11)
    assert reason(door) == ("admitted", 11)
    assert Credential.objects.count() == 1
