"""Webhooks as receivers get them: real servers on loopback that fail, time out, redirect and die."""

import json
import logging
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from standardwebhooks import Webhook

from accesscontrol.access import alarms, attempts, following
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import CredentialType
from accesscontrol.people import records
from accesscontrol.visits import issuing, leaving, reserving
from accesscontrol.webhooks import claiming, gateways, running, subscribing, tasks
from accesscontrol.webhooks.models import Dispatch, Kind, Subscription, Try
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries import tasks as deliveries
from pins.deliveries.sending import send_next
from tests import world
from tests.receivers import Receiver
from tests.world import BY

NAME, EMAIL, PIN = "Kanarienvogel", "kanarie@vogel.example", "83746193"


class Clock:
    """The time as it is, moved on."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return timezone.now() + self.ahead

    def go(self, **values):
        self.ahead += timedelta(**values)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def _loopback(settings, monkeypatch):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr(gateways, "WHOLE_SECONDS", 15.0)


@pytest.fixture
def impatient(monkeypatch):
    """For receivers that never answer; the others get the time that a busy machine needs."""
    monkeypatch.setattr(gateways, "WHOLE_SECONDS", 2.0)


@pytest.fixture
def receive():
    opened = []

    def make(manner=None):
        opened.append(Receiver(manner))
        return opened[-1]

    yield make
    for receiver in opened:
        receiver.stop()


def subscribed(tenant, url, *kinds, form="standard", name="Test"):
    with tenant_transaction(tenant.pk):
        made = subscribing.subscribe(name, url, kinds=kinds or Kind.values, form=form, by=BY, now=timezone.now())
    made.subscription.url = url
    return made


def all_visible():
    """Wait for transactions of tests beside this one: what is written now is followed once they have ended."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        [written] = cursor.fetchone()
    until = time.monotonic() + 40
    while following.horizon() <= written and time.monotonic() < until:
        time.sleep(0.05)


def run(clock=timezone.now, seconds=300.0):
    all_visible()
    running.run(clock=clock, seconds=seconds)


def happenings_of(tenant, persons=1, changes=3):
    """Named changes of several people, each in a transaction of its own; returns what each was given, by person."""
    written = {}
    with tenant_transaction(tenant.pk):
        people = [world.a_person(f"P{number}") for number in range(persons)]
    for change in range(changes):
        for person in people:
            with tenant_transaction(tenant.pk):
                records.change(person, {"notes": f"{change}"}, by=BY, now=timezone.now())
    with tenant_transaction(tenant.pk):
        rows = AuditEvent.objects.filter(subject_type="person").order_by("xact_id", "id")
        for row in rows:
            written.setdefault(int(row.subject_id), []).append(f"msg_{tenant.pk}u{row.pk}")
    return written


def by_person(messages):
    """Ids in the order in which they were taken, each once: a receiver knows what it has seen."""
    got = {}
    for message in messages:
        ids = got.setdefault(message.person, [])
        if message.id not in ids:
            ids.append(message.id)
    return got


def unsettled(tenant):
    with tenant_transaction(tenant.pk):
        return Dispatch.objects.filter(state__in=Dispatch.UNSETTLED).count()


# --- what is told


