"""Bulk steps: chosen, looked at, started and worked off; a worker that dies undoes and repeats nothing."""

import signal
import subprocess
import sys
import time

import pytest
from django.db import connections

from accesscontrol.credentials import bulk, lifecycle
from accesscontrol.credentials.models import Credential
from accesscontrol.people.models import Person
from accesscontrol.visits import batches, issuing, leaving
from accesscontrol.visits.models import Batch, BatchItem
from accesscontrol.visits.tasks import work_off
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from pins.deliveries.queueing import SmsNotConfigured
from tests import world
from tests.rotating import PROJECT, environment
from tests.test_races import at_once
from tests.world import BY, NOW

Kind = Batch.Kind


def crowd(count, **values):
    return Person.objects.bulk_create(Person(first_name=f"P{number}", **values) for number in range(count))


def chosen(kind, people, *, deliver=""):
    batch = batches.choose(kind, Person.objects.filter(pk__in=[person.pk for person in people]), by=BY, now=NOW)
    batches.start(batch, deliver=deliver, by=BY, now=NOW)
    return batch


def worked_off(batch):
    while batches.work(NOW):
        pass
    batch.refresh_from_db()
    return batch


def fates(batch):
    return {
        item.person.first_name: (item.state, item.reason)
        for item in BatchItem.objects.filter(batch=batch).select_related("person")
    }


def test_nothing_happens_before_the_start(acme):
    world.a_door()
    batch = batches.choose(Kind.ISSUE, Person.objects.filter(pk=world.a_person().pk), by=BY, now=NOW)
    assert batches.work(NOW) == 0
    assert not Credential.objects.exists()
    batches.start(batch, by=BY, now=NOW)
    with pytest.raises(batches.StartedAlready):
        batches.start(batch, by=BY, now=NOW)
    with pytest.raises(batches.StartedAlready):
        batches.discard(batch)


def test_issuing_tells_what_became_of_each(acme):
    world.a_door()
    new = world.a_person("New", email="new@example.com")
    mute = world.a_person("Mute")
    having, gone = world.a_person("Having"), world.a_person("Gone")
    world.a_pin(having)
    batch = chosen(Kind.ISSUE, [new, mute, having, gone], deliver="email")
    leaving.delete_person(gone, by=BY, now=NOW)
    worked_off(batch)
    assert fates(batch) == {
        "New": ("done", ""),
        "Mute": ("done", "Issued, but not sent: there is no e-mail address."),
        "Having": ("left_out", "Has a PIN already."),
        "Gone": ("left_out", "Deleted in the meantime."),
    }
    assert (batch.done, batch.left_out, batch.failed, batch.finished_at) == (2, 2, 0, NOW)
    assert Delivery.objects.filter(template="pin").count() == 1
    assert AuditEvent.objects.filter(verb="issue").count() == 3
    assert not batches.work(NOW)


def test_where_no_length_fits_every_keypad_each_gets_what_fits_their_own_doors(acme):
    old = world.a_door("Old Keypad", shortest_pin=4, longest_pin=4)
    new = world.a_door("New Keypad", shortest_pin=5, longest_pin=8)
    one, other = crowd(2)
    world.a_reservation(one, old)
    world.a_reservation(other, new)
    batch = worked_off(chosen(Kind.ISSUE, [one, other]))
    assert batch.done == 2
    assert list(Credential.objects.order_by("person_id").values_list("digits", flat=True)) == [4, 5]


@pytest.mark.parametrize(
    ("kind", "before", "after", "reason"),
    [
        (Kind.DISABLE, True, False, "Disabled already."),
        (Kind.ENABLE, False, True, "Enabled already."),
    ],
)
def test_enabling_and_disabling(acme, kind, before, after, reason):
    world.a_door()
    ann, bob, carl = (world.a_person(name) for name in ("Ann", "Bob", "Carl"))
    for person, enabled in ((ann, before), (bob, after)):
        issuing.set_enabled(world.a_pin(person).credential, enabled, by=BY, now=NOW)
    batch = worked_off(chosen(kind, [ann, bob, carl]))
    assert fates(batch) == {
        "Ann": ("done", ""),
        "Bob": ("left_out", reason),
        "Carl": ("left_out", "Has no PIN."),
    }
    assert set(Credential.objects.values_list("enabled", flat=True)) == {after}


