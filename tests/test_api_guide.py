"""The guide's calls as an integration makes them, and what a reservation of one does at the door."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access.models import Event
from accesscontrol.credentials.models import Credential
from accesscontrol.people.models import Person
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
from tests.plans import plan_with


def test_the_whole_guide(api, reader, front, lab, time_machine):
    person = a_person(api)
    assert person["first_name"] == "Ann"
    assert person["groups"] == []

    issued = a_pin(api, person)
    assert issued.status_code == 201
    credential = issued.json()
    assert re.fullmatch(r"[0-9]{4,8}", credential["value"])
    assert credential["id"].startswith("cred_")
    assert credential["credential_type_id"] == 6
    assert credential["enabled"] is True
    assert credential["person_id"] == person["id"]
    assert credential["created_at"].endswith("Z")
    assert issued["Cache-Control"] == "no-store"

    listed = api.get(f"/api/3/people/{person['id']}/credentials").json()
    assert [row["value"] for row in listed] == [credential["value"]]

    pin = credential["value"]
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    reservation = reserve(api, person)
    assert reservation.status_code == 201
    assert reservation.json()["channel_ids"] == [front.pk]

    admitted = try_pin(reader, front, pin)
    assert admitted["decision"] == "admitted"
    assert admitted["release_seconds"] == 5
    assert admitted["person"] == {"id": person["id"], "name": "Ann Arbor"}
    assert try_pin(reader, lab, pin) == {
        "decision": "rejected",
        "event_id": admitted["event_id"] + 1,
        "retry_after": None,
    }

    events = api.get(f"/api/3/events?person_id={person['id']}").json()["events"]
    assert {event["event_type"] for event in events} == {"access_granted", "access_denied"}
    granted = next(event for event in events if event["event_type"] == "access_granted")
    assert granted["credential_id"] == credential["id"]
    assert granted["credential_type"] == "PIN"
    assert granted["channel_name"] == "Front Door"
    assert granted["event_code"] == 11
    assert granted["timestamp"].endswith("Z")
    assert granted["credentials_number"] is None

    disabled = put(
        api, f"people/{person['id']}/credentials/{credential['id']}", {"person_credential": {"enabled": False}}
    )
    assert disabled.status_code == 201
    assert disabled.json()["enabled"] is False
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    put(api, f"people/{person['id']}/credentials/{credential['id']}", {"enabled": True})
    assert try_pin(reader, front, pin)["decision"] == "admitted"

    deleted = api.delete(f"/api/3/people/{person['id']}/credentials/{credential['id']}")
    assert deleted.status_code == 200
    assert deleted["Content-Type"].startswith("text/plain")
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    reasons = list(Event.objects.order_by("id").values_list("reason", flat=True))
    assert reasons == ["unauthorized", "", "unauthorized", "credential_not_enabled", "", "invalid_pin"]


def test_a_pin_stops_at_end_time_to_the_second(api, reader, front, time_machine):
    start = timezone.now().replace(microsecond=0)
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    reserve(api, person, start=start, hours=1)
    time_machine.move_to(start - timedelta(seconds=1), tick=False)
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    time_machine.move_to(start, tick=False)
    assert try_pin(reader, front, pin)["decision"] == "admitted"
    time_machine.move_to(start + timedelta(minutes=59, seconds=59), tick=False)
    assert try_pin(reader, front, pin)["decision"] == "admitted"
    time_machine.move_to(start + timedelta(hours=1), tick=False)
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert Event.objects.order_by("-id").first().reason == "credential_expired"


def test_a_past_period_answers_201_and_grants_nothing(api, reader, front):
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    body = {"person_id": person["id"], "start_time": "2024-01-15T09:00:00Z", "end_time": "2024-01-15T17:00:00Z"}
    assert post(api, "reservations", body).status_code == 201
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert api.get("/api/3/reservations").json() == []


def test_reservations_without_a_visitor_door_are_refused(api, front):
    type(front).objects.filter(pk=front.pk).update(is_visitor_door=False)
    answer = reserve(api, a_person(api))
    assert answer.status_code == 422
    assert "channel_ids" in answer.json()["errors"]


def test_a_reservation_is_moved_extended_and_cancelled(api, reader, front, lab):
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    reservation = reserve(api, person, hours=1).json()
    path = f"reservations/{reservation['id']}"
    moved = put(api, path, {"channel_ids": [lab.pk], "end_time": (timezone.now() + timedelta(days=2)).isoformat()})
    assert moved.status_code == 201
    assert moved.json()["channel_ids"] == [lab.pk]
    assert moved.json()["start_time"] == reservation["start_time"]
    assert try_pin(reader, lab, pin)["decision"] == "admitted"
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert api.delete(f"/api/3/{path}").json() == {"result": "ok"}
    assert try_pin(reader, lab, pin)["decision"] == "rejected"
    assert api.get(f"/api/3/{path}").status_code == 404


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("2027-01-01T10:00:00Z", "2027-01-01T10:00:00Z", "end_time"),
        ("2027-01-01T10:00:00Z", "2027-01-01T09:00:00Z", "end_time"),
        ("yesterday", "2027-01-01T09:00:00Z", "start_time"),
        ("2027-02-30T10:00:00Z", "2027-03-01T09:00:00Z", "start_time"),
        ("2027-03-28T02:30:00", "2027-03-28T09:00:00", "start_time"),
        ("2027-10-31T02:30:00", "2027-10-31T09:00:00", "start_time"),
        (1767225600, "2027-01-01T09:00:00Z", "start_time"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "start_time"),
    ],
)
def test_periods_that_cannot_be_are_refused(api, start, end, field):
    answer = post(api, "reservations", {"person_id": a_person(api)["id"], "start_time": start, "end_time": end})
    assert answer.status_code == 422
    assert field in answer.json()["errors"]


def test_times_without_offset_are_the_accounts(api):
    body = {"person_id": a_person(api)["id"], "start_time": "2027-07-01T09:00:00", "end_time": "2027-07-01T10:00:00"}
    answer = post(api, "reservations", body).json()
    assert answer["start_time"] == "2027-07-01T07:00:00.000Z"


def test_unknown_ids_in_a_body_name_their_field(api):
    person = a_person(api)
    times = {"start_time": "2027-07-01T09:00:00Z", "end_time": "2027-07-01T10:00:00Z"}
    for body, field in (
        ({"person_id": 99999999}, "person_id"),
        ({"person_id": 10**30}, "person_id"),
        ({"person_id": person["id"], "channel_ids": [99999999]}, "channel_ids"),
        ({"person_id": person["id"], "channel_ids": [10**30]}, "channel_ids"),
        ({"person_id": person["id"], "channel_ids": []}, "channel_ids"),
        ({"person_id": person["id"], "shift_id": 99999999}, "shift_id"),
        ({"person_id": person["id"], "channel_ids": "all"}, "channel_ids"),
    ):
        answer = post(api, "reservations", body | times)
        assert answer.status_code == 422, body
        assert field in answer.json()["errors"], answer.json()


def test_unknown_keys_are_ignored_and_null_empties(api):
    person = a_person(api, firstName="Ann", unknown={"a": 1}, notes="careful")
    changed = put(api, f"people/{person['id']}", {"notes": None, "lastName": "x"})
    assert changed.status_code == 201
    assert changed.json()["notes"] == ""
    assert changed.json()["last_name"] == "Arbor"


def test_a_deleted_person_opens_nothing(api, reader, front):
    person = a_person(api)
    pin = a_pin(api, person).json()["value"]
    reserve(api, person)
    assert try_pin(reader, front, pin)["decision"] == "admitted"
    assert api.delete(f"/api/3/people/{person['id']}").json() == {"result": "ok"}
    assert try_pin(reader, front, pin)["decision"] == "rejected"
    assert api.get(f"/api/3/people/{person['id']}").status_code == 404
    assert api.get("/api/3/reservations").json() == []


def test_credential_types_are_the_contracts(api):
    assert api.get("/api/3/credential_types").json() == [
        {"id": 5, "label": "Card", "slug": "credentials_number", "code": 200},
        {"id": 6, "label": "PIN", "slug": "pin", "code": 10},
    ]


def test_account_and_channels(api, acme, front):
    account = api.get("/api/3/account").json()
    assert (account["id"], account["name"], account["time_zone"]) == (acme.slug, "Acme", "Europe/Berlin")
    assert account["user"] is None
    [channel] = api.get("/api/3/channels").json()
    assert channel["name"] == "Front Door"
    assert api.get(f"/api/3/channels/{front.pk}").json() == channel


def test_a_message_is_queued_where_it_is_asked_for(api, front):
    from pins.deliveries.models import Delivery

    person = a_person(api)
    pin = a_pin(api, person, deliver="email")
    assert pin.status_code == 201
    assert reserve(api, person, deliver="email").status_code == 201
    assert list(Delivery.objects.order_by("id").values_list("template", "state")) == [
        ("pin", "queued"),
        ("visit", "queued"),
    ]
    nobody = a_person(api, email="")
    for answer in (a_pin(api, nobody, deliver="email"), reserve(api, nobody, deliver="email")):
        assert answer.status_code == 422
        assert answer.json()["codes"]["deliver"] == ["no_address"]
    assert a_pin(api, nobody, deliver="fax").status_code == 422
    assert Credential.objects.count() == 1


def test_people_are_found_by_address_whatever_its_case(api):
    person = a_person(api, email="Ann.Arbor@Example.com")
    a_person(api, email="bob@example.com")
    for text in ("ann.arbor@example.com", "ANN.ARBOR@EXAMPLE.COM", "arbor"):
        assert [row["id"] for row in api.get("/api/3/people", {"email": text}).json()] == [person["id"]]


def test_an_address_is_found_by_index(acme):
    found = Person.objects.filter(lower_email="ann@example.com")
    plan = plan_with("person_by_email", *found.query.sql_with_params())
    assert "Index Cond" in plan, plan
    assert "lower_email" in plan.partition("Index Cond")[2], plan
