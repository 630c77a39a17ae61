"""A message waits as a row: what it says, who claims it, how it fails, what is kept of it."""

import re
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from pins.deliveries import claiming, queueing, rendering, tasks
from pins.deliveries.models import Delivery, DeliverySubject
from tests.letters import (
    BY,
    CONTEXT,
    PIN,
    SHOWN,
    STATE,
    queue,
    queued,
)
from tests.plans import plan_of
from tests.world import NOW

# --- rendering


def test_the_visit_mail_says_which_door_when_how_and_whom_to_call():
    mail = rendering.render_email("visit", language="en", context=CONTEXT)
    for part in (mail.text, mail.html):
        for said in ("Front Door, Lab", "Head Office", "Main Street 1", "1 July 2026, 11:00", "13:00", SHOWN):
            assert said in part
        assert "press # or the green key" in part
        assert "+49 30 123456" in part
    assert "Acme & Sons" in mail.text
    assert "Acme &amp; Sons" in mail.html
    assert "<b>Archer" not in mail.html
    assert "\n\n\n" not in mail.text


@pytest.mark.parametrize("template", ["visit", "pin"])
@pytest.mark.parametrize("language", ["en", "de-CH", "zh-hans", "tlh", ""])
def test_every_template_renders_in_every_language_without_pin_or_line_break_in_its_subject(template, language):
    context = CONTEXT | {"site_name": "Head\r\nBcc: eve@example.com", "tenant_name": "Acme\nX-Evil: 1"}
    mail = rendering.render_email(template, language=language, context=context)
    assert not re.search(r"[\r\n]", mail.subject)
    assert SHOWN in mail.text
    assert SHOWN in mail.html
    assert not set(re.findall(r"\d+", mail.subject)) & {PIN, *SHOWN.split("-")}
    sms = rendering.render_sms(template, language=language, context=context)
    assert SHOWN in sms
    assert "\n" not in sms


def test_a_pin_without_a_right_says_that_details_follow():
    context = {"tenant_name": "Acme", "person_name": "Ann", "pin": "123456"}
    mail = rendering.render_email("pin", language="en", context=context)
    assert "123 456" in mail.text
    assert "details follow" in mail.text
    assert "details follow" in mail.html
    assert "details follow" in rendering.render_sms("pin", language="en", context=context)


def test_a_visit_without_a_pin_and_without_a_phone_leaves_those_lines_out():
    context = CONTEXT | {"pin": "", "help_phone": ""}
    mail = rendering.render_email("visit", language="en", context=context)
    for part in (mail.text, mail.html, rendering.render_sms("visit", language="en", context=context)):
        assert "keypad" not in part
        assert "Call" not in part


@pytest.mark.parametrize(
    ("pin", "shown"),
    [
        ("1234", "1234"),
        ("12345", "12345"),
        ("123456", "123 456"),
        ("1234567", "123 4567"),
        ("00123456", "00-12-3456"),
        ("123456789", "123 456 789"),
        ("1234567890", "123 456 7890"),
    ],
)
def test_pins_are_grouped_as_they_are_read(pin, shown):
    assert rendering.grouped(pin) == shown


# --- the queue


def test_a_queued_message_is_a_row_with_its_subjects(acme):
    delivery = Delivery.objects.get(pk=queue().pk)
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (STATE.QUEUED, 0, NOW)
    assert {(subject.kind, subject.object_id) for subject in delivery.subjects.all()} == {
        ("person", 12),
        ("credential", 5),
        ("reservation", 7),
    }
    assert list(Delivery.objects.about("reservation", [7])) == [delivery]
    assert not Delivery.objects.about("credential", [7]).exists()


def test_nothing_is_queued_without_an_address_or_an_sms_gateway(acme, settings):
    with pytest.raises(queueing.NoAddress):
        queue(address=" ")
    settings.SMS_URL = ""
    with pytest.raises(queueing.SmsNotConfigured) as refusal:
        queue(medium="sms", address="+4930123456")
    assert (refusal.value.code, refusal.value.status) == ("sms_not_configured", 422)
    assert not Delivery.objects.exists()


def test_what_is_cancelled_is_erased_and_not_claimed(acme):
    first, second = queue(about=[("reservation", 1)]), queue(about=[("reservation", 2)])
    assert queueing.cancel("reservation", [1], now=NOW) == 1
    first.refresh_from_db()
    assert (first.state, first.content, first.next_attempt_at) == (STATE.CANCELLED, None, None)
    assert claiming.claim(now=NOW, limit=9) == [second]
    assert queueing.cancel("reservation", [1], now=NOW) == 0


def test_an_erased_person_leaves_no_address(acme):
    waiting, sent = queue(), queue()
    claiming.claim(now=NOW, limit=9)
    sent.refresh_from_db()
    claiming.record_sent(sent, now=NOW)
    queueing.forget("person", [12], now=NOW)
    assert set(Delivery.objects.values_list("pk", "state", "address")) == {
        (waiting.pk, STATE.CANCELLED, ""),
        (sent.pk, STATE.SENT, ""),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "sent", "sent_at": NOW},
        {"state": "cancelled"},
        {"state": "queued", "next_attempt_at": None},
        {"state": "elsewhere"},
    ],
)
def test_the_database_keeps_each_state_to_what_it_needs(acme, wrong):
    delivery = queue()
    with pytest.raises(IntegrityError, match="delivery_holds_what_its_state_needs"), transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk).update(**wrong)