def test_everything_that_happens_is_told_signed_and_without_a_pin_or_a_name(live, receive):
    receiver = receive()
    made = subscribed(live.acme, receiver.url)
    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        door = world.a_door(is_visitor_door=True)
        ann = world.a_person(NAME, last_name=NAME, email=EMAIL, now=now)
        issued = world.a_pin(ann, PIN, now=now)
        visit = world.a_reservation(ann, door, start=now - timedelta(hours=1), now=now, deliver="email")
        attempts.attempt(door.pk, PIN, type=CredentialType.PIN, now=now)
        attempts.attempt(door.pk, "00017744", type=CredentialType.PIN, now=now)
        alarm = Alarm.objects.create(kind=Alarm.Kind.GUESSING, site=door.site, channel=door, raised_at=now)
        alarms.acknowledge(alarm, f"{NAME} was it", by=BY, now=now)
        reserving.reschedule(visit, end_time=now + timedelta(hours=3), by=BY, now=now)
    deliveries.send_due()
    with tenant_transaction(live.acme.pk):
        issuing.set_enabled(issued.credential, False, by=BY, now=now)
        reserving.cancel(visit, by=BY, now=now)
        leaving.delete_person(ann, by=BY, now=now)
    with tenant_transaction(live.globex.pk):
        world.a_person("Mallory")
    run()
    types = [message.type for message in receiver.taken]
    assert set(types) >= {
        "person.created",
        "person.deleted",
        "credential.issued",
        "credential.disabled",
        "credential.revoked",
        "reservation.reserved",
        "reservation.rescheduled",
        "reservation.cancelled",
        "access.admitted",
        "access.rejected",
        "alarm.raised",
        "alarm.acknowledged",
        "delivery.sent",
    }
    verifier = Webhook(made.secret)
    for message in receiver.taken:
        assert verifier.verify(message.text, message.headers) == message.body
        for canary in (NAME, EMAIL, PIN, "00017744"):
            assert canary not in message.text
            assert canary not in str(message.headers)
    of_ann = [message for message in receiver.taken if message.person == ann.pk]
    told = [message.type for message in of_ann if message.body["data"].get("kind") != "duress"]
    assert told.index("person.created") < told.index("credential.issued") < told.index("reservation.reserved")
    assert told[-1] == "person.deleted"
    admitted = next(message for message in receiver.taken if message.type == "access.admitted").body["data"]
    assert admitted["credential_id"] == issued.credential.public_id
    assert admitted["channel_id"] == door.pk
    reserved = next(message for message in receiver.taken if message.type == "reservation.reserved").body["data"]
    assert (reserved["id"], reserved["person_id"], reserved["url"][-15:][:12]) == (
        visit.pk, ann.pk, f"/api/3/reservations/{visit.pk}"[-15:][:12],
    )  # fmt: skip
    assert unsettled(live.acme) == 0
    with tenant_transaction(live.acme.pk):
        assert set(Try.objects.values_list("status", "answer")) == {(200, "ok")}


def test_only_the_kinds_that_were_chosen_and_only_from_then_on(live, receive):
    receiver = receive()
    with tenant_transaction(live.acme.pk):
        world.a_person("Before")
    all_visible()
    subscribed(live.acme, receiver.url, "alarm", "person")
    with tenant_transaction(live.acme.pk):
        after = world.a_person("After")
        world.a_pin(after)
    run()
    assert [(message.type, message.person) for message in receiver.taken] == [("person.created", after.pk)]


def test_the_form_of_the_contract(live, receive):
    import hashlib
    import hmac

    receiver = receive()
    made = subscribed(live.acme, receiver.url, "credential", "access", form="doorflow")
    with tenant_transaction(live.acme.pk):
        door = world.a_door(is_visitor_door=True)
        ann = world.a_person("Ann")
        issued = world.a_pin(ann, now=timezone.now())
        attempts.attempt(door.pk, issued.value, type=CredentialType.PIN, now=timezone.now())
    run()
    first, second = sorted(receiver.taken, key=lambda message: message.body[0]["resource_type"], reverse=True)
    for message in (first, second):
        signed = f"{message.headers['timestamp']}.{message.text}".encode()
        expected = hmac.new(made.secret.encode(), signed, hashlib.sha256).hexdigest()
        assert message.headers["signature"] == expected
        assert message.text == json.dumps(message.body, separators=(",", ":"))
        assert "webhook-signature" not in message.headers
    [item] = first.body
    assert (item["action"], item["resource_type"], item["resource_id"]) == (
        "CREATE", "PersonCredential", issued.credential.public_id,
    )  # fmt: skip
    path = f"/api/3/people/{ann.pk}/credentials/{issued.credential.public_id}"
    assert f"{path}?ack_token={item['ack_token']}" in item["resource"]
    [item] = second.body
    assert (item["action"], item["resource_type"]) == ("CREATE", "Event")
    key = world.committed(live.acme, world.an_api_key, now=timezone.now())
    for message in (first, second):
        where = message.body[0]["resource"].partition("/api/3")[2]
        assert world.api(key).get(f"/api/3{where}").status_code == 200


# --- nothing lost, nothing out of order


