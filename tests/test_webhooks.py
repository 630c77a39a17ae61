"""Webhooks as receivers get them: real servers on loopback that fail, time out, redirect and die."""

import json
import threading
import time
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone
from standardwebhooks import Webhook

from accesscontrol.access import alarms, attempts
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import CredentialType
from accesscontrol.visits import issuing, leaving, reserving
from accesscontrol.webhooks import claiming, running, subscribing
from accesscontrol.webhooks.models import Dispatch, Subscription, Try
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries import tasks as deliveries
from pins.deliveries.sending import send_next
from tests import world
from tests.hooks import (
    all_visible,
    by_person,
    clock_fixture,  # noqa: F401
    happenings_of,
    impatient_fixture,  # noqa: F401
    loopback_fixture,  # noqa: F401
    receive_fixture,  # noqa: F401
    run,
    subscribed,
    unsettled,
)
from tests.world import BY

NAME, EMAIL, PIN = "Kanarienvogel", "kanarie@vogel.example", "83746193"


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
