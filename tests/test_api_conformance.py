"""Every operation of the API document, asked what it says it takes and what it does not, with a key and with a token.

Schemathesis draws the requests; no answer may be a 5xx or stand outside the document.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, OAuthApplication
from accounts.rights import OF_SCOPE, StaffRole
from tests import world
from tests.serving import serving
from tests.world import BY

DOCUMENT = Path(__file__).parent / "openapi.yaml"
EXAMPLES, HEAVY = 20, 200
# What this API does not promise: it says 404 to whoever asks for what is elsewhere, and takes extra headers.
LEFT_OUT = "missing_required_header"


def furnish():
    """A world with something at the ids that are drawn most, and two credentials that may do everything."""
    now = timezone.now()
    door = world.a_door(is_visitor_door=True)
    role = world.a_role("Staff", door, now=now)
    world.a_group("All", role, now=now)
    ann = world.a_person(now=now)
    world.a_pin(ann, now=now)
    world.a_reservation(ann, door, start=now, now=now)
    many = 1_000_000
    key = keys.mint("all", kind=ApiKey.Kind.API, scopes=list(OF_SCOPE), requests_per_minute=many, by=BY, now=now).value
    token = world.a_token(world.a_member(StaffRole.OWNER, now=now), *OF_SCOPE, now=now)
    OAuthApplication.objects.update(requests_per_minute=many)
    return {"key": key, "token": token}


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
        "--workers=2",
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--no-color",
        *options,
    ]
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


# The key is tried at every edge of every field; the token goes the same ways with fewer drawn requests in CI.
PHASES = {"key": "examples,coverage,fuzzing", "token": "examples,fuzzing"}


@pytest.mark.parametrize("kind", ["key", "token"])
def test_no_answer_stands_outside_the_document(live, tmp_path, kind):
    credential = world.committed(live.acme, furnish)[kind]
    with serving() as address:
        done = run(tmp_path, address, credential, EXAMPLES, f"--phases={PHASES[kind]}")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["key", "token"])
def test_no_answer_stands_outside_the_document_however_long_one_asks(live, tmp_path, kind):
    credential = world.committed(live.acme, furnish)[kind]
    with serving() as address:
        done = run(tmp_path, address, credential, HEAVY, "--phases=examples,coverage,fuzzing,stateful")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
