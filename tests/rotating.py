"""A key file of a test's own, a rotation of it, and that everything still works."""

import base64
import json
import os
from pathlib import Path

import pytest

from accesscontrol.access import attempts
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.visits import key_rotation
from accounts.tenancy import tenant_transaction
from pins.vault import fingerprints, key_file, keyring, resealing
from pins.vault.fingerprints import NotAvailable
from pins.vault.models import Fingerprint
from pins.vault.sealing import key_version_of
from tests import world
from tests.world import BY, NOW

PROJECT = Path(__file__).parent.parent
PINS = [f"4815{number:04}" for number in range(1000, 1024, 2)]


def key_text(*versions, current=None, **beside):
    keys = {str(version): base64.b64encode(bytes([version]) * 32).decode() for version in versions}
    return json.dumps({**beside, "keys": keys, "current": current or versions[-1]})


@pytest.fixture(name="keys")
def keys_fixture(settings, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(key_text(1, note="kept in the safe"))
    path.chmod(0o600)
    settings.PIN_KEYS, settings.PIN_KEYS_FILE = "", str(path)
    keyring.reload()
    yield path
    keyring.reload()


@pytest.fixture(name="small_batches")
def small_batches_fixture(monkeypatch):
    monkeypatch.setattr(resealing, "BATCH", 5)


def rotate(show=lambda done, total: None, tell=lambda text: None, now=NOW, pause=0.0, **options):
    with key_file.changing() as file:
        return key_rotation.rotate(file, clock=lambda: now, pause=pause, tell=tell, show=show, **options)


def held_pins(tenant, pins=PINS):
    """A door, and people with these PINs and a reservation at it; returns the door."""
    with tenant_transaction(tenant.pk):
        door = world.a_door()
        for pin in pins:
            person = world.a_person(f"P{pin}")
            issued = lifecycle.issue(person, CredentialType.PIN, pin, by=BY, now=NOW)
            world.a_reservation(person, door)
            if pin == pins[0]:
                fingerprints.hold(neighbour(pin), holder_id=issued.pk, type="pin", kind=Fingerprint.Kind.DURESS)
        world.a_card(person, "CARD-7F")
        return door


def neighbour(pin):
    return pin[:-1] + str((int(pin[-1]) + 1) % 10)


def assert_all_works(tenant, door, pins=PINS):
    """Every PIN opens the door and nobody else gets it."""
    with tenant_transaction(tenant.pk):
        for pin in pins:
            assert attempts.attempt(door.pk, pin, type=CredentialType.PIN, now=NOW).admitted
        bob = world.a_person("Bob")
        for pin in (*pins, neighbour(pins[0])):
            with pytest.raises(NotAvailable):
                lifecycle.issue(bob, CredentialType.PIN, pin, by=BY, now=NOW)
        assert set(fingerprints.taken(pins, type="pin")) == set(pins)


def versions(tenant):
    """Under which keys values are sealed and found."""
    with tenant_transaction(tenant.pk):
        sealed = {key_version_of(bytes(one)) for one in Credential.objects.values_list("sealed", flat=True) if one}
        return sealed, set(Fingerprint.objects.values_list("key_version", flat=True))


def live_keys(path):
    held = json.loads(path.read_text())
    return sorted(map(int, held["keys"])), held["current"]


def environment(**values):
    database = os.environ["DATABASE_URL"].replace("/gatehouse?", f"/{os.environ['GATEHOUSE_TEST_DATABASE']}?")
    plain = {name: value for name, value in os.environ.items() if name not in ("PIN_KEYS", "PIN_KEYS_FILE")}
    return {**plain, "DATABASE_URL": database, "PYTHONWARNINGS": "ignore", **values}
