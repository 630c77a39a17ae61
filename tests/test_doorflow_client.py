"""DoorFlow's own npm client, version 1.0.0, unchanged: given our base address it connects, reads, writes and leaves."""

import json
import os
import shutil
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from accounts import applications
from accounts.rights import OF_SCOPE, StaffRole
from tests import world
from tests.serving import serving
from tests.world import BY

BACK = "http://localhost:3000/callback"
SCRIPT = Path(__file__).with_name("doorflow_client.cjs")
PACKAGE = "doorflow@1.0.0"
# `.ci/run` installs it beforehand; otherwise it is fetched once for each machine.
FOLDER = Path(os.environ.get("DOORFLOW_CLIENT", Path(tempfile.gettempdir()) / "gatehouse-doorflow-client"))


@pytest.fixture(scope="session")
def package():
    npm, node = shutil.which("npm"), shutil.which("node")
    if node is None:
        pytest.skip("there is no Node (apt-get install nodejs npm)")
    if not (FOLDER / "node_modules" / "doorflow").is_dir():
        if npm is None:
            pytest.skip("there is no npm to install the client with")
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(FOLDER), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            pytest.skip(f"{PACKAGE} cannot be installed here: {done.stderr[-200:]}")
    return FOLDER


class Program:
    """The client in a process of its own."""

    def __init__(self, *args):
        command = ["node", str(SCRIPT), *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, verb, **asked):
        self.process.stdin.write(json.dumps({"verb": verb, **asked}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def call(self, api, method, *args):
        answer = self.ask("call", api=api, method=method, args=args)
        assert "error" not in answer, answer
        return answer["value"]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(120)


def furnish():
    now = timezone.now()
    made = applications.register(
        "Client", redirect_uris=[BACK], scopes=list(OF_SCOPE), pkce_optional=True, by=BY, now=now
    )
    door = world.a_door(is_visitor_door=True)
    group = world.a_group("Staff", world.a_role("Doors", door, now=now), now=now)
    member = world.a_member(StaffRole.OWNER, now=now)
    return made, member.user, group.pk, door.pk


@pytest.fixture
def connected(live, package):
    made, user, group, door = world.committed(live.acme, furnish)
    with serving() as address:
        program = Program(package, address, made.application.client_id, made.secret, BACK)
        program.group, program.door = group, door
        try:
            connect(program, user, live.acme)
            yield program
        finally:
            program.close()


def connect(program, user, tenant, **options):
    """What the user's browser does in between."""
    asked = program.ask("authorize", options=options)["value"]
    path = asked["url"].partition("/oauth/")[2]
    answer = world.signed_in(user).post(f"/oauth/{path}", {"tenant": tenant.pk, "allow": "yes"})
    back = parse_qs(urlsplit(answer["Location"]).query)
    kept = program.ask("callback", code=back["code"][0], state=back["state"][0])
    assert kept["value"]["accessToken"].startswith("gho_"), kept


def test_it_connects_refreshes_and_leaves(connected):
    assert connected.call("accounts", "getAccount")["name"] == "Acme"
    old = connected.ask("expire")["value"]
    assert connected.call("accounts", "getAccount")["name"] == "Acme"
    assert connected.ask("tokens")["value"]["refreshToken"] != old
    connected.ask("disconnect")
    assert connected.ask("tokens")["value"] is None
    assert "Not authenticated" in connected.ask("call", api="accounts", method="getAccount", args=[])["error"]


def test_it_reads_and_writes_people_and_their_pins(connected):
    person = connected.call("people", "createPerson", {"personInput": {"firstName": "Ann", "lastName": "Miller"}})
    [pin] = [row for row in connected.call("credentialTypes", "listCredentialTypes") if row["slug"] == "pin"]
    wanted = {"personCredential": {"credentialTypeId": pin["id"], "value": "******"}}
    made = connected.call("credentials", "createCredential", {"personId": person["id"], "credentialInput": wanted})
    assert made["value"].isdecimal()
    [held] = connected.call("credentials", "listPersonCredentials", {"personId": person["id"]})
    assert held["value"] == made["value"]
    assert connected.call("credentials", "listAllCredentials", {})[0]["id"] == made["id"]
    changed = connected.call("people", "updatePerson", {"id": person["id"], "personInput": {"firstName": "Anna"}})
    assert changed["firstName"] == "Anna"
    assert [row["firstName"] for row in connected.call("people", "listPeople", {})] == ["Anna"]
    connected.call("credentials", "deleteCredential", {"personId": person["id"], "id": made["id"]})
    assert connected.call("credentials", "listPersonCredentials", {"personId": person["id"]}) == []
    connected.call("people", "deletePerson", {"id": person["id"]})
    assert connected.call("people", "listPeople", {}) == []


def test_it_reserves(connected):
    person = connected.call("people", "createPerson", {"personInput": {"firstName": "Ann", "lastName": "Miller"}})
    start = timezone.now() + timedelta(days=1)
    hours = {"startTime": start.isoformat(), "endTime": (start + timedelta(hours=2)).isoformat()}
    asked = {"personId": person["id"], "channelIds": [connected.door], **hours}
    made = connected.call("reservations", "createReservation", {"reservationInput": asked})
    assert made["channelIds"] == [connected.door]
    assert [row["id"] for row in connected.call("reservations", "listReservations", {})] == [made["id"]]
    connected.call("reservations", "deleteReservation", {"id": made["id"]})
    assert connected.call("reservations", "listReservations", {}) == []
    asked = {"groupReservation": {"personId": person["id"], "groupIds": [connected.group], **hours}}
    made = connected.call("groupReservations", "createGroupReservation", {"groupReservationInput": asked})
    assert (made["state"], made["groupIds"]) == ("pending", [connected.group])
    connected.call("groupReservations", "deleteGroupReservation", {"id": made["id"]})
    assert connected.call("groupReservations", "listGroupReservations", {}) == []


def test_it_reads_doors_and_what_happened(connected):
    [door] = connected.call("channels", "listChannels", {})
    assert door["id"] == connected.door
    assert connected.call("channels", "getChannel", {"id": door["id"]})["name"] == door["name"]
    assert connected.call("events", "listEvents", {"eventCodes": [10, 11, 24]}) == []
    assert [row["name"] for row in connected.call("groups", "listGroups")] == ["Staff"]
    assert [row["name"] for row in connected.call("roles", "listRoles")] == ["Doors"]
    assert [row["name"] for row in connected.call("sites", "listSites", {})] == ["Head Office"]


def test_it_has_addresses_told_and_asks_which_doors_lag_behind(connected):
    asked = {"name": "Wrong PINs", "callBackUrl": "https://93.184.215.14/hook", "matchEventCodes": [24]}
    made = connected.call("notificationRules", "createNotificationRule", {"notificationRuleInput": asked})
    assert (made["name"], made["active"], made["conditions"]) == ("Wrong PINs", True, [])
    assert made["events"] == [{"code": 24, "name": "Rejected: unauthorised PIN"}]
    assert made["actions"] == [{"type": 0, "typeDescription": "POST to URL", "data": asked["callBackUrl"]}]
    asked |= {"matchControllerIds": [connected.door], "active": False}
    changed = connected.call(
        "notificationRules", "updateNotificationRule", {"id": made["id"], "notificationRuleInput": asked}
    )
    assert (changed["active"], changed["conditions"][0]["value"]) == (False, str(connected.door))
    assert [row["id"] for row in connected.call("notificationRules", "listNotificationRules")] == [made["id"]]
    connected.call("notificationRules", "deleteNotificationRule", {"id": made["id"]})
    assert connected.call("notificationRules", "listNotificationRules") == []
    assert connected.call("sync", "initiateSync") == {"result": "ok"}


def test_it_is_told_what_is_wrong(connected):
    asked = {"credentialInput": {"personCredential": {"credentialTypeId": 6, "value": "12"}}, "personId": 999}
    answer = connected.ask("call", api="credentials", method="createCredential", args=[asked])
    assert (answer["status"], json.loads(answer["body"])["error"]) == (404, "not_found")
    assert Client().get("/api/3/people").status_code == 401
