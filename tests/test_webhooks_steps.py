"""What is done with a webhook: a period told again, secrets rotated, a test sent, ended; and what it costs."""

import logging
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from accesscontrol.webhooks import running, subscribing, tasks
from accesscontrol.webhooks.models import Dispatch, Subscription, Try
from accounts.tenancy import tenant_transaction
from tests import world
from tests.hooks import (
    clock_fixture,  # noqa: F401
    happenings_of,
    loopback_fixture,  # noqa: F401
    receive_fixture,  # noqa: F401
    run,
    subscribed,
    unsettled,
)
from tests.world import BY


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