def test_a_failing_message_holds_only_those_of_its_own_subject(live, receive, clock):
    stubborn = []
    receiver = receive(lambda message, times: 500 if message.person in stubborn and times < 4 else 200)
    subscribed(live.acme, receiver.url, "person")
    with tenant_transaction(live.acme.pk):
        stubborn.append(world.a_person("Stubborn").pk)
    written = happenings_of(live.acme, persons=3)
    run(clock)
    taken = by_person(receiver.taken)
    assert stubborn[0] not in taken
    assert all(taken[person] == written[person] for person in written if person not in stubborn)
    # The log says what was tried; the others of the same subject were not sent at all.
    assert [message.person for message in receiver.seen].count(stubborn[0]) == 1
    for seconds in (6, 31, 121):
        clock.go(seconds=seconds)
        run(clock)
    assert by_person(receiver.taken) == written
    with tenant_transaction(live.acme.pk):
        first = Dispatch.objects.get(message_id=written[stubborn[0]][0])
        tries = list(Try.objects.filter(dispatch=first).order_by("number").values_list("number", "status"))
        assert tries == [(1, 500), (2, 500), (3, 500), (4, 200)]


def test_a_receiver_that_fails_times_out_redirects_and_dies_loses_nothing_and_mixes_nothing_up(
    live, receive, clock, impatient
):
    other = receive()
    cycle = [200, 500, "silent", (302, other.url), "hang_up", 404, "endless", 200, 503, (307, other.url)]

    def moody(message, times):
        # Each message meets some of these, another selection each, and is taken in the end.
        at = int("".join(sign for sign in message.id if sign.isdigit())) * 7
        return 200 if times > at % 4 else cycle[(at + times) % len(cycle)]

    receiver = receive(moody)
    subscribed(live.acme, receiver.url, "person")
    written = happenings_of(live.acme, persons=5, changes=4)
    died = 0
    for number in range(60):
        if number in (1, 3):
            receiver.stop()
        run(clock)
        if receiver.server is None:
            died += 1
            receiver.start()
        if not unsettled(live.acme):
            break
        if number == 2:
            # A worker that dies with messages in its hands.
            with tenant_transaction(live.acme.pk):
                clock.go(minutes=11)
                subscription = claiming.take(Subscription.objects.get().pk, now=clock())
                claiming.claim(subscription, now=clock(), limit=3)
        clock.go(minutes=11)
    assert died == 2
    assert by_person(receiver.taken) == written
    assert not other.seen, "a redirect was followed"
    errors = set()
    with tenant_transaction(live.acme.pk):
        assert not Dispatch.objects.exclude(state=Dispatch.State.SENT).exists()
        errors = set(Try.objects.values_list("status", "error"))
    assert {(500, ""), (302, "redirected"), (None, "timed_out"), (None, "no_answer")} <= errors
    assert (None, "connection_refused") in errors
    print(f"\n{len(receiver.seen)} requests for {sum(map(len, written.values()))} messages; {sorted(map(str, errors))}")


def test_a_late_commit_is_told_too_and_in_its_place(live, receive):
    receiver = receive()
    subscribed(live.acme, receiver.url, "person")
    wrote, commit, late = threading.Event(), threading.Event(), []

    def slow():
        try:
            with transaction.atomic(), tenant_transaction(live.acme.pk):
                late.append(world.a_person("Late").pk)
                wrote.set()
                commit.wait(300)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    wrote.wait(60)
    with tenant_transaction(live.acme.pk):
        early = world.a_person("Early").pk
    running.run(clock=timezone.now, seconds=300.0)
    assert receiver.taken == [], "told before what was written earlier"
    commit.set()
    thread.join()
    run()
    assert {message.person for message in receiver.taken} == {late[0], early}
    assert len(receiver.taken) == 2


def test_two_runs_at_once_send_each_message_once(live, receive):
    receiver = receive()
    subscribed(live.acme, receiver.url, "person")
    written = happenings_of(live.acme, persons=8, changes=4)

    def one():
        try:
            run()
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run()
    assert len(receiver.seen) == len({message.id for message in receiver.seen}) == sum(map(len, written.values()))
    assert by_person(receiver.taken) == written


