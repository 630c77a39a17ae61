"""A controller's list, and the reference controller that decides by it."""

import hmac
import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accesscontrol.visits import belonging
from tests import world
from tests.world import BY

PIN = "73519264"
_spec = importlib.util.spec_from_file_location(
    "reference_controller", Path(__file__).parents[1] / "deploy" / "controller.py"
)
controller = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(controller)


@pytest.fixture(name="now")
def now_fixture(time_machine):
    moment = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
    time_machine.move_to(moment, tick=False)
    return moment


@pytest.fixture(name="door")
def door_fixture(acme, now):
    return world.a_door("Front Door", is_visitor_door=True, keeps_offline_list=True)


@pytest.fixture(name="key")
def key_fixture(door):
    return world.a_reader_key(door)


class Kept:
    """A list as a controller has it."""

    def __init__(self, door, key):
        self.door, self.key, self.entries, self.cursor = door, key, {}, None
        self.client = world.api(key.value)

    def ask(self, since=None, **query):
        query |= {"since": since} if since else {}
        return self.client.get(f"/api/3/channels/{self.door.pk}/access_list", query)

    def follow(self, n=500):
        """Read on to the end; returns how many entries and removals came."""
        came = 0
        while True:
            answer = self.ask(self.cursor, n=n).json()
            self.entries = {} if answer["reset"] else self.entries
            self.entries |= {entry["credential_id"]: entry for entry in answer["entries"]}
            for gone in answer["removed"]:
                self.entries.pop(gone, None)
            self.cursor, self.channel = answer["cursor"], answer["channel"]
            came += len(answer["entries"]) + len(answer["removed"])
            if not answer["more"]:
                return came

    def fingerprint(self, value, type="pin"):
        own = hmac.digest(self.key.value.encode(), f"gatehouse access list {self.door.pk}".encode(), "sha256")
        return hmac.digest(own, f"{type}|{value}".encode(), "sha256").hex()

    def entry(self, value):
        found = self.fingerprint(value)
        return next((entry for entry in self.entries.values() if entry["fingerprint"] == found), None)

    def decide(self, value, at, age=0):
        return controller.decide(self.channel, self.entry(value), at, age)


@pytest.fixture(name="kept")
def kept_fixture(door, key):
    return Kept(door, key)


def may(person, *doors, now, shift=None):
    role = world.a_role(f"Role {person.pk}", *doors, shift=shift, now=now)
    belonging.set_roles(person, [role], by=BY, now=now)