def test_revoking_and_rotating(acme):
    world.a_door()
    ann, bob = world.a_person("Ann"), world.a_person("Bob", email="bob@example.com")
    for person in (ann, bob):
        world.a_pin(person)
    batch = worked_off(chosen(Kind.ROTATE, [ann, bob]))
    assert fates(batch) == {
        "Ann": ("done", "Rotated, but not sent: there is no address that can be reached."),
        "Bob": ("done", ""),
    }
    assert Credential.objects.filter(ends_at=None).count() == 2
    worked_off(chosen(Kind.REVOKE, [ann, bob]))
    assert not Credential.objects.filter(ends_at=None, revoked_at=None).exists()


def test_one_person_in_trouble_stops_nobody_else(acme, monkeypatch, caplog):
    world.a_door()
    everybody = crowd(3)
    genuine = lifecycle.issue_generated

    def breaks_for_one(person, *args, **values):
        if person == everybody[1]:
            raise RuntimeError("48151623")
        return genuine(person, *args, **values)

    def breaks_for_all(*args, **values):
        raise RuntimeError("48151623")

    monkeypatch.setattr(bulk, "issue_many", breaks_for_all)
    monkeypatch.setattr(lifecycle, "issue_generated", breaks_for_one)
    batch = worked_off(chosen(Kind.ISSUE, everybody))
    assert (batch.done, batch.failed) == (2, 1)
    assert fates(batch)["P1"] == ("failed", "Something went wrong on our side.")
    assert "48151623" not in caplog.text


def test_a_step_is_stopped_half_way(acme, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 2)
    world.a_door()
    batch = chosen(Kind.ISSUE, crowd(5))
    assert batches.work(NOW) == 2
    batches.stop(batch, by=BY, now=NOW)
    batch.refresh_from_db()
    assert (batch.done, batch.left_out, batch.finished_at) == (2, 3, NOW)
    assert not batches.work(NOW)
    with pytest.raises(batches.NotRunning):
        batches.stop(batch, by=BY, now=NOW)


def test_what_cannot_be_chosen_or_started(acme, monkeypatch, settings):
    settings.SMS_URL = ""
    with pytest.raises(batches.NobodyChosen):
        batches.choose(Kind.ISSUE, Person.objects.none(), by=BY, now=NOW)
    monkeypatch.setattr(batches, "MOST", 2)
    with pytest.raises(batches.TooManyChosen):
        batches.choose(Kind.ISSUE, Person.objects.filter(pk__in=[one.pk for one in crowd(3)]), by=BY, now=NOW)
    with pytest.raises(SmsNotConfigured):
        chosen(Kind.ISSUE, [world.a_person()], deliver="sms")


def test_a_choice_that_nobody_started_is_forgotten(acme):
    batches.choose(Kind.ISSUE, Person.objects.filter(pk=world.a_person().pk), by=BY, now=NOW)
    batches.discard_stale(NOW + batches.KEEP_UNSTARTED / 2)
    assert Batch.objects.exists()
    batches.discard_stale(NOW + batches.KEEP_UNSTARTED)
    assert not Batch.objects.exists()


def many(count):
    world.a_door()
    return chosen(Kind.ISSUE, crowd(count))


def test_two_workers_share_the_work_and_no_person(live):
    batch = world.committed(live.acme, many, 450)
    connections.close_all()
    at_once(2, lambda _: work_off())
    with tenant_transaction(live.acme.pk):
        batch.refresh_from_db()
        assert (batch.done, batch.failed) == (450, 0)
        assert batch.finished_at is not None
        assert Credential.objects.count() == 450
        assert AuditEvent.objects.filter(verb="issue").count() == 450


