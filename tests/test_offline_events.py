"""Through an outage: each event that a controller tells of afterwards counts once."""

from datetime import timedelta

import pytest

from accesscontrol.access.models import Alarm, Event, OfflineEvent
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import host_notice
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from tests import world
from tests.controllers import (
    PIN,
    door_fixture,  # noqa: F401
    kept_fixture,  # noqa: F401
    key_fixture,  # noqa: F401
    now_fixture,  # noqa: F401
)


def told(number, now, **values):
    return {"id": f"e{number}", "occurred_at": now.isoformat(), "admitted": False, "reason": "invalid_pin"} | values


@pytest.fixture
def send(door, key):
    client = world.api(key.value)

    def send(*events):
        return client.post(
            f"/api/3/channels/{door.pk}/events", {"events": list(events)}, content_type="application/json"
        )

    return send


def test_events_are_recorded_once_in_the_order_in_which_they_happened(door, send, now):
    ann = world.a_person("Ann", now=now)
    public_id = world.a_pin(ann, PIN, now=now).credential.public_id
    early, late = now - timedelta(hours=3), now - timedelta(hours=1)
    batch = [
        told(1, late, admitted=True, reason="", credential_id=public_id),
        told(2, early, reason="not_permitted_at_this_time", credential_id=public_id),
    ]
    first, again = send(*batch).json(), send(*batch, told(3, now)).json()
    assert (first["recorded"], again["recorded"]) == (2, 1)
    assert {row["id"]: row["event_id"] for row in first["events"]}.items() <= {
        row["id"]: row["event_id"] for row in again["events"]
    }.items()
    events = list(Event.objects.order_by("id"))
    assert [(event.occurred_at, event.code, event.person_id) for event in events] == [
        (early, 21, ann.pk),
        (late, 11, ann.pk),
        (now, 24, None),
    ]
    assert all(event.recorded_at > event.occurred_at for event in events[:2])