def test_a_message_that_is_never_taken_fails_after_a_day_and_lets_the_next_go(live, receive, clock):
    bad = []
    receiver = receive(lambda message, times: 422 if message.id in bad else 200)
    subscribed(live.acme, receiver.url, "person")
    written = happenings_of(live.acme, persons=1, changes=2)
    [(person, ids)] = written.items()
    bad.append(ids[1])
    began = clock()
    run(clock)
    for step in claiming.BACK_OFF:
        # Others succeed meanwhile: the address is not what is wrong.
        with tenant_transaction(live.acme.pk):
            world.a_person("Other")
        clock.go(seconds=step.total_seconds() + 1)
        run(clock)
    assert timedelta(hours=24) < clock() - began < timedelta(hours=26)
    assert by_person(receiver.taken)[person] == [ids[0], ids[2]]
    with tenant_transaction(live.acme.pk):
        failed = Dispatch.objects.get(state=Dispatch.State.FAILED)
        assert (failed.message_id, failed.attempts) == (ids[1], claiming.MOST_ATTEMPTS)
        assert Subscription.objects.get().state == Subscription.State.ACTIVE


def test_after_a_day_without_success_it_is_paused_owners_are_told_and_all_is_kept(live, receive, clock, mailoutbox):
    receiver = receive(lambda message, times: 503)
    subscribed(live.acme, receiver.url, "person", name="Lobby board")
    world.committed(live.acme, world.a_member, StaffRole.OWNER, "olga@acme.example")
    world.committed(live.acme, world.a_member, StaffRole.MANAGER, "max@acme.example")
    written = happenings_of(live.acme, persons=2)
    run(clock)
    for step in claiming.BACK_OFF:
        clock.go(seconds=step.total_seconds() + 1)
        run(clock)
    with tenant_transaction(live.acme.pk):
        subscription = Subscription.objects.get()
        assert subscription.state == Subscription.State.FAILING
        assert not Dispatch.objects.filter(state=Dispatch.State.FAILED).exists()
        assert AuditEvent.objects.filter(verb="pause", subject_type="webhook", actor_kind="system").count() == 1
    assert send_next(live.acme.pk, clock=clock)
    [mail] = mailoutbox
    assert mail.to == ["olga@acme.example"]
    assert "Lobby board" in mail.subject
    assert f"/admin/webhooks/subscription/{subscription.pk}/change/" in mail.body
    asked = len(receiver.seen)
    clock.go(days=2)
    later = happenings_of(live.acme, persons=0)
    run(clock)
    assert len(receiver.seen) == asked, "paused, and still sending"
    receiver.manner = lambda message, times: 200
    with tenant_transaction(live.acme.pk):
        world.a_person("Meanwhile")
        subscribing.resume(subscription, by=BY, now=clock())
    run(clock)
    taken = by_person(receiver.taken)
    assert all(taken[person] == ids for person, ids in written.items())
    assert len(taken) == 3
    assert later
    assert unsettled(live.acme) == 0


def test_whoever_is_gone_for_good_is_paused_at_once(live, receive):
    receiver = receive(lambda message, times: 410)
    subscribed(live.acme, receiver.url, "person")
    happenings_of(live.acme, persons=1)
    run()
    assert len(receiver.seen) == 1
    with tenant_transaction(live.acme.pk):
        assert Subscription.objects.get().state == Subscription.State.FAILING


def test_an_address_that_does_not_answer_is_left_alone_for_a_while_and_holds_up_nobody_else(
    live, receive, clock, impatient
):
    dead, well = receive(lambda message, times: "silent"), receive()
    subscribed(live.acme, dead.url, "person", name="dead")
    subscribed(live.globex, well.url, "person", name="well")
    happenings_of(live.acme, persons=30, changes=0)
    written = happenings_of(live.globex, persons=3)
    began = time.monotonic()
    run(clock)
    assert by_person(well.taken) == written
    assert len(dead.seen) <= 8
    assert time.monotonic() - began < 15
    with tenant_transaction(live.acme.pk):
        assert Subscription.objects.get().rest_until > clock()


# --- replay, test, secrets


def test_a_period_is_told_again_under_the_same_ids(live, receive):
    receiver = receive()
    made = subscribed(live.acme, receiver.url, "person", "alarm")
    written = happenings_of(live.acme, persons=2)
    run()
    first = len(receiver.taken)
    began = timezone.now() - timedelta(hours=1)
    with tenant_transaction(live.acme.pk):
        subscribing.replay(made.subscription, began - timedelta(days=400), began, by=BY, now=timezone.now())
    run()
    everything = timezone.now()
    with tenant_transaction(live.acme.pk):
        # People of this world were made at an hour of their own.
        asked = subscribing.replay(
            made.subscription, everything - timedelta(minutes=5), everything, by=BY, now=everything
        )
    run()
    again = [message.id for message in receiver.taken[first:]]
    changes = [message_id for ids in written.values() for message_id in ids[1:]]
    assert set(changes) <= set(again)
    with tenant_transaction(live.acme.pk):
        asked.refresh_from_db()
        assert asked.done_at
        assert asked.collected == len([each for each in again if each in changes])