_WORKER = """
import django; django.setup()
from accesscontrol.visits import batches
batches.CHUNK = 20
from accesscontrol.visits.tasks import work_off
print("begin", flush=True)
work_off()
"""


def test_a_killed_worker_leaves_nothing_half_done(live):
    batch = world.committed(live.acme, many, 600)
    connections.close_all()
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WORKER],
        cwd=PROJECT,
        env={**environment(), "DJANGO_SETTINGS_MODULE": "accesscontrol.settings"},
        stdout=subprocess.PIPE,
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"begin\n"
        until = time.monotonic() + 180
        done = 0
        while not done and time.monotonic() < until:
            with tenant_transaction(live.acme.pk):
                done = Batch.objects.get(pk=batch.pk).done
            time.sleep(0.01)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    with tenant_transaction(live.acme.pk):
        batch.refresh_from_db()
        assert 0 < batch.done < 600
        assert Credential.objects.count() == batch.done
    work_off()
    with tenant_transaction(live.acme.pk):
        batch.refresh_from_db()
        assert (batch.done, batch.finished_at is not None) == (600, True)
        assert Credential.objects.count() == 600
        assert AuditEvent.objects.filter(verb="issue").count() == 600


@pytest.fixture
def front_desk(acme):
    site = world.a_site()
    world.a_door(site=site)
    member = world.a_member(StaffRole.FRONT_DESK, "desk@acme.example", sites=[site])
    return world.signed_in(member.user), site


PEOPLE = "/admin/people/person/"


def test_people_are_ticked_in_their_list_and_the_step_is_followed(acme, front_desk):
    client, site = front_desk
    crowd(3, site=site)
    elsewhere = world.a_site("Elsewhere")
    hidden = crowd(1, site=elsewhere)
    everybody = {"action": "issue_pins", "select_across": "1", "_selected_action": [hidden[0].pk]}
    answer = client.post(PEOPLE, everybody, follow=True)
    [batch] = Batch.objects.all()
    assert batch.total == 3
    page = answer.content.decode()
    assert "Issue PINs for 3 people" in page
    assert "Whoever has no PIN gets one of their own." in page
    address = f"/admin/visits/batch/{batch.pk}/"
    assert client.get(f"{address}start/").status_code == 200
    client.post(f"{address}start/", {"deliver": ""})
    assert 'data-state="Running"' in client.get(f"{address}progress/").content.decode()
    worked_off(batch)
    page = client.get(f"{address}progress/").content.decode()
    assert 'data-state="Finished"' in page
    assert "3 of 3" in page
    assert client.get(f"{address}start/").status_code == 404
    assert client.get(f"{address}stop/").status_code == 404
    # Others of the same tenant, limited to their sites, do not see whom it was for.
    other = world.signed_in(world.a_member(StaffRole.FRONT_DESK, "other@acme.example", sites=[elsewhere]).user)
    assert other.get(f"{address}progress/").status_code == 404
    assert other.get(f"{address}change/").status_code == 404


def test_a_choice_is_discarded_and_an_auditor_chooses_nothing(acme, front_desk):
    client, _ = front_desk
    ann = world.a_person()
    ticked = {"action": "revoke_pins", "_selected_action": [ann.pk]}
    client.post(PEOPLE, ticked)
    [batch] = Batch.objects.all()
    client.post(f"/admin/visits/batch/{batch.pk}/discard/")
    assert not Batch.objects.exists()
    auditor = world.signed_in(world.a_member(StaffRole.AUDITOR, "auditor@acme.example").user)
    auditor.post(PEOPLE, ticked)
    assert not Batch.objects.exists()
    assert auditor.get("/admin/visits/batch/").status_code == 403