def test_an_admission_that_is_told_late_is_the_visitors_coming(door, send, now):
    """As when the server decides: the visit has begun, nobody was missed, a use counts. Hosts hear within the hour."""
    host = world.a_member(StaffRole.HOST, now=now)
    ago = timedelta(minutes=1)
    visits = {}
    for name, start, values in (
        ("Fresh", 120 * ago, {}),
        ("Late", 200 * ago, {}),
        ("Missed", 200 * ago, {"no_show_at": now - ago}),
        ("Gone", 120 * ago, {"checked_out_at": now - ago}),
        ("Counted", 120 * ago, {"max_uses": 3, "uses": 1, "last_use_at": now - 60 * ago, "arrived_at": now - 60 * ago}),
        ("Elsewhere", 120 * ago, {}),
    ):
        person = world.a_person(name, now=now - 600 * ago)
        doors = [world.a_door("Lab")] if name == "Elsewhere" else [door]
        booked = world.a_reservation(person, *doors, start=now - start, hours=8, now=now - start)
        Reservation.objects.filter(pk=booked.pk).update(host=host, **values)
        visits[name] = booked, world.a_pin(person, now=now - 300 * ago).credential.public_id
    came = {"Late": 150 * ago, "Missed": 150 * ago}

    def admissions(*more):
        rows = [(name, came.get(name, 30 * ago)) for name in visits] + list(more)
        return [
            told(place, now - before, admitted=True, reason="", credential_id=visits[name][1])
            for place, (name, before) in enumerate(rows)
        ]

    batch = admissions(("Counted", 29 * ago), ("Counted", 20 * ago), ("Fresh", 10 * ago))
    for _ in range(2):
        assert send(*batch).status_code == 200
    found = {name: Reservation.objects.get(pk=booked.pk) for name, (booked, _pin) in visits.items()}
    assert found["Fresh"].arrived_at == now - 30 * ago
    assert found["Fresh"].host_told_at is None
    assert (found["Late"].arrived_at, found["Late"].host_told_at) == (now - 150 * ago, now)
    assert (found["Missed"].arrived_at, found["Missed"].no_show_at) == (now - 150 * ago, None)
    assert (found["Gone"].arrived_at, found["Gone"].host_told_at) == (now - 30 * ago, now)
    assert (found["Counted"].uses, found["Counted"].last_use_at) == (3, now - 20 * ago)
    assert found["Counted"].arrived_at == now - 60 * ago
    assert found["Elsewhere"].arrived_at is None
    assert host_notice.tell_hosts(now) == 2, "Fresh, and Counted, whom a door let in before"


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"occurred_at": "2026-07-01T09:05:01Z"}, "occurred_at", "in_the_future"),
        ({"occurred_at": "2026-03-01T00:00:00Z"}, "occurred_at", "too_old"),
        ({"occurred_at": "noon"}, "occurred_at", "invalid"),
        ({"credential_id": "cred_unknown"}, "credential_id", "unknown"),
        ({"admitted": True, "reason": ""}, "credential_id", "required"),
        ({"reason": ""}, "reason", "invalid"),
        ({"reason": "bad mood"}, "reason", "invalid_choice"),
        ({"id": "e0"}, "id", "repeated"),
        ({"id": ""}, "id", "blank"),
        ({"id": "x" * 101}, "id", "max_length"),
        ({"credential_type": "face"}, "credential_type", "invalid_choice"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(send, now, values, field, code):
    answer = send(told(0, now), told(1, now) | values, told(2, now))
    assert answer.status_code == 422
    assert answer.json()["codes"] == {f"events[1].{field}": [code]}
    assert not Event.objects.exists()
    assert not OfflineEvent.objects.exists()


def test_a_batch_has_an_end_and_a_form(send, now):
    assert send(*(told(number, now) for number in range(501))).status_code == 422
    assert send(*(told(number, now) for number in range(500))).json()["recorded"] == 500
    assert send("x").status_code == 422
    assert send().status_code == 200


def test_an_id_is_of_one_event(send, now):
    send(told(1, now))
    answer = send(told(1, now, reason="lockdown"))
    assert answer.json()["codes"] == {"events[0].id": ["id_reused"]}


def test_an_event_that_the_server_had_decided_is_not_recorded_again(door, key, send, now):
    """Its answer was lost, so the controller decided too: with the same id."""
    asked = world.api(key.value).post(
        f"/api/3/channels/{door.pk}/access_attempts",
        {"value": PIN, "attempt_id": "e1"},
        content_type="application/json",
    )
    answer = send(told(1, now, reason="unauthorized")).json()
    assert answer == {"recorded": 0, "events": [{"id": "e1", "event_id": asked.json()["event_id"]}]}
    assert Event.objects.count() == 1


def test_the_same_alarms_are_raised(door, send, now):
    ann = world.a_person("Ann", now=now)
    public_id = world.a_pin(ann, PIN, now=now).credential.public_id
    forced = told(0, now, admitted=True, reason="", credential_id=public_id, duress=True)
    for _ in range(2):
        send(forced)
    [alarm] = Alarm.objects.all()
    assert (alarm.kind, alarm.person_id, alarm.channel_id) == ("duress", ann.pk, door.pk)
    send(*(told(number, now - timedelta(minutes=7 * number)) for number in range(1, 11)))
    assert Alarm.objects.filter(kind="guessing").count() == 0
    send(*(told(number, now - timedelta(minutes=6 * number)) for number in range(11, 21)))
    assert Alarm.objects.filter(kind="guessing").count() == 1


def test_one_batch_sent_many_times_at_once_is_recorded_once(live):
    from django.utils import timezone

    from tests.test_races import at_once

    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        key = world.a_reader_key(door).value
    batch = {"events": [told(number, now) for number in range(20)]}

    def send(number):
        answer = world.api(key).post(f"/api/3/channels/{door.pk}/events", batch, content_type="application/json")
        return answer.json()["recorded"]

    assert sorted(at_once(8, send)) == [0] * 7 + [20]
    with tenant_transaction(live.acme.pk):
        assert Event.objects.count() == 20
