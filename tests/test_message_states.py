"""What the desk reads about a message: a word, and a reason that somebody can act on."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accesscontrol.visits import messages, revealing
from accesscontrol.visits.models import RevealLink
from accounts.models import Tenant
from pins.deliveries import claiming, gateways, queueing, reasons
from pins.deliveries.models import Delivery
from tests import world
from tests.world import BY, NOW


def queued():
    return queueing.queue(
        medium="email", address="ann@example.com", template="visit", language="en", context={}, about=[], now=NOW
    )


def failed(error, *, for_good=True, attempts=1):
    queued()
    now = NOW
    for _ in range(attempts):
        [delivery] = claiming.claim(now=now)
        claiming.record_failure(delivery, error=error, for_good=for_good, now=now)
        delivery.refresh_from_db()
        now = delivery.next_attempt_at or now
    return delivery


def told(delivery):
    state = messages.state_of(delivery)
    return state.code, state.word, state.reason, state.tone


def test_queued_sent_and_withdrawn(acme):
    delivery = queued()
    assert told(delivery) == ("queued", "On its way", "", "info")
    [claimed] = claiming.claim(now=NOW)
    assert told(claimed)[0] == "queued"
    claiming.record_sent(claimed, now=NOW)
    claimed.refresh_from_db()
    assert told(claimed) == ("sent", "Sent", "", "success")
    other = queueing.queue(
        medium="email", address="a@b.example", template="pin", language="en", context={}, about=[("person", 1)], now=NOW
    )
    queueing.cancel("person", [1], now=NOW)
    other.refresh_from_db()
    assert told(other)[:2] == ("cancelled", "Withdrawn")


def test_a_failure_says_what_to_do(acme):
    assert told(failed("recipient_refused_550")) == (
        "failed",
        "Failed",
        "There is no such mailbox. Check the address.",
        "danger",
    )


def test_a_delay_says_that_it_is_tried_again(acme):
    delivery = failed("mail_server_unreachable", for_good=False)
    assert told(delivery) == (
        "retrying",
        "Delayed",
        "The mail server cannot be reached. It is tried again by itself.",
        "warning",
    )


def test_giving_up_says_how_often_it_was_tried(acme):
    delivery = failed("mail_server_unreachable", for_good=False, attempts=claiming.MOST_ATTEMPTS)
    assert told(delivery)[2] == "The mail server cannot be reached. Given up after 7 tries."


def test_a_link_is_unopened_until_its_button_was_pressed(acme):
    Tenant.objects.filter(pk=acme.pk).update(sends_reveal_links=True)
    world.a_door(is_visitor_door=True)
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, "83951642")
    delivery = messages.send_reservation(world.a_reservation(ann), "email", by=BY, now=NOW)
    assert told(delivery)[0] == "queued"
    claiming.record_sent(claiming.claim(now=NOW)[0], now=NOW)
    delivery = Delivery.objects.get()
    assert told(delivery) == ("unopened", "Not opened", "", "warning")
    for minutes in (1, 2):
        link = revealing.load(RevealLink.objects.get().pk)
        assert revealing.reveal(link, now=NOW + timedelta(minutes=minutes)) == "83951642"
    state = messages.state_of(Delivery.objects.get())
    assert (state.code, state.reason, state.views) == ("opened", "The PIN was shown 2 times.", 2)
    assert (state.first_viewed_at, state.last_viewed_at) == (NOW + timedelta(minutes=1), NOW + timedelta(minutes=2))


def test_the_states_of_many_messages_cost_one_query(acme):
    for _ in range(20):
        queued()
    deliveries = list(Delivery.objects.all())
    with CaptureQueriesContext(connection) as captured:
        assert len(messages.states_of(deliveries)) == 20
    assert len(captured.captured_queries) == 1


CODES = sorted(
    {
        "recipient_refused_550", "recipient_refused_552", "recipient_refused_554", "recipient_refused_450",
        "message_refused_554", "message_refused_451", "address_invalid", "address_not_supported",
        "mail_server_refused_535", "mail_server_timed_out", "mail_server_unreachable", "mail_back_end_failed_0",
        "sms_not_configured", "sms_gateway_failed", "sms_gateway_unknown", "sms_gateway_unreachable",
        "sms_gateway_answered_400", "sms_gateway_answered_401", "sms_gateway_answered_500", "content_does_not_open",
        "not_prepared", "worker_lost", "recipient_refused_500", "mail_back_end_failed_422", "bounced_invalid",
        "bounced_bounced", "bounced_timed_out", "bounced_blocked", "bounced_spam", "bounced_unsubscribed",
        "bounced_other",
    }
)  # fmt: skip


def test_every_code_of_the_gateways_has_its_sentence():
    from inspect import getsource
    from re import findall

    from pins.deliveries import sending

    raised = findall(r'Unsendable\(f?"(\w+?)(?:_\{|")', getsource(gateways) + getsource(sending))
    assert len(raised) > 12
    for code in raised:
        assert any(known.startswith(code) for known in CODES), code


@pytest.mark.parametrize("language", ["en", "de", "es", "zh-hans"])
@pytest.mark.parametrize("code", CODES)
def test_a_sentence_in_every_language(code, language):
    with translation.override(language):
        words = reasons.in_words(code)
    assert words
    assert words[-1] in ".。"
    assert "_" not in words
