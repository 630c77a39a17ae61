"""The key file and the command that exchanges its keys."""

import base64
import json
import threading
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import BinaryField

from accesscontrol.credentials.models import CredentialType
from accesscontrol.visits import issuing
from accounts.tenancy import tenant_transaction
from pins.codes import issuing as codes
from pins.vault import key_file, keyring, resealing
from pins.vault.models import Fingerprint
from tests import world
from tests.rotating import (
    held_pins,
    key_text,
    keys_fixture,  # noqa: F401
    live_keys,
)
from tests.world import BY, NOW

# The key file and the command


def test_the_file_keeps_the_rest_and_stays_private(keys, tmp_path, settings):
    linked = tmp_path / "linked.json"
    linked.symlink_to(keys)
    settings.PIN_KEYS_FILE = str(linked)
    keyring.reload()
    with key_file.changing() as file:
        first = json.loads(keys.read_text())
        assert file.add() == 2
        held = json.loads(keys.read_text())
        assert (held["note"], held["current"], held["keys"]["1"]) == (first["note"], 1, first["keys"]["1"])
        assert len(base64.b64decode(held["keys"]["2"])) == 32
        file.make_current(2)
        file.take_away([1])
        with pytest.raises(Exception, match="the current PIN key 2 is missing"):
            file.take_away([2])
        with pytest.raises(key_file.KeyFileFault, match="Another process is changing"), key_file.changing():
            pass
    assert json.loads(keys.read_text()) == {"note": first["note"], "keys": {"2": held["keys"]["2"]}, "current": 2}
    assert linked.is_symlink()
    assert keys.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "linked.json"]


def test_a_file_that_everybody_may_read_is_refused(live, keys):
    keys.chmod(0o644)
    with pytest.raises(CommandError, match="Everybody may read"):
        call_command("rotate_pin_keys")
    assert live_keys(keys) == ([1], 1)


def test_the_file_is_whole_at_every_moment(keys):
    over, faults = threading.Event(), []

    def read():
        while not over.is_set():
            try:
                keyring.parse(keys.read_text(), "the file")
            except Exception as fault:  # noqa: BLE001  # whatever a reader meets
                faults.append(fault)

    reader = threading.Thread(target=read)
    reader.start()
    with key_file.changing() as file:
        for _ in range(30):
            file.make_current(file.add())
    over.set()
    reader.join()
    assert faults == []


def test_keys_in_the_environment_are_one_clear_line(live, settings, keys):
    settings.PIN_KEYS = key_text(1)
    keyring.reload()
    with pytest.raises(CommandError, match="put its value as it is into a file") as refused:
        call_command("rotate_pin_keys")
    assert "\n" not in str(refused.value)
    assert base64.b64encode(bytes([1]) * 32).decode() not in str(refused.value)


def test_the_status_counts_under_each_key(live, keys):
    held_pins(live.acme)
    keys.write_text(key_text(1, 2))
    keyring.reload()
    with tenant_transaction(live.globex.pk):
        issuing.issue(world.a_person(), CredentialType.PIN, "73920461", by=BY, now=NOW)
        codes.issue(purpose="login", by=BY, now=datetime.now(UTC))
        world.a_subscriber(pin="805294")
        Fingerprint.objects.filter(key_version=1).update(key_version=9)
    told = StringIO()
    call_command("rotate_pin_keys", "--status", stdout=told)
    assert [line.split(maxsplit=6) for line in told.getvalue().splitlines()] == [
        ["key", "credentials", "fingerprints", "others", "codes", "sign-in"],
        ["1", "13", "14", "0", "0", "0"],
        ["2", "1", "1", "0", "1", "1", "current"],
        ["9", "0", "1", "0", "0", "0", "not in the keyring"],
    ]
    assert live_keys(keys) == ([1, 2], 2)


def test_every_sealed_column_is_one_that_a_rotation_knows():
    # A credential's fingerprints go with it. Codes live for minutes.
    otherwise = {("credentials_credential", "sealed"), ("codes_code", "sealed")}
    # A digest by another name.
    otherwise |= {("access_attempt", "asked")}
    found = {
        (model._meta.db_table, field.column)
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field, BinaryField) and "digest" not in field.name
    }
    otherwise.add(("access_offlineevent", "told"))
    # A picture for everybody to see.
    otherwise.add(("accounts_tenantlogo", "image"))
    assert found - otherwise == {(each.table, each.column) for each in resealing.columns()}
