"""A person in groups for a period: the door follows the clock, no job does."""

from datetime import timedelta

import pytest

from accesscontrol.access import attempts
from accesscontrol.credentials.models import CredentialType
from accesscontrol.people.models import GroupMembership
from accesscontrol.visits import belonging, expiry, group_reserving, leaving
from tests import world
from tests.world import BY, NOW

DAY = timedelta(days=1)


class Scene:
    def __init__(self):
        self.door = world.a_door()
        self.group = world.a_group("Contractors", world.a_role("Works", self.door))
        self.ann = world.a_person()
        self.pin = world.a_pin(self.ann).value

    def reserve(self, start=NOW + DAY, end=NOW + 3 * DAY, now=NOW):
        return group_reserving.reserve(self.ann, [self.group], start_time=start, end_time=end, by=BY, now=now)

    def opens(self, now):
        return attempts.attempt(self.door.pk, self.pin, type=CredentialType.PIN, now=now).admitted


@pytest.fixture
def scene(acme):
    return Scene()


def test_the_door_follows_the_period_to_the_second(scene):
    reservation = scene.reserve()
    second = timedelta(seconds=1)
    moments = (NOW, NOW + DAY - second, NOW + DAY, NOW + 3 * DAY - second, NOW + 3 * DAY)
    assert [scene.opens(moment) for moment in moments] == [False, False, True, True, False]
    assert [reservation.state(moment) for moment in (NOW, NOW + DAY, NOW + 3 * DAY)] == [
        "pending",
        "active",
        "deactivated",
    ]


def test_ending_it_ends_the_right_at_once(scene):
    active = scene.reserve(NOW, NOW + DAY)
    assert scene.opens(NOW)
    group_reserving.end([active], by=BY, now=NOW + timedelta(hours=1))
    assert not scene.opens(NOW + timedelta(hours=1))
    active.refresh_from_db()
    assert active.state(NOW + timedelta(hours=1)) == "deactivated"


def test_a_pending_one_that_is_ended_never_held(scene):
    pending = scene.reserve()
    group_reserving.end([pending], by=BY, now=NOW)
    assert not scene.opens(NOW + DAY)
    [membership] = GroupMembership.objects.all()
    assert membership.started_at == membership.ended_at


def test_it_stands_beside_a_membership_of_its_own(scene):
    belonging.set_groups(scene.ann, [scene.group], by=BY, now=NOW)
    both = scene.reserve(NOW, NOW + DAY)
    group_reserving.end([both], by=BY, now=NOW)
    assert scene.opens(NOW)


def test_the_pin_expires_after_its_end_and_not_before(scene):
    scene.reserve(NOW, NOW + DAY)
    expiry.expire_due(NOW)
    assert scene.opens(NOW + DAY - timedelta(minutes=1))
    expiry.expire_due(NOW + DAY)
    assert not scene.opens(NOW + DAY)


def test_whoever_leaves_is_in_no_group_to_come(scene):
    scene.reserve()
    leaving.delete_person(scene.ann, by=BY, now=NOW)
    assert not GroupMembership.objects.filter(ended_at__gt=NOW).exists()


def test_what_is_refused(scene):
    for start, end in ((NOW + DAY, NOW + DAY), (NOW - 2 * DAY, NOW - DAY), (NOW - DAY, NOW)):
        with pytest.raises(group_reserving.EndsBeforeItStarts):
            scene.reserve(start, end)


def test_over_the_api(scene):
    client = world.api(world.an_api_key("account.group_reservation"))
    body = {
        "person_id": scene.ann.pk,
        "start_time": "2031-01-01T20:00:00Z",
        "end_time": "2031-01-04T08:00:00Z",
        "group_ids": [scene.group.pk],
    }
    made = client.post("/api/3/group_reservations", {"group_reservation": body}, "application/json")
    assert (made.status_code, made.json()["state"], made.json()["group_ids"]) == (201, "pending", [scene.group.pk])
    assert [row["id"] for row in client.get("/api/3/group_reservations").json()] == [made.json()["id"]]
    for wrong in ({"group_ids": []}, {"group_ids": [0]}, {"person_id": 0}):
        answer = client.post("/api/3/group_reservations", {**body, **wrong}, "application/json")
        assert (answer.status_code, list(answer.json()["errors"])) == (422, list(wrong))
    path = f"/api/3/group_reservations/{made.json()['id']}"
    assert client.delete(path).json() == {"result": "ok"}
    assert client.get(path).json()["state"] == "deactivated"
    assert client.get("/api/3/group_reservations").json() == []