def test_while_a_secret_is_rotated_both_are_good_and_then_only_the_new_one(live, receive, clock):
    receiver = receive()
    made = subscribed(live.acme, receiver.url, "person")
    with tenant_transaction(live.acme.pk):
        new = subscribing.rotate_secret(made.subscription, by=BY, now=clock())
        world.a_person("Ann")
    run(clock)
    [message] = receiver.taken
    for secret in (made.secret, new.secret):
        assert Webhook(secret).verify(message.text, message.headers)
    clock.go(hours=25)
    with tenant_transaction(live.acme.pk):
        world.a_person("Bob")
    run(clock)
    message = receiver.taken[-1]
    assert len(message.headers["webhook-signature"].split()) == 1


def test_the_test_button_sends_at_once_and_waits_for_no_other(live, receive):
    receiver = receive(lambda message, times: 200 if message.type == "webhook.test" else 500)
    made = subscribed(live.acme, receiver.url, "person")
    happenings_of(live.acme, persons=1)
    run()
    with tenant_transaction(live.acme.pk):
        dispatch = subscribing.test(made.subscription, by=BY, now=timezone.now())
    run()
    assert [message.type for message in receiver.taken] == ["webhook.test"]
    with tenant_transaction(live.acme.pk):
        dispatch.refresh_from_db()
        assert dispatch.state == Dispatch.State.SENT


def test_a_secret_is_nowhere_but_in_its_answer(live, receive, caplog):
    caplog.set_level(logging.DEBUG)
    receiver = receive(lambda message, times: 500)
    made = subscribed(live.acme, receiver.url, "person")
    happenings_of(live.acme, persons=1)
    run()
    bare = made.secret.removeprefix("whsec_")
    assert bare not in caplog.text
    assert bare not in repr(made)
    with connection.cursor() as cursor, tenant_transaction(live.acme.pk):
        for table in ("webhooks_subscription", "webhooks_dispatch", "webhooks_try", "accounts_auditevent"):
            cursor.execute(f"SELECT to_jsonb(t)::text FROM {table} t")
            for (row,) in cursor.fetchall():
                assert bare not in row
                assert bare.encode().hex() not in row


def test_ended_means_nothing_more_is_sent_and_the_secret_is_gone(live, receive):
    receiver = receive(lambda message, times: 500)
    made = subscribed(live.acme, receiver.url, "person")
    happenings_of(live.acme, persons=2)
    run()
    seen = len(receiver.seen)
    with tenant_transaction(live.acme.pk):
        subscribing.end(made.subscription, by=BY, now=timezone.now())
        kept = Subscription.objects.get()
        assert (kept.state, kept.secrets) == (Subscription.State.ENDED, None)
        world.a_person("After")
    run()
    assert len(receiver.seen) == seen
    assert unsettled(live.acme) == 0


def test_what_is_old_is_forgotten(live, receive, monkeypatch):
    receiver = receive()
    subscribed(live.acme, receiver.url, "person")
    happenings_of(live.acme, persons=2)
    run()
    tasks.forget()
    with tenant_transaction(live.acme.pk):
        assert Dispatch.objects.count() == 8
        Dispatch.objects.update(settled_at=timezone.now() - timedelta(days=31))
    tasks.forget()
    with tenant_transaction(live.acme.pk):
        assert (Dispatch.objects.count(), Try.objects.count()) == (0, 0)


@contextmanager
def statements():
    with connection.execute_wrapper(counting := Counting()):
        yield counting


class Counting:
    def __init__(self):
        self.count = 0

    def __call__(self, execute, sql, params, many, context):
        self.count += 1
        return execute(sql, params, many, context)


def test_a_tick_asks_no_more_where_nothing_is_due(live, receive, monkeypatch):
    receiver = receive()
    subscribed(live.acme, receiver.url, "person")
    run()
    with statements() as before:
        running.run(clock=timezone.now, seconds=300.0)
    happenings_of(live.acme, persons=10)
    run()
    with statements() as afterwards:
        running.run(clock=timezone.now, seconds=300.0)
    assert before.count == afterwards.count == 3
