"""One call for a visit under a booking system's id: told again it is the same visit, ended it is over."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts.rights import OF_SCOPE
from tests import world


class Booking:
    def __init__(self):
        self.door = world.a_door(is_visitor_door=True)
        self.client = world.api(world.an_api_key(*OF_SCOPE))
        self.now = timezone.now().replace(microsecond=0)
        self.whole = {
            "first_name": "Ann",
            "last_name": "Miller",
            "email": "ann@example.com",
            **self.hours(1, 3),
            "max_uses": 2,
            "host_name": "Dr. Weber",
        }

    def hours(self, first, last):
        moments = {"start_time": first, "end_time": last}
        return {name: (self.now + timedelta(hours=hours)).isoformat() for name, hours in moments.items()}

    def tell(self, booking="B-1", **values):
        return self.client.put(f"/api/3/visits/{booking}", {**self.whole, **values}, "application/json")


@pytest.fixture
def booking(acme):
    return Booking()


def test_a_visit_is_made_with_one_call(booking):
    answer = booking.tell(deliver="email")
    made = answer.json()
    assert answer.status_code == 201, made
    assert (made["is_new"], made["external_id"]) == (True, "B-1")
    assert made["reservation"]["channel_ids"] == [booking.door.pk]
    assert (made["reservation"]["max_uses"], made["reservation"]["host_name"]) == (2, "Dr. Weber")
    assert made["credential"]["value"].isdecimal()
    assert made["delivery_id"]
    assert answer["Cache-Control"] == "no-store"
    assert booking.client.get("/api/3/visits/B-1").json()["id"] == made["reservation"]["id"]


def test_the_same_id_is_the_same_visit(booking):
    first = booking.tell().json()
    same = booking.tell()
    moved = booking.tell(**booking.hours(5, 6), last_name="Weber")
    assert (same.status_code, moved.status_code) == (200, 200)
    assert moved.json()["reservation"]["id"] == first["reservation"]["id"]
    assert moved.json()["reservation"]["start_time"].startswith(booking.hours(5, 6)["start_time"][:16])
    assert "value" not in same.json()["credential"]
    assert (Person.objects.get().last_name, Reservation.objects.count()) == ("Weber", 1)


def test_an_ended_visit_may_be_booked_again(booking):
    first = booking.tell().json()["reservation"]["id"]
    assert booking.client.delete("/api/3/visits/B-1").json() == {"result": "ok"}
    assert booking.client.get("/api/3/visits/B-1").status_code == 404
    assert booking.client.delete("/api/3/visits/B-1").status_code == 404
    again = booking.tell()
    assert (again.status_code, again.json()["is_new"]) == (201, True)
    assert again.json()["reservation"]["id"] != first


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"first_name": None}, "first_name"),
        ({"start_time": None}, "start_time"),
        ({"end_time": "2020-01-01T00:00:00Z", "start_time": "2019-01-01T00:00:00Z"}, "end_time"),
        ({"channel_ids": [0]}, "channel_ids"),
        ({"site_id": 0}, "site_id"),
        ({"max_uses": 0}, "max_uses"),
        ({"deliver": "sms"}, "deliver"),
        ({"mobile": "123", "deliver": "sms"}, "mobile"),
    ],
)
def test_nothing_is_left_of_what_is_refused(booking, wrong, field):
    values = {name: value for name, value in {**booking.whole, **wrong}.items() if value is not None}
    answer = booking.client.put("/api/3/visits/B-1", values, "application/json")
    assert answer.status_code in (409, 422), answer.json()
    assert list(answer.json()["errors"]) == [field]
    assert not Person.objects.exists()
    assert not Reservation.objects.exists()


def test_a_key_of_some_sites_leaves_others_visits_alone(booking):
    there = world.a_site("There")
    booking.tell()
    key = world.an_api_key(*OF_SCOPE, sites=[there])
    client = world.api(key)
    assert client.get("/api/3/visits/B-1").status_code == 404
    assert client.delete("/api/3/visits/B-1").status_code == 404
    answer = client.put("/api/3/visits/B-1", booking.whole, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "reaches_other_sites")