# --- claiming and the outcome


def test_a_claim_holds_for_a_minute_and_then_the_next_worker_has_it(acme):
    queue()
    first = claiming.claim(now=NOW)[0]
    assert (first.state, first.attempts) == (STATE.SENDING, 1)
    assert not claiming.claim(now=NOW + timedelta(seconds=59))
    second = claiming.claim(now=NOW + timedelta(seconds=60))[0]
    assert (second.pk, second.attempts, second.message_id) == (first.pk, 2, first.message_id)
    # The first one wakes up: nothing it says counts any more.
    assert not claiming.still_ours(first, now=NOW)
    claiming.record_failure(first, error="late", for_good=True, now=NOW)
    claiming.record_sent(first, now=NOW)
    second.refresh_from_db()
    assert (second.state, second.last_error) == (STATE.SENDING, "")
    assert claiming.still_ours(second, now=NOW + timedelta(seconds=70))
    claiming.record_sent(second, now=NOW + timedelta(seconds=71))
    second.refresh_from_db()
    assert (second.state, second.content) == (STATE.SENT, None)


def test_failures_back_off_and_end_visible_and_resendable(acme):
    queue()
    now, waits = NOW, []
    for _ in range(claiming.MOST_ATTEMPTS):
        delivery = claiming.claim(now=now)[0]
        claiming.record_failure(delivery, error="mail_server_unreachable", for_good=False, now=now)
        delivery.refresh_from_db()
        if delivery.state == STATE.QUEUED:
            assert not claiming.claim(now=delivery.next_attempt_at - timedelta(seconds=1))
            waits.append((delivery.next_attempt_at - now).total_seconds())
            now = delivery.next_attempt_at
    assert waits == [30, 120, 600, 1800, 7200, 21600]
    assert (delivery.state, delivery.last_error) == (STATE.FAILED, "mail_server_unreachable")
    assert delivery.failed_at == now
    assert delivery.is_resendable(now)


def failed():
    queue()
    delivery = claiming.claim(now=NOW)[0]
    claiming.record_failure(delivery, error="recipient_refused_550", for_good=True, now=NOW)
    return delivery


def test_a_failed_message_is_sent_again_with_what_was_kept_or_with_new_content(acme):
    delivery = failed()
    message_id = delivery.message_id
    queueing.resend(delivery, by=BY, now=NOW)
    assert (delivery.state, delivery.attempts, delivery.message_id) == (STATE.QUEUED, 0, message_id)
    with pytest.raises(queueing.NotResendable):
        queueing.resend(delivery, by=BY, now=NOW)
    again = claiming.claim(now=NOW)[0]
    claiming.record_failure(again, error="recipient_refused_550", for_good=True, now=NOW)
    queueing.resend(delivery, context=CONTEXT, by=BY, now=NOW)
    assert delivery.message_id != message_id
    assert AuditEvent.objects.filter(verb="resend", subject_type="delivery").count() == 2


def test_the_content_of_a_failed_message_is_kept_for_a_week(acme):
    delivery = failed()
    assert queueing.erase_failed(now=NOW + timedelta(days=6, hours=23)) == 0
    assert queueing.erase_failed(now=NOW + timedelta(days=7)) == 1
    with pytest.raises(queueing.ContentErased):
        queueing.resend(delivery, by=BY, now=NOW)
    queueing.resend(delivery, context=CONTEXT, by=BY, now=NOW)
    assert delivery.content


def test_the_finder_names_tenants_with_something_due_and_reads_no_row_that_is_not(acme):
    def due(moment):
        return tasks._tenants("tenants_with_due_deliveries", moment)

    delivery = queue()
    assert due(NOW) == [acme.pk]
    assert due(NOW - timedelta(seconds=1)) == []
    Delivery.objects.bulk_create(
        Delivery(
            medium="email",
            template="visit",
            content=b"x",
            message_id=f"<{n}@x>",
            queued_at=NOW,
            next_attempt_at=NOW + timedelta(days=1),
        )
        for n in range(2000)
    )
    plan = plan_of(
        "SELECT id FROM deliveries_delivery WHERE tenant_id = %s AND state IN ('queued', 'sending') "
        "AND next_attempt_at <= %s ORDER BY next_attempt_at LIMIT 1",
        [acme.pk, NOW],
        # All that is left is an index which holds what is due in its order.
        without="seqscan bitmapscan sort",
        analyze=True,
    )
    assert "delivery_due" in plan, plan
    assert "Rows Removed by Filter" not in plan, plan
    assert claiming.claim(now=NOW, limit=9) == [delivery]


def test_subjects_are_walled_off_with_their_message(live):
    queued(live.acme)
    with tenant_transaction(live.globex.pk):
        assert not Delivery.objects.exists()
        assert not DeliverySubject.objects.exists()
        assert queueing.cancel("person", [12], now=NOW) == 0


def test_the_settings_name_an_application_that_knows_the_tasks():
    from django.utils.module_loading import import_string

    app = import_string(django_settings.TASK_APP)
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
