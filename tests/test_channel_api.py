"""Commands over REST: the contract's bodies and codes, what a controller gets, and what it says it has done."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access import commands, contact
from accesscontrol.access.models import Event
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.visits import belonging
from tests import world
from tests.world import BY

ADMIT = ("account.channel.admit", "account.channel.readonly")


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def door(acme):
    return world.a_door("Front Door", is_visitor_door=True)


@pytest.fixture
def api(door):
    return world.api(world.an_api_key(*ADMIT))


@pytest.fixture
def reader(door):
    return world.api(world.a_reader_key(door).value)


def post(client, path, body=None):
    return client.post(f"/api/3/{path}", body or {}, content_type="application/json")


def get(client, path, **headers):
    return client.get(f"/api/3/{path}", headers=headers)


def test_a_door_is_opened_and_the_controller_says_so(door, api, reader):
    asked = post(api, f"channels/{door.pk}/admit", {"reason": "Parcel"})
    assert asked.status_code == 202
    assert asked.json()["status"] == "offline"
    request = f"admission_requests/{asked.json()['admission_request_id']}"
    [command] = get(reader, f"channels/{door.pk}/commands").json()["commands"]
    assert command["kind"] == "admit"
    assert get(api, request).json()["status"] == "pending"
    path = f"channels/{door.pk}/commands/{command['id']}/acknowledge"
    for _ in range(2):
        assert post(reader, path, {"outcome": "done"}).status_code == 200
    answer = get(api, request).json()
    assert (answer["status"], answer["door_controller"]) == ("admitted", {"id": door.pk, "name": "Front Door"})
    assert answer["completed_at"]
    assert get(reader, f"channels/{door.pk}/commands").json()["commands"] == []
    assert Event.objects.get().code == 50
    events = get(world.api(world.an_api_key("account.event.access.readonly")), "events").json()
    assert [(row["event_code"], row["credential_type"]) for row in events] == [(50, None)]


def test_a_person_is_admitted_or_told_why_not(door, reader, now):
    client = world.api(world.an_api_key("account.channel.admit.person"))
    ann = world.a_person("Ann", last_name="Arbor", now=now - timedelta(days=1))
    world.a_pin(ann, now=now - timedelta(days=1))
    path = f"channels/{door.pk}/admit_person"
    refused = post(client, path, {"person_id": ann.pk})
    assert refused.status_code == 403
    assert refused.json()["reason"] == "unauthorized"
    belonging.set_roles(ann, [world.a_role("Staff", door, now=now - timedelta(days=1))], by=BY, now=now)
    asked = post(client, path, {"person_id": ann.pk})
    assert asked.status_code == 202
    answer = get(client, f"admission_requests/{asked.json()['admission_request_id']}").json()
    assert (answer["person_id"], answer["person"]) == (ann.pk, {"id": ann.pk, "name": "Ann Arbor"})
    assert post(client, path, {}).json()["codes"] == {"person_id": ["required"]}
    assert post(client, path, {"person_id": 99999}).status_code == 404
    assert post(client, f"channels/{door.pk}/admit").status_code == 403


def test_the_channel_says_how_it_stands(door, api, reader, now):
    channel = f"channels/{door.pk}"
    assert get(api, channel).json()["status"] == "offline"
    get(reader, f"{channel}/commands")
    until = (now + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    held = post(api, f"{channel}/unlock", {"relock_at": until}).json()
    assert (held["state"], held["mode"]["description"], held["status"]) == ("unlocked", "unlock", "online")
    assert held["mode"]["relock_at"][:16] == until[:16]
    assert (held["sync"]["status"], held["waiting_changes"]) == ("pending", 1)
    opened = post(api, f"{channel}/admit")
    assert (opened.status_code, opened.json()["mode"]["description"]) == (400, "unlock")
    locked = post(api, f"{channel}/lockdown", {"reason": "Drill"}).json()
    assert (locked["state"], locked["mode"]["description"], locked["is_locked_down"]) == ("locked_down", "normal", True)
    assert locked["lockdown"]["message"] == "Drill"
    assert [locked["lockdown"][name]["state"] for name in ("card_lockdown", "rex_lockdown")] == [True, False]
    assert post(api, f"{channel}/unlock").status_code == 409
    normal = post(api, f"{channel}/unlockdown").json()
    assert (normal["state"], normal["lockdown"]) == ("normal", None)
    assert post(api, f"{channel}/normal").json()["state"] == "normal"
    kinds = [row["kind"] for row in get(reader, f"{channel}/commands").json()["commands"]]
    assert kinds == ["unlockdown"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("unlock", {"relock_at": "yesterday"}, "relock_at"),
        ("unlock", {"relock_at": "2020-01-01T00:00:00Z"}, "relock_at"),
        ("lockdown", {"card_lockdown": False}, "card_lockdown"),
        ("lockdown", {"rex_lockdown": True}, "rex_lockdown"),
        ("lockdown", {"reason": "x" * 251}, "reason"),
        ("auto_unlock", {}, "shift_id"),
        ("admit_person", {"person_id": "Ann"}, "person_id"),
    ],
)
def test_a_wrong_body_names_the_field_and_changes_nothing(door, api, path, body, field):
    answer = post(api, f"channels/{door.pk}/{path}", body)
    assert answer.status_code == 422
    assert list(answer.json()["codes"]) == [field]
    assert Channel.objects.get().state == "normal"


def test_weekly_hours_hold_a_door_open(door, api):
    shift = Shift.objects.create(name="Shop hours")
    path = f"channels/{door.pk}/auto_unlock"
    assert post(api, path, {"shift_id": shift.pk}).json()["auto_unlock"] == {"id": shift.pk, "name": "Shop hours"}
    unknown = post(api, path, {"shift_id": 99999})
    assert (unknown.status_code, unknown.json()["success"]) == (400, False)
    assert post(api, path, {"shift_id": None}).json()["auto_unlock"] is None


def test_a_key_of_other_sites_and_a_reader_of_other_doors_find_nothing(door, api):
    lab = world.a_door("Lab", site=world.a_site("Elsewhere"))
    here = world.api(world.an_api_key(*ADMIT, sites=[door.site]))
    request = post(api, f"channels/{lab.pk}/admit").json()["admission_request_id"]
    for path in ("admit", "lockdown", "unlock", "normal", "unlockdown"):
        assert post(here, f"channels/{lab.pk}/{path}").status_code == 404
    assert get(here, f"admission_requests/{request}").status_code == 404
    stranger = world.api(world.a_reader_key(door).value)
    assert get(stranger, f"channels/{lab.pk}/commands").status_code == 404
    assert post(stranger, f"channels/{lab.pk}/commands/{request}/acknowledge").status_code == 404
    assert post(stranger, f"channels/{door.pk}/commands/{request}/acknowledge").status_code == 404


def test_a_repeated_command_with_its_key_is_one(door):
    client = world.api(world.an_api_key(*ADMIT), **{"Idempotency-Key": "one"})
    first, second = (post(client, f"channels/{door.pk}/admit").json() for _ in range(2))
    assert first == second


def test_which_channels_have_not_caught_up(door, now):
    lab = world.a_door("Lab")
    assert contact.behind(Channel.objects.all(), now) == []
    contact.seen(door.pk, now=now)
    assert contact.behind(Channel.objects.all(), now) == []
    commands.lock_down([door, lab], by=BY, now=now)
    assert [row for row, _ in contact.behind(Channel.objects.all(), now)] == [door]
    commands.end_lock_down([door], by=BY, now=now)
    assert [row for row, _ in contact.behind(Channel.objects.all(), now + timedelta(minutes=2))] == [door]


def test_the_list_of_channels_costs_as_many_queries_for_many(api, django_assert_max_num_queries):
    for number in range(20):
        world.a_door(f"Door {number}")
    with django_assert_max_num_queries(14):
        assert len(get(api, "channels").json()) == 21
