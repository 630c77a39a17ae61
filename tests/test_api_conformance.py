"""Every operation of the API document, asked what it says it takes and what it does not, by key, token and reader.

Schemathesis draws the requests; no answer may be a 5xx or stand outside the document.
"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections
from django.utils import timezone

from accesscontrol.access import attempts, commands
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Shift
from accesscontrol.visits import group_reserving
from accesscontrol.webhooks import rules, subscribing
from accounts import keys
from accounts.models import ApiKey, OAuthApplication
from accounts.rights import OF_SCOPE, StaffRole
from tests import world
from tests.signin_world import server
from tests.world import BY

DOCUMENT = Path(__file__).parent / "openapi.yaml"
EXAMPLES, HEAVY = 20, 200
# What this API does not promise: it says 404 to whoever asks for what is elsewhere, and takes extra headers.
LEFT_OUT = "missing_required_header"


# What a controller asks with its reader key; nothing else opens these.
OF_CONTROLLERS = r"/channels/\{channel_id\}/(access_attempts|access_list|commands.*|events)$"
# Another process answers these: a stream has no end that could be waited for, a long poll lasts 25 seconds a request.
STREAMED = r"/(events/stream|commands/(stream|wait))$"


def furnish():
    """A world with something at the ids that tests/schemathesis.toml names, and credentials that may do everything."""
    now = timezone.now()
    doors, groups = [], []
    for number in range(3):
        door = world.a_door(f"Door {number}", is_visitor_door=True, keeps_offline_list=True)
        shift = Shift.objects.create(name=f"Hours {number}")
        role = world.a_role(f"Staff {number}", door, shift=shift, now=now)
        doors.append(door)
        groups.append(world.a_group(f"All {number}", role, now=now))
    names = iter(["one", "two", "three", "four", "five"])
    for number in range(12):
        ann = world.a_person(f"Ann {number}", now=now)
        issued = world.a_pin(ann, now=now) if number < 9 else None
        if issued and (name := next(names, None)):
            Credential.objects.filter(pk=issued.credential.pk).update(public_id=f"cred_{name}")
        details = {"external_id": f"booking-{number}"} if number in (1, 2, 3) else {}
        world.a_reservation(ann, *doors, start=now, hours=24, now=now, details=details)
        group_reserving.reserve(ann, groups, start_time=now, end_time=now + timedelta(days=1), by=BY, now=now)
        if issued:
            attempts.attempt(doors[0].pk, issued.value, type=CredentialType.PIN, now=now)
    for number in range(3):
        address = f"https://93.184.215.14/{number}"
        subscribing.subscribe("Hook", address, kinds=["person"], form="standard", by=BY, now=now)
        rules.make("Rule", address, event_codes=[11], channel_ids=[], is_active=True, by=BY, now=now)
        commands.admit(doors[number], by=BY, now=now)
    many = 1_000_000
    key = keys.mint("all", kind=ApiKey.Kind.API, scopes=list(OF_SCOPE), requests_per_minute=many, by=BY, now=now).value
    token = world.a_token(world.a_member(StaffRole.OWNER, now=now), *OF_SCOPE, now=now)
    OAuthApplication.objects.update(requests_per_minute=many)
    return {"key": key, "token": token, "reader": world.a_reader_key(*doors, now=now).value}


def run(folder, address, credential, examples, *options):
    command = [
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={DOCUMENT.with_name('schemathesis.toml')}",
        "run",
        DOCUMENT,
        f"--url={address}",
        f"--header=Authorization: Bearer {credential}",
        "--checks=all",
        f"--exclude-checks={LEFT_OUT}",
        f"--max-examples={examples}",
        "--generation-deterministic",
        # Two would read their own source at once, which some versions of Python cannot (gh-106905).
        "--workers=1",
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--no-color",
        *options,
    ]
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    # The beginning names what failed, the end sums up.
    assert done.returncode == 0, done.stdout[:20_000] + done.stdout[-4000:] + done.stderr[-1000:]


# The key is tried at every edge of every field; the token goes the same ways with fewer drawn requests in CI.
PHASES = {"key": "examples,coverage,fuzzing", "token": "examples,fuzzing", "reader": "examples,coverage,fuzzing"}
ONLY = {
    "key": [f"--exclude-path-regex={OF_CONTROLLERS}|{STREAMED}"],
    "token": [f"--exclude-path-regex={OF_CONTROLLERS}|{STREAMED}"],
    "reader": [f"--include-path-regex={OF_CONTROLLERS}", f"--exclude-path-regex={STREAMED}"],
}


@pytest.mark.parametrize("kind", PHASES)
def test_no_answer_stands_outside_the_document(live, tmp_path, kind):
    credential = world.committed(live.acme, furnish)[kind]
    connections.close_all()
    with server(tmp_path / "log", threads=2) as address:
        run(tmp_path, address, credential, EXAMPLES, f"--phases={PHASES[kind]}", *ONLY[kind])


@pytest.mark.heavy
@pytest.mark.parametrize("kind", PHASES)
def test_no_answer_stands_outside_the_document_however_long_one_asks(live, tmp_path, kind):
    credential = world.committed(live.acme, furnish)[kind]
    connections.close_all()
    with server(tmp_path / "log", threads=2) as address:
        run(tmp_path, address, credential, HEAVY, "--phases=examples,coverage,fuzzing,stateful", *ONLY[kind])
