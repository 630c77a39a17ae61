"""Messages on the wire: each arrives once, refusals have their states, and no PIN stands anywhere else."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, connections

from accounts.tenancy import tenant_transaction
from pins.deliveries import claiming, gateways, queueing, reasons, rendering, tasks
from pins.deliveries.models import Delivery
from pins.deliveries.sending import send_claimed
from tests.letters import (
    CONTEXT,
    PIN,
    SHOWN,
    STATE,
    mailbox_fixture,  # noqa: F401
    now_of,
    queue,
    queued,
    send_all,
    sms_gateway_fixture,  # noqa: F401
)
from tests.world import NOW

# Apprise's own, on the first text message of a process.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def test_an_email_arrives_once_with_text_html_and_its_message_id(live, mailbox):
    delivery = queued(live.acme)
    tasks.send_due()
    tasks.send_one_tenant(tenant_id=live.acme.pk, unknown_to_this_version=1)
    (message,) = mailbox.messages
    assert message["Message-ID"] == delivery.message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Acme & Sons <gatehouse@acme.example>"
    assert message["Date"]
    assert SHOWN in message.get_body(("plain",)).get_content()
    assert SHOWN in message.get_body(("html",)).get_content()
    after = now_of(live.acme, delivery)
    assert (after.state, after.content, after.attempts) == (STATE.SENT, None, 1)
    assert after.sent_at


def test_a_name_cannot_add_headers(live, mailbox):
    queued(live.acme, tenant_name="Acme\r\nBcc: eve@example.com", site_name="Office\nBcc: eve@example.com")
    send_all(live.acme)
    (message,) = mailbox.messages
    assert message["Bcc"] is None
    assert message["From"] == '"Acme Bcc: eve@example.com" <gatehouse@acme.example>'
    bad = queued(live.acme, address="ann@example.com\nBcc: eve@example.com")
    send_all(live.acme)
    assert (now_of(live.acme, bad).state, now_of(live.acme, bad).last_error) == (STATE.FAILED, "address_invalid")


@pytest.mark.parametrize(
    ("to_receiver", "to_text", "state", "error"),
    [
        ("550 no such mailbox ann@example.com", "250 OK", STATE.FAILED, "recipient_refused_550"),
        ("450 greylisted", "250 OK", STATE.QUEUED, "recipient_refused_450"),
        ("250 OK", "554 looks like spam", STATE.FAILED, "message_refused_554"),
        ("250 OK", "451 busy", STATE.QUEUED, "message_refused_451"),
    ],
)
def test_refusals_of_the_mail_server(live, mailbox, to_receiver, to_text, state, error):
    mailbox.to_receiver, mailbox.to_text = to_receiver, to_text
    delivery = queued(live.acme)
    send_all(live.acme)
    after = now_of(live.acme, delivery)
    assert (after.state, after.last_error) == (state, error)
    mailbox.to_receiver = mailbox.to_text = "250 OK"
    send_all(live.acme, NOW + timedelta(seconds=30))
    assert len(mailbox.messages) == (state == STATE.QUEUED)


def test_a_mail_server_that_is_down_is_asked_once_a_run_and_loses_nothing(live, mailbox, settings):
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    first, second = queued(live.acme), queued(live.acme)
    send_all(live.acme)
    assert now_of(live.acme, first).last_error == "mail_server_unreachable"
    assert now_of(live.acme, second).attempts == 0
    settings.EMAIL_PORT = port
    send_all(live.acme, NOW + timedelta(seconds=30))
    assert {message["Message-ID"] for message in mailbox.messages} == {first.message_id, second.message_id}


def test_a_worker_that_dies_after_the_send_repeats_the_same_message_id(live, mailbox):
    delivery = queued(live.acme)
    with tenant_transaction(live.acme.pk):
        claimed = claiming.claim(now=NOW)[0]
    email_of = rendering.render_email("visit", language="en", context=CONTEXT)
    gateways.send_email(email_of, to=claimed.address, message_id=claimed.message_id)
    # Killed here. Its lease keeps others away for a minute, then the message goes out again.
    send_all(live.acme, NOW + timedelta(seconds=59))
    assert len(mailbox.messages) == 1
    send_all(live.acme, NOW + timedelta(seconds=60))
    assert [message["Message-ID"] for message in mailbox.messages] == [delivery.message_id] * 2
    assert now_of(live.acme, delivery).state == STATE.SENT


def test_a_message_that_kills_its_worker_every_time_ends(live, mailbox):
    delivery = queued(live.acme)
    for turn in range(claiming.MOST_ATTEMPTS):
        with tenant_transaction(live.acme.pk):
            assert claiming.claim(now=NOW + turn * claiming.LEASE)
    send_all(live.acme, NOW + claiming.MOST_ATTEMPTS * claiming.LEASE)
    after = now_of(live.acme, delivery)
    assert (after.state, after.last_error, mailbox.messages) == (STATE.FAILED, "worker_lost", [])


def test_a_message_cancelled_after_the_claim_does_not_go_out(live, mailbox):
    delivery = queued(live.acme)
    with tenant_transaction(live.acme.pk):
        claimed = claiming.claim(now=NOW)[0]
        assert queueing.cancel("credential", [5], now=NOW) == 1
    assert send_claimed(claimed, live.acme.pk, clock=lambda: NOW)
    assert mailbox.messages == []
    assert now_of(live.acme, delivery).state == STATE.CANCELLED


def test_a_message_cancelled_while_on_the_wire_is_recorded_as_sent(acme):
    queue()
    claimed = claiming.claim(now=NOW)[0]
    assert claiming.still_ours(claimed, now=NOW)
    queueing.cancel("credential", [5], now=NOW)
    claiming.record_sent(claimed, now=NOW)
    claimed.refresh_from_db()
    assert claimed.state == STATE.SENT


def test_many_workers_deliver_each_message_once(live, mailbox):
    expected = [queued(tenant).message_id for tenant in (live.acme, live.globex) for _ in range(12)]

    def work(_):
        try:
            tasks.send_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(message["Message-ID"] for message in mailbox.messages) == sorted(expected)


def test_content_that_does_not_open_or_render_is_tried_again_and_says_nothing(live, mailbox, caplog):
    moved, unknown = queued(live.acme), queued(live.acme, template="no-such-template")
    with tenant_transaction(live.acme.pk):
        Delivery.objects.filter(pk=moved.pk).update(content=Delivery.objects.get(pk=unknown.pk).content)
    send_all(live.acme)
    assert now_of(live.acme, moved).last_error == "content_does_not_open"
    assert now_of(live.acme, unknown).last_error == "not_prepared"
    assert "TemplateDoesNotExist" in caplog.text


def test_mail_to_files_says_where_they_are(live, settings, tmp_path, caplog):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "outbox")
    caplog.set_level(logging.INFO)
    queued(live.acme), queued(live.acme)
    send_all(live.acme)
    assert caplog.text.count(str(tmp_path / "outbox")) == 1
    assert SHOWN in "".join(path.read_text() for path in Path(settings.EMAIL_FILE_PATH).iterdir())


def test_an_sms_reaches_the_gateway(live, sms_gateway):
    delivery = queued(live.acme, medium="sms", address="+4915112345678")
    send_all(live.acme)
    ((path, body),) = sms_gateway.taken
    assert body["to"] == "+4915112345678"
    assert body["message"].startswith(f"Acme & Sons: Your PIN is {SHOWN}. Front Door, Lab, Head Office: Wed 1 Jul")
    assert "'" not in path
    assert now_of(live.acme, delivery).state == STATE.SENT


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (400, STATE.FAILED, "sms_gateway_answered_400"),
        (401, STATE.QUEUED, "sms_gateway_answered_401"),
        (500, STATE.QUEUED, "sms_gateway_answered_500"),
    ],
)
def test_refusals_of_the_sms_gateway(live, sms_gateway, status, state, error):
    sms_gateway.status = status
    delivery = queued(live.acme, medium="sms", address="+4915112345678")
    send_all(live.acme)
    after = now_of(live.acme, delivery)
    assert (after.state, after.last_error) == (state, error)


def test_sms_without_a_reachable_or_any_gateway(live, settings):
    settings.SMS_URL = "json://127.0.0.1:1/sms?:to={phone}"
    unreachable = queued(live.acme, medium="sms", address="+4915112345678")
    send_all(live.acme)
    assert now_of(live.acme, unreachable).last_error == "sms_gateway_unreachable"
    settings.SMS_URL = ""
    send_all(live.acme, NOW + timedelta(seconds=30))
    after = now_of(live.acme, unreachable)
    assert (after.state, after.last_error) == (STATE.FAILED, "sms_not_configured")


def test_a_pin_shows_in_no_column_no_repr_and_no_log_line(live, mailbox, sms_gateway, caplog):
    caplog.set_level(1)
    for name in ("apprise", "urllib3", "celery", "django", "pins"):
        caplog.set_level(1, logger=name)
    sms_gateway.status = 500
    deliveries = [
        queued(live.acme),
        queued(live.acme, medium="sms", address="+4915112345678"),
        queued(live.acme, template="no-such-template"),
    ]

    def leaks(text):
        return [shape for shape in (PIN, SHOWN) if shape in text]

    def columns():
        with tenant_transaction(live.acme.pk), connection.cursor() as cursor:
            cursor.execute("SELECT d::text FROM deliveries_delivery d")
            rows = cursor.fetchall()
            cursor.execute("SELECT encode(content, 'escape') FROM deliveries_delivery WHERE content IS NOT NULL")
            return str(rows + cursor.fetchall())

    assert not leaks(columns())
    send_all(live.acme)
    assert len(mailbox.messages) == 1
    assert not leaks(mailbox.messages[0]["Subject"])
    assert not leaks(repr([reasons.in_words(now_of(live.acme, delivery).last_error) for delivery in deliveries]))
    assert not leaks(columns())
    mail = rendering.render_email("visit", language="en", context=CONTEXT)
    assert not leaks(f"{mail!r} {deliveries!r} {[str(one) for one in deliveries]}")
    # The receiving mail server of this test logs what it receives.
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("mail")]
    assert not leaks("\n".join(lines))
    assert "+4915112345678" not in "\n".join(line for line in lines if "deliveries_delivery" not in line)
