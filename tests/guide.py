"""The guide's calls as an integration makes them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests import world

JSON = "application/json"


@pytest.fixture(name="site")
def site_fixture(acme):
    return world.a_site()


@pytest.fixture(name="front")
def front_fixture(site):
    return world.a_door("Front Door", site=site, is_visitor_door=True)


@pytest.fixture(name="lab")
def lab_fixture(site):
    return world.a_door("Lab", site=site)


@pytest.fixture(name="api")
def api_fixture(front):
    return world.api(world.an_api_key())


@pytest.fixture(name="reader")
def reader_fixture(front, lab):
    return world.api(world.a_reader_key(front, lab).value)


def post(api, path, body, **headers):
    return api.post(f"/api/3/{path}", body, content_type=JSON, headers=headers or None)


def put(api, path, body):
    return api.put(f"/api/3/{path}", body, content_type=JSON)


def a_person(api, **values):
    answer = post(api, "people", {"first_name": "Ann", "last_name": "Arbor", "email": "ann@example.com"} | values)
    assert answer.status_code == 201, answer.content
    return answer.json()


def a_pin(api, person, value="******", **values):
    body = {"person_credential": {"credential_type_id": 6, "value": value, "enabled": True} | values}
    return post(api, f"people/{person['id']}/credentials", body)


def try_pin(reader, channel, value, **values):
    return post(reader, f"channels/{channel.pk}/access_attempts", {"value": value} | values).json()


def reserve(api, person, *, hours=1, start=None, **values):
    start = start or timezone.now() - timedelta(minutes=1)
    body = {
        "person_id": person["id"],
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(hours=hours)).isoformat(),
    }
    return post(api, "reservations", body | values)
