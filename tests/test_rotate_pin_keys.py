"""A new PIN key while the product serves: nothing stops working, no PIN is given out twice, and nothing is lost."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections
from django.db.models import BinaryField

from accesscontrol.access import attempts
from accesscontrol.access.models import Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits import issuing, key_rotation
from accounts.tenancy import tenant_transaction
from pins.codes import checking
from pins.codes import issuing as codes
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.vault import fingerprints, key_file, keyring, resealing
from pins.vault.fingerprints import NotAvailable
from pins.vault.models import Fingerprint
from pins.vault.sealing import key_version_of, open_json, seal
from tests import world
from tests.world import BY, NOW

PROJECT = Path(__file__).parent.parent
PINS = [f"4815{number:04}" for number in range(1000, 1024, 2)]


def key_text(*versions, current=None, **beside):
    keys = {str(version): base64.b64encode(bytes([version]) * 32).decode() for version in versions}
    return json.dumps({**beside, "keys": keys, "current": current or versions[-1]})


@pytest.fixture
def keys(settings, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(key_text(1, note="kept in the safe"))
    path.chmod(0o600)
    settings.PIN_KEYS, settings.PIN_KEYS_FILE = "", str(path)
    keyring.reload()
    yield path
    keyring.reload()


@pytest.fixture
def small_batches(monkeypatch):
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


# The whole way


def test_everything_works_before_during_and_after(live, keys, small_batches):
    doors = {tenant: held_pins(tenant) for tenant in (live.acme, live.globex)}
    seen = []

    def look(done, total):
        if not seen or done != seen[-1][0]:
            for tenant, door in doors.items():
                assert_all_works(tenant, door, PINS[::3])
        seen.append((done, total))
        if done == 5:
            # What is issued meanwhile is sealed under the new key and found under both.
            assert live_keys(keys) == ([1, 2], 2)
            with tenant_transaction(live.acme.pk):
                lifecycle.issue(world.a_person("New"), CredentialType.PIN, "73920461", by=BY, now=NOW)

    look(0, 0)
    outcome = rotate(look)
    assert (outcome.current, outcome.retired, outcome.faults, outcome.left) == (2, [1], [], [])
    assert seen[-1] == (26, 26)
    for tenant, door in doors.items():
        assert_all_works(tenant, door)
        assert versions(tenant) == ({2}, {2})
        with tenant_transaction(tenant.pk):
            assert Fingerprint.objects.filter(kind="duress").count() == 1
            card = Credential.objects.get(type=CredentialType.CARD)
            assert lifecycle.value_of(card) == "CARD-7F"
            assert not Event.objects.filter(admitted=False).exists()
    assert live_keys(keys) == ([2], 2)
    assert rotate().retired == [2]
    assert live_keys(keys) == ([3], 3)
    assert_all_works(live.acme, doors[live.acme])


def test_messages_are_sealed_anew_and_codes_keep_the_old_key_until_they_are_over(live, keys):
    with tenant_transaction(live.acme.pk):
        waiting = [
            queueing.queue(
                medium="email", address="ann@example.com", template="visit", language="en",
                context={"pin": "48151623"}, about=[], now=NOW,
            ).pk
            for _ in range(2)
        ]  # fmt: skip
        Delivery.objects.filter(pk=waiting[1]).update(state="failed", failed_at=NOW, next_attempt_at=None)
        code = codes.issue(purpose="login", by=BY, now=NOW)
    outcome = rotate()
    assert outcome.left == [f"1 one-time code of tenant {live.acme.pk}, until {NOW:%Y-%m-%d} 09:10 UTC"]
    assert live_keys(keys) == ([1, 2], 2)
    with tenant_transaction(live.acme.pk):
        for delivery in Delivery.objects.filter(pk__in=waiting):
            content = bytes(delivery.content)
            assert key_version_of(content) == 2
            row = {"tenant_id": live.acme.pk, "table": "deliveries_delivery", "row_id": delivery.pk}
            assert open_json(content, **row) == {"pin": "48151623"}
        assert checking.check(code.code.public_id, code.value, by=BY, now=NOW)
    assert rotate(now=NOW + timedelta(minutes=10)).retired == [1]
    assert live_keys(keys) == ([2], 2)


def test_a_suspended_tenant_is_not_forgotten(live, keys):
    held_pins(live.globex)
    with tenant_transaction(live.globex.pk):
        type(live.globex).objects.filter(pk=live.globex.pk).update(suspended_at=NOW)
    assert rotate().retired == [1]
    assert versions(live.globex) == ({2}, {2})


# What was changed in the database


@pytest.mark.parametrize("exchanged", ["sealed", "holder_id"])
def test_what_was_exchanged_is_reported_and_keeps_the_old_key(live, keys, exchanged, capsys):
    held_pins(live.acme)
    with tenant_transaction(live.acme.pk):
        ids = list(Credential.objects.filter(type=CredentialType.PIN).order_by("pk").values_list("pk", flat=True))
        a, b = ids[3:5]
        with connection.cursor() as cursor:
            if exchanged == "sealed":
                cursor.execute(
                    "UPDATE credentials_credential c SET sealed = o.sealed FROM credentials_credential o "
                    "WHERE (c.id, o.id) IN ((%s, %s), (%s, %s))",
                    [a, b, b, a],
                )
            else:
                cursor.execute(
                    "UPDATE vault_fingerprint SET holder_id = %s - holder_id WHERE holder_id IN (%s, %s)",
                    [a + b, a, b],
                )
        before = dict(Credential.objects.filter(pk__in=[a, b]).values_list("pk", "sealed"))
    told = StringIO()
    with pytest.raises(CommandError, match="2 values were changed or exchanged"):
        call_command("rotate_pin_keys", stdout=told, stderr=told, pause=0)
    for row_id in (a, b):
        assert f"credential {row_id} of tenant {live.acme.pk}: " in told.getvalue()
    everything = told.getvalue() + "".join(capsys.readouterr())
    assert not [pin for pin in PINS if pin in everything]
    assert live_keys(keys) == ([1, 2], 2)
    with tenant_transaction(live.acme.pk):
        assert dict(Credential.objects.filter(pk__in=[a, b]).values_list("pk", "sealed")) == before
        others = Credential.objects.exclude(pk__in=[a, b])
        assert {key_version_of(bytes(one.sealed)) for one in others} == {2}
        lifecycle.revoke(Credential.objects.filter(pk__in=[a, b]), by=BY, now=NOW)
    assert rotate().retired == [1]
    assert versions(live.acme) == ({2}, {2})


# Interrupted


class Killed(BaseException):
    pass


def test_a_run_that_ends_anywhere_is_gone_on_with(live, keys, small_batches, monkeypatch):
    """Cut off after each of its steps in turn; the next run does the rest and never begins anew."""
    pins = PINS[:7]
    door = held_pins(live.acme, pins)
    countdown = 0

    def step(call):
        def counted(*args, **kwargs):
            nonlocal countdown
            result = call(*args, **kwargs)
            countdown -= 1
            if countdown == 0:
                raise Killed
            return result

        return counted

    monkeypatch.setattr(key_file.KeyFile, "_replace", step(key_file.KeyFile._replace))
    monkeypatch.setattr(key_rotation, "_settle", step(key_rotation._settle))
    monkeypatch.setattr(key_rotation.credentials, "drop_retired", step(key_rotation.credentials.drop_retired))
    show = step(lambda done, total: None)
    cut, old = 0, 1
    while True:
        cut += 1
        countdown = cut
        try:
            rotate(show)
            break
        except Killed:
            pass
        countdown = 0
        assert_all_works(live.acme, door, pins[::2])
        if live_keys(keys)[0] != [old + 1] or versions(live.acme)[1] != {old + 1}:
            assert rotate().retired == [old]
        assert live_keys(keys) == ([old + 1], old + 1)
        assert versions(live.acme) == ({old + 1}, {old + 1})
        old += 1
    assert_all_works(live.acme, door, pins)
    # add, wait, make current, wait, batches and their count, wait, take away, wait, drops
    assert cut > 12


def environment(**values):
    database = os.environ["DATABASE_URL"].replace("/gatehouse?", f"/{os.environ['GATEHOUSE_TEST_DATABASE']}?")
    plain = {name: value for name, value in os.environ.items() if name not in ("PIN_KEYS", "PIN_KEYS_FILE")}
    return {**plain, "DATABASE_URL": database, "PYTHONWARNINGS": "ignore", **values}


def test_killed_in_the_middle_and_run_again_while_pins_are_issued(live, keys):
    pins = [f"73{number:06}" for number in range(0, 900_000, 750)]
    with tenant_transaction(live.acme.pk):
        Person.objects.bulk_create(Person(first_name=f"P{pin}", tenant=live.acme) for pin in pins)
        people = Person.objects.order_by("pk")
        Credential.objects.bulk_create(
            Credential(person=one, type=CredentialType.PIN, created_at=NOW, updated_at=NOW) for one in people
        )
        ids = list(Credential.objects.order_by("pk").values_list("pk", flat=True))
        row = {"tenant_id": live.acme.pk, "table": "credentials_credential"}
        sealed = {one: seal(pin, **row, row_id=one) for one, pin in zip(ids, pins, strict=True)}
        resealing.write("credentials_credential", "sealed", sealed)
        [digests] = fingerprints.digest_many(pins, type="pin").values()
        Fingerprint.objects.bulk_create(
            Fingerprint(key_version=1, digest=digest, holder_id=one) for one, digest in zip(ids, digests, strict=True)
        )
    command = [sys.executable, "manage.py", "rotate_pin_keys", "--pause", "1.1"]
    env = environment(PIN_KEYS_FILE=str(keys))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def done():
        with tenant_transaction(live.acme.pk):
            return Fingerprint.objects.filter(key_version=2, holder_id__lte=len(pins)).count()

    over, meanwhile = threading.Event(), []

    def serve():
        number = 0
        try:
            while not over.wait(0.15):
                number += 1
                with tenant_transaction(live.acme.pk):
                    person = world.a_person(f"New {number}")
                    issued = lifecycle.issue(person, CredentialType.PIN, f"85{number:06}", by=BY, now=NOW)
                    meanwhile.append((issued.pk, f"85{number:06}"))
                    taken = pins[number % len(pins)]
                    with pytest.raises(NotAvailable):
                        lifecycle.issue(world.a_person("Other"), CredentialType.PIN, taken, by=BY, now=NOW)
        except BaseException as error:  # noqa: BLE001  # a failed assertion too is told by the test itself
            meanwhile.append(error)
        finally:
            connections.close_all()

    server = threading.Thread(target=serve)
    server.start()
    try:
        run = subprocess.Popen(command, cwd=PROJECT, env=env, **pipes)
        while not done() and run.poll() is None:
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        killed = run.communicate()
        half = done()
        assert run.returncode == -signal.SIGKILL, killed
        assert 0 < half < len(pins)
        assert live_keys(keys) == ([1, 2], 2)
        again = subprocess.run(command, cwd=PROJECT, env=env, check=False, **pipes)
    finally:
        over.set()
        server.join()
    assert again.returncode == 0, again
    assert "Going on with PIN key 2." in again.stdout
    # Not from the beginning; what was issued before the new key was current is still to do.
    total = int(again.stderr.split(" of ")[1].split()[0])
    assert f"{total} of {total} sealed anew" in again.stderr
    assert len(pins) - half <= total <= len(pins) - half + len(meanwhile)
    assert live_keys(keys) == ([2], 2)
    keyring.reload()
    assert not [one for one in meanwhile if isinstance(one, BaseException)], meanwhile
    with tenant_transaction(live.acme.pk):
        issued = [*zip(Credential.objects.order_by("pk").values_list("pk", flat=True), pins, strict=False), *meanwhile]
        values = lifecycle.reveal(Credential.objects.all(), by=BY, now=NOW)
        assert values == dict(issued)
        assert fingerprints.taken(values.values(), type="pin") == set(values.values())
    assert versions(live.acme) == ({2}, {2})
    everything = killed[0] + killed[1] + again.stdout + again.stderr
    assert not [pin for pin in values.values() if pin in everything]


# Processes that do not hold the same keys

ISSUE = """
import sys
import django
django.setup()
from accounts.tenancy import tenant_transaction
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import CredentialType
from accesscontrol.people.models import Person
from pins.vault.fingerprints import NotAvailable
from tests.world import BY, NOW
tenant, first, pins = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split()
print("ready", flush=True)
sys.stdin.readline()
for number, pin in enumerate(pins):
    try:
        with tenant_transaction(tenant):
            lifecycle.issue(Person.objects.get(pk=first + number), CredentialType.PIN, pin, by=BY, now=NOW)
        print(pin, flush=True)
    except NotAvailable:
        pass
