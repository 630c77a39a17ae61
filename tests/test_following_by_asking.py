"""Whoever follows events by asking loses and repeats none, late ones of controllers included."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accesscontrol.access import attempts, offline_events
from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import CredentialType
from accounts.tenancy import tenant_transaction
from tests import world
from tests.hooks import all_visible


class Follower:
    def __init__(self, key, **query):
        self.client, self.query, self.place, self.seen = world.api(key), query, "", []

    def ask(self):
        all_visible()
        answer = self.client.get("/api/3/events", {**self.query, "after": self.place})
        assert answer.status_code == 200
        self.place = answer["Last-Event-ID"]
        self.seen += [row["id"] for row in answer.json()]
        return answer.json()


@pytest.fixture
def door(live):
    def furnish():
        return world.a_door("Front Door"), world.an_api_key("account.event.access.readonly")

    made, key = world.committed(live.acme, furnish)
    return live.acme, made, key


def knock(tenant, door, *, late=None):
    now = timezone.now()
    with tenant_transaction(tenant.pk):
        if late:
            told = offline_events.Told(f"e{late}", now - late, CredentialType.PIN, False, Reason.INVALID_PIN)
            found, _ = offline_events.record(door, [told], now=now)
            return found[told.id]
        return attempts.attempt(door.pk, "0001", type=CredentialType.PIN, now=now).event_id


def test_late_events_come_when_they_were_recorded_and_each_once(door):
    tenant, front, key = door
    follower, narrow = Follower(key, n=2), Follower(key, channel_id=front.pk + 1)
    knock(tenant, front)
    assert follower.ask() == [], "who begins now begins now"
    assert narrow.ask() == []
    written = [knock(tenant, front), knock(tenant, front, late=timedelta(days=80)), knock(tenant, front)]
    assert [row["id"] for row in follower.ask()] == written[:2]
    late = follower.client.get(f"/api/3/events/{written[1]}").json()
    assert late["recorded_at"] > late["timestamp"]
    assert [row["id"] for row in follower.ask()] == written[2:]
    assert follower.ask() == []
    assert narrow.ask() == []
    with tenant_transaction(tenant.pk):
        assert Event.objects.count() == 4
        newest = max(Event.objects.values_list("xact_id", flat=True))
    assert int(narrow.place.partition("-")[0]) > newest, "what does not concern it is behind it too"


def test_an_unfinished_transaction_is_waited_for(door):
    tenant, front, key = door
    follower = Follower(key)
    follower.ask()
    # Asked while the transaction of an earlier number is still open, in this very connection.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        place = follower.client.get("/api/3/events", {"after": follower.place})["Last-Event-ID"]
    follower.place = place
    written = knock(tenant, front)
    assert [row["id"] for row in follower.ask()] == [written]


@pytest.mark.parametrize("place", ["x", "1", "1-2-3", "-1-2", "9" * 19 + "-1", "1-\x00"])
def test_a_place_that_is_none_is_refused(acme, place):
    client = world.api(world.an_api_key("account.event.access.readonly"))
    answer = client.get("/api/3/events", {"after": place})
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["after"])
