"""Keys are exchanged while others issue PINs, and by runs that end anywhere."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from django.db import connections

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits import key_rotation
from accounts.tenancy import tenant_transaction
from pins.vault import fingerprints, key_file, keyring, resealing
from pins.vault.fingerprints import NotAvailable
from pins.vault.models import Fingerprint
from pins.vault.sealing import seal
from tests import world
from tests.rotating import (  # noqa: F401
    PINS,
    PROJECT,
    assert_all_works,
    environment,
    held_pins,
    key_text,
    keys_fixture,
    live_keys,
    rotate,
    small_batches_fixture,
    versions,
)
from tests.world import BY, NOW

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
                lifecycle.fill(credential, "90817263")
                credential.save(update_fields=["sealed"])
                holds.set()
                may_end.wait(300)
        finally:
            connections.close_all()

    assert list(old.keys) == [1]
    slow = threading.Thread(target=late)
    slow.start()
    holds.wait(60)
    threading.Timer(0.7, may_end.set).start()
    assert rotate().retired == [1]
    assert may_end.is_set(), "the old key is gone before that transaction ended"
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
                may_end.wait(300)
        finally:
            connections.close_all()

    shown = []

    def show(done, total):
        if not shown:
            slow.start()
            holds.wait(60)
        if done == total - 1:
            may_end.set()
        shown.append(done)

    slow = threading.Thread(target=change)
    assert rotate(show).retired == [1] or slow.join()
    slow.join()
    with tenant_transaction(live.acme.pk):
        assert fingerprints.taken(PINS, type="pin") == set(PINS[1:])
    assert versions(live.acme) == ({2}, {2})
