"""PINs at rest: the keyring, values sealed for one row, and fingerprints that stay unique through a rotation."""

import base64
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accesscontrol.credentials.models import Credential, CredentialType
from accounts.tenancy import NoTenant, tenant_context, tenant_transaction
from pins.vault import fingerprints, keyring
from pins.vault.fingerprints import NotAvailable
from pins.vault.models import Fingerprint
from pins.vault.sealing import Tampered, key_version_of, open_json, open_sealed, seal, seal_json
from tests.conftest import _admin
from tests.world import NOW, a_person

CANARY = "48151623"
ROW = {"tenant_id": 7, "table": "credentials_credential", "row_id": 12}


def key_text(*versions: int, current: int | None = None, size: int = 32) -> str:
    keys = {str(version): base64.b64encode(bytes([version]) * size).decode() for version in versions}
    return json.dumps({"keys": keys, "current": current or versions[-1]})


@pytest.fixture
def use_keys(settings) -> Iterator[Callable[..., None]]:
    """Use these keys from now on, current last."""

    def use(*versions: int, current: int | None = None) -> None:
        settings.PIN_KEYS = key_text(*versions, current=current)
        keyring.reload()

    yield use
    keyring.reload()


@pytest.fixture
def key_file(settings, tmp_path) -> Iterator[Path]:
    path = tmp_path / "keys.json"
    settings.PIN_KEYS, settings.PIN_KEYS_FILE = "", str(path)
    keyring.reload()
    yield path
    keyring.reload()