"""


def test_processes_with_different_keys_never_issue_the_same_pin(live, keys):
    """One that does not know the new key yet, one that knows it, one for which it is current."""
    pins = [f"62{number:06}" for number in range(25)]
    rings = [key_text(1), key_text(1, 2, current=1), key_text(1, 2)]
    with tenant_transaction(live.acme.pk):
        people = [world.a_person(f"P{number}").pk for number in range(len(rings) * len(pins))]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ISSUE, str(live.acme.pk), str(people[number * len(pins)]), " ".join(pins)],
            cwd=PROJECT,
            env=environment(PIN_KEYS=ring),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, ring in enumerate(rings)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [process.communicate()[0].split() for process in processes]
    assert sorted(pin for pins_of_one in won for pin in pins_of_one) == pins
    keys.write_text(key_text(1))
    keyring.reload()
    with key_file.changing() as file:
        # The key that two of them knew already, as the rotation would have added it.
        file._replace(json.loads(key_text(1, 2, current=1)))
    assert rotate().retired == [1]
    with tenant_transaction(live.acme.pk):
        assert fingerprints.taken(pins, type="pin") == set(pins)


def test_a_transaction_that_began_with_the_old_keys_is_waited_for(live, keys):
    """It writes no fingerprint of the new key; the old one must not go before it is seen."""
    held_pins(live.acme)
    holds, may_end = threading.Event(), threading.Event()
    old = keyring.keyring()

    def late():
        try:
            with tenant_transaction(live.acme.pk):
                person = world.a_person("Late")
                credential = Credential.objects.create(
                    person=person, type=CredentialType.PIN, created_at=NOW, updated_at=NOW
                )
                digest = fingerprints.digests("90817263", type="pin")[1]
                Fingerprint.objects.create(key_version=1, digest=digest, holder_id=credential.pk)
                lifecycle._keep(credential, "90817263")
                holds.set()
                may_end.wait(10)
        finally:
            connections.close_all()

    assert list(old.keys) == [1]
    slow = threading.Thread(target=late)
    slow.start()
    holds.wait(10)
    threading.Timer(0.7, may_end.set).start()
    started = time.monotonic()
    assert rotate().retired == [1]
    assert time.monotonic() - started > 0.5
    slow.join()
    with tenant_transaction(live.acme.pk):
        assert fingerprints.taken(["90817263"], type="pin") == {"90817263"}
    assert versions(live.acme) == ({2}, {2})


def test_a_credential_that_somebody_changes_is_passed_over_and_found_again(live, keys, small_batches):
    held_pins(live.acme)
    holds, may_end = threading.Event(), threading.Event()

    def change():
        try:
            with tenant_transaction(live.acme.pk):
                lifecycle.revoke(Credential.objects.filter(person__first_name=f"P{PINS[0]}"), by=BY, now=NOW)
                holds.set()
                may_end.wait(10)
        finally:
            connections.close_all()

    shown = []

    def show(done, total):
        if not shown:
            slow.start()
            holds.wait(10)
        if done == total - 1:
            may_end.set()
        shown.append(done)

    slow = threading.Thread(target=change)
    assert rotate(show).retired == [1] or slow.join()
    slow.join()
    with tenant_transaction(live.acme.pk):
        assert fingerprints.taken(PINS, type="pin") == set(PINS[1:])
    assert versions(live.acme) == ({2}, {2})


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