def replace_keys(path: Path, text: str) -> None:
    """As the rotation does it: whole or not at all."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(text)
    unfinished.replace(path)


# The keyring


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must hold JSON"),
        ("[]", "must hold JSON"),
        ('{"keys": {"1": 5}, "current": 1}', "must hold JSON"),
        ('{"keys": {"1": "no base64"}, "current": 1}', "must hold JSON"),
        ('{"keys": {"one": ""}, "current": 1}', "must hold JSON"),
        ('{"keys": {}, "current": 1}', "current PIN key 1 is missing"),
        (key_text(1, size=31), "PIN key 1 must be 32 bytes"),
        (key_text(1, size=33), "PIN key 1 must be 32 bytes"),
        (key_text(1, current=2), "current PIN key 2 is missing"),
        (key_text(1).replace('"1"', '"40000"'), "40000 is not between"),
    ],
)
def test_a_keyring_that_is_not_whole_is_one_clear_line(text, complaint):
    with pytest.raises(ImproperlyConfigured, match=complaint) as refused:
        keyring.parse(text, "PIN_KEYS")
    assert "\n" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_missing_keyring_is_one_clear_line(settings, key_file):
    with pytest.raises(ImproperlyConfigured, match="cannot be read: No such file"):
        keyring.keyring()
    settings.PIN_KEYS_FILE = ""
    with pytest.raises(ImproperlyConfigured, match="Set PIN_KEYS or PIN_KEYS_FILE"):
        keyring.keyring()


def test_no_key_shows_in_repr(use_keys):
    use_keys(1, 2)
    ring = keyring.keyring()
    assert repr(ring) == "Keyring(current=2)"
    for derived in (ring.sealing, ring.fingerprinting, ring.throttling):
        assert list(derived) == [1, 2]
    assert repr(ring) == "Keyring(current=2)"
    every = [*ring.keys.values(), *ring.sealing.values(), *ring.fingerprinting.values(), *ring.throttling.values()]
    assert len(set(every)) == 8


def test_a_changed_file_is_read_again_within_a_second(key_file):
    replace_keys(key_file, key_text(1))
    assert list(keyring.keyring().keys) == [1]
    replace_keys(key_file, key_text(1, 2))
    time.sleep(1.05)
    assert keyring.keyring().current == 2


def test_a_value_under_a_newer_key_opens_at_once(key_file):
    replace_keys(key_file, key_text(1, 2))
    sealed = seal(CANARY, **ROW)
    replace_keys(key_file, key_text(1))
    keyring.reload()
    assert keyring.keyring().current == 1
    replace_keys(key_file, key_text(1, 2))
    assert open_sealed(sealed, **ROW) == CANARY


def test_a_file_that_breaks_while_serving_leaves_the_good_keys_in_use(key_file, caplog):
    replace_keys(key_file, key_text(1))
    good = keyring.keyring()
    replace_keys(key_file, "{")
    with caplog.at_level(logging.WARNING):
        assert keyring.keyring_with(9) is good
        key_file.unlink()
        assert keyring.keyring_with(9) is good
    assert ["cannot be used" in record.getMessage() for record in caplog.records] == [True, True]
    assert base64.b64encode(bytes([1]) * 32).decode() not in caplog.text


# Sealing


@given(text=st.text(max_size=60))
def test_what_was_sealed_opens_for_its_row(text):
    assert open_sealed(seal(text, **ROW), **ROW) == text


def test_the_length_of_a_pin_does_not_show():
    assert {len(seal("1" * length, **ROW)) for length in range(4, 13)} == {1 + 2 + 12 + 16 + 16}


def test_two_seals_of_one_value_differ():
    assert seal(CANARY, **ROW) != seal(CANARY, **ROW)


@pytest.mark.parametrize("other", [{"tenant_id": 8}, {"table": "deliveries_delivery"}, {"row_id": 13}])
def test_a_value_that_was_moved_to_another_row_does_not_open(other):
    with pytest.raises(Tampered):
        open_sealed(seal(CANARY, **ROW), **{**ROW, **other})


def test_no_changed_byte_goes_unnoticed(use_keys):
    use_keys(1, 2)
    sealed = seal(CANARY, **ROW)
    for at in range(len(sealed)):
        for flipped in (1, 3):
            changed = bytearray(sealed)
            changed[at] ^= flipped
            with pytest.raises(Tampered) as refused:
                open_sealed(bytes(changed), **ROW)
            assert CANARY not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("length", range(47))
def test_a_shortened_value_does_not_open(length):
    with pytest.raises(Tampered):
        open_sealed(seal(CANARY, **ROW)[:length], **ROW)


def test_old_values_open_while_their_key_lives(use_keys):
    use_keys(1)
    sealed = seal(CANARY, **ROW)
    use_keys(1, 2)
    assert (key_version_of(sealed), key_version_of(seal(CANARY, **ROW))) == (1, 2)
    assert open_sealed(sealed, **ROW) == CANARY
    use_keys(2)
    with pytest.raises(Tampered, match="needs PIN key 1"):
        open_sealed(sealed, **ROW)


def test_contexts_are_sealed_as_json():
    context = {"name": "Zoë", "channels": [1, 2], "note": None}
    sealed = seal_json(context, **ROW)
    assert open_json(sealed, **ROW) == context
    assert b"name" not in sealed


# Fingerprints


def a_holder(name: str = "Ann") -> int:
    person = a_person(name)
    return Credential.objects.create(
        person=person, type=CredentialType.PIN, enabled=True, created_at=NOW, updated_at=NOW
    ).pk


def test_a_digest_stands_for_value_type_tenant_and_key(acme, use_keys):
    use_keys(1, 2)
    mine = fingerprints.digests(CANARY, type="pin")
    assert list(mine) == [1, 2]
    every = {*mine.values(), *fingerprints.digests(CANARY, type="card").values()}
    every |= set(fingerprints.digests("48151624", type="pin").values())
    with tenant_context(acme.pk + 1):
        every |= set(fingerprints.digests(CANARY, type="pin").values())
    assert len(every) == 8
    assert {len(digest) for digest in every} == {32}
    assert fingerprints.digest_many([CANARY], type="pin") == {version: [digest] for version, digest in mine.items()}


def test_without_a_tenant_there_is_no_digest():
    with pytest.raises(NoTenant):
        fingerprints.digests(CANARY, type="pin")


def test_ten_thousand_digests_take_moments(acme, use_keys):
    use_keys(1)
    values = [f"{number:06d}" for number in range(10_000)]
    fastest = float("inf")
    for _ in range(7):
        started = time.process_time()
        fingerprints.digest_many(values, type="pin")
        fastest = min(fastest, time.process_time() - started)
    print(f"{fastest * 1000:.0f} ms")
    # 40 ms is the bar on an idle core of today; deriving a key for each value would take many times as long.
    assert fastest < 0.4


def test_a_held_value_is_taken_until_it_is_let_go(acme, use_keys):
    use_keys(1, 2)
    ann, bob = a_holder("Ann"), a_holder("Bob")
    with CaptureQueriesContext(connection) as held:
        fingerprints.hold(CANARY, holder_id=ann, type="pin")
    fingerprints.hold(CANARY, holder_id=bob, type="card")
    fingerprints.hold("48151624", holder_id=ann, type="pin", kind=Fingerprint.Kind.DURESS)
    assert [query["sql"].split()[0] for query in held] == ["SAVEPOINT", "INSERT", "RELEASE"]
    assert CANARY not in "".join(query["sql"] for query in held)
    with CaptureQueriesContext(connection) as asked:
        assert fingerprints.taken([CANARY, "48151624", "48151625"], type="pin") == {CANARY, "48151624"}
    assert len(asked) == 1
    with pytest.raises(NotAvailable) as refused:
        fingerprints.hold(CANARY, holder_id=bob, type="pin")
    assert CANARY not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.facts}"
    assert Fingerprint.objects.count() == 6
    fingerprints.release([ann])
    assert fingerprints.taken([CANARY], type="pin") == set()
    assert fingerprints.taken([CANARY], type="card") == {CANARY}
    assert fingerprints.taken([], type="pin") == set()


def test_processes_with_different_keys_still_collide(acme, use_keys):
    """A rotation as its processes see it: one knows the new key a moment before the others."""
    use_keys(1)
    ann = a_holder()
    fingerprints.hold(CANARY, holder_id=ann, type="pin")
    use_keys(1, 2)
    with pytest.raises(NotAvailable):
        fingerprints.hold(CANARY, holder_id=ann, type="pin")
    assert fingerprints.taken([CANARY], type="pin") == {CANARY}
    fingerprints.hold("48151624", holder_id=ann, type="pin")
    use_keys(1)
    with pytest.raises(NotAvailable):
        fingerprints.hold("48151624", holder_id=ann, type="pin")
    use_keys(2)
    with pytest.raises(NotAvailable):
        fingerprints.hold("48151624", holder_id=ann, type="pin")


def test_of_32_threads_one_holds_the_value(live, use_keys):
    use_keys(1, 2)
    with tenant_transaction(live.acme.pk):
        holders = [a_holder(f"Ann {number}") for number in range(32)]
    start, results = threading.Barrier(32), []

    def one(holder_id: int) -> None:
        try:
            start.wait()
            with tenant_transaction(live.acme.pk):
                fingerprints.hold(CANARY, holder_id=holder_id, type="pin")
                results.append("held")
        except NotAvailable:
            results.append("not available")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(holder_id,)) for holder_id in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["held"] + ["not available"] * 31
    with tenant_transaction(live.globex.pk):
        fingerprints.hold(CANARY, holder_id=a_holder(), type="pin")
        assert fingerprints.taken([CANARY], type="pin") == {CANARY}


def test_row_security_leaves_the_look_up_its_index(live, use_keys):
    use_keys(1, 2)
    with tenant_transaction(live.acme.pk):
        ann = a_holder()
        Fingerprint.objects.bulk_create(
            Fingerprint(key_version=version, digest=os.urandom(32), holder_id=ann)
            for version in (1, 2)
            for _ in range(10_000)
        )
    # Without figures about the table the planner may guess otherwise.
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        admin.execute("ANALYZE vault_fingerprint")
    with tenant_transaction(live.acme.pk):
        with CaptureQueriesContext(connection) as asked:
            fingerprints.taken([f"{number:06d}" for number in range(20)], type="pin")
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {asked[0]['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
    assert plan.count("fingerprint_unique") == 2, plan
    assert "Seq Scan" not in plan
    for condition in ("key_version", "digest = ANY"):
        assert plan.split("Index Cond: ")[1].count(condition) == 1, plan
