"""A provider reports what came back: only with the secret, and only to whose it was."""

import base64
import hashlib
import hmac

import pytest
from django.core import checks as django_checks
from django.test import Client
from django.utils import translation

from accesscontrol.visits import changing, messages, replacing
from accesscontrol.webhooks.happenings import WORDS
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from pins.deliveries import checks, claiming, queueing
from pins.deliveries.models import Delivery
from tests import world
from tests.world import BY, NOW

SECRET = "gatehouse:" + "s3cret" * 4
SIGNING_KEY = "key-of-mailgun"
STATE = Delivery.State


@pytest.fixture
def by_postmark(settings):
    provider(settings, "postmark")


def provider(settings, name, **values):
    settings.EMAIL_PROVIDER = name
    settings.EMAIL_BACKEND = f"anymail.backends.{name}.EmailBackend"
    settings.ANYMAIL = {**settings.ANYMAIL, "WEBHOOK_SECRET": SECRET, **values}


def sent(**values):
    """An e-mail that was handed over."""
    delivery = queueing.queue(
        medium="email",
        address="ann@example.com",
        template="visit",
        language="en",
        context={},
        now=NOW,
        **{"about": [("person", 12)], **values},
    )
    [claimed] = claiming.claim(now=NOW)
    claiming.record_sent(claimed, now=NOW)
    delivery.refresh_from_db()
    assert delivery.state == STATE.SENT
    return delivery


def token_of(delivery):
    return delivery.message_id[1:33]


def bounce(delivery, **changed):
    """What Postmark posts of a bounce."""
    return {
        "RecordType": "Bounce",
        "ID": 4323372036854775807,
        "Type": "HardBounce",
        "TypeCode": 1,
        "Name": "Hard bounce",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {"message": token_of(delivery)},
        "ServerID": 23,
        "MessageStream": "outbound",
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": "smtp;550 5.1.1 ann@example.com: no such user",
        "Email": "ann@example.com",
        "From": "gatehouse@example.com",
        "BouncedAt": "2026-07-01T08:05:00Z",
        "DumpAvailable": True,
        "Inactive": True,
        "CanActivate": True,
        "Subject": "Your visit",
        **changed,
    }


# Every new client loads the whole chain of middleware again.
_client = Client(raise_request_exception=False)


def report(body, secret=SECRET):
    headers = {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()} if secret else {}
    return _client.post("/mail/reports/", body, "application/json", headers=headers)


def bounces_audited(delivery):
    return AuditEvent.objects.filter(subject_type="delivery", subject_id=delivery.pk, verb="bounce").count()


def test_what_came_back_is_marked_with_a_reason_and_nothing_is_kept_of_it(acme, by_postmark):
    delivery = sent()
    assert report(bounce(delivery)).status_code == 200
    delivery.refresh_from_db()
    assert (delivery.state, delivery.last_error, delivery.content) == (STATE.BOUNCED, "bounced_bounced", None)
    assert delivery.sent_at == NOW
    assert delivery.failed_at is not None
    assert bounces_audited(delivery) == 1
    state = messages.state_of(delivery)
    assert (state.code, state.word, state.tone) == ("bounced", "Bounced", "danger")
    assert state.reason == "There is no such mailbox, or it takes no mail. Check the address."
    assert WORDS["bounce"] == "bounced"
    words = set()
    for language in ("en", "de", "es", "zh-hans"):
        with translation.override(language):
            words.add(messages.state_of(delivery).word)
    assert len(words) == 4


def test_a_report_that_is_repeated_changes_nothing_more(acme, by_postmark):
    delivery = sent()
    for _ in range(3):
        assert report(bounce(delivery)).status_code == 200
    assert bounces_audited(delivery) == 1


@pytest.mark.parametrize("secret", ["", "gatehouse:wrong", "gatehouse:", "a:b:c", SECRET + "x", SECRET[:-1]])
def test_who_does_not_bring_the_secret_is_refused(acme, by_postmark, secret):
    delivery = sent()
    assert report(bounce(delivery), secret).status_code == 400
    delivery.refresh_from_db()
    assert delivery.state == STATE.SENT


@pytest.mark.parametrize(
    ("name", "secret"), [("", SECRET), ("", ""), ("postmark", ""), ("nobody", SECRET), ("../admin", SECRET)]
)
def test_without_a_provider_and_a_secret_there_is_no_such_address(acme, settings, name, secret):
    delivery = sent()
    settings.EMAIL_PROVIDER = name
    settings.ANYMAIL = {**settings.ANYMAIL, "WEBHOOK_SECRET": secret}
    assert report(bounce(delivery), secret or SECRET).status_code == 404
    delivery.refresh_from_db()
    assert delivery.state == STATE.SENT


def mailgun(delivery, *, key=SIGNING_KEY, severity="permanent", **changed):
    """What Mailgun posts of a failure, signed."""
    timestamp, token = "1782893100", "06c96bafc3f42a66b9edd546347a2fe18dc23461fe80dc52f0"
    signature = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    return {
        "signature": {"timestamp": timestamp, "token": token, "signature": signature},
        "event-data": {
            "event": "failed",
            "id": "G9Bn5sl1TC6nu79C8C0bwg",
            "timestamp": 1782893099.5,
            "log-level": "error",
            "severity": severity,
            "reason": "bounce",
            "delivery-status": {"code": 550, "message": "5.1.1 no such user", "attempt-no": 1},
            "message": {"headers": {"message-id": "20260701080500.1.ABCD@example.com", "to": "ann@example.com"}},
            "recipient": "ann@example.com",
            "user-variables": {"message": token_of(delivery)},
            **changed,
        },
    }


def test_a_signed_report_of_mailgun_is_heard_and_a_forged_one_is_not(acme, settings):
    provider(settings, "mailgun", MAILGUN_WEBHOOK_SIGNING_KEY=SIGNING_KEY)
    delivery = sent()
    assert report(mailgun(delivery, key="another")).status_code == 400
    assert report({"event-data": {"event": "failed"}}).status_code == 400
    assert report("{").status_code == 400
    # It goes on trying.
    assert report(mailgun(delivery, severity="temporary")).status_code == 200
    delivery.refresh_from_db()
    assert delivery.state == STATE.SENT
    assert report(mailgun(delivery)).status_code == 200
    delivery.refresh_from_db()
    assert delivery.state == STATE.BOUNCED


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"Type": "BadEmailAddress"}, "bounced_invalid"),
        ({"Type": "Blocked"}, "bounced_blocked"),
        ({"Type": "VirusNotification"}, "bounced_other"),
        ({"Type": "SMTPApiError"}, "bounced_other"),
    ],
)
def test_each_reason_has_its_words(acme, by_postmark, changed, error):
    delivery = sent()
    report(bounce(delivery, **changed))
    delivery.refresh_from_db()
    assert delivery.last_error == error
    assert messages.state_of(delivery).reason not in ("", "It could not be sent.")


@pytest.mark.parametrize(
    "changed",
    [
        {"RecordType": "Delivery"},
        {"RecordType": "Open"},
        {"RecordType": "SpamComplaint", "Type": "SpamComplaint"},
        {"Type": "Transient"},
        {"Type": "AutoResponder"},
        {"Metadata": {}},
        {"Metadata": {"message": "0" * 32}},
        {"Metadata": {"message": "\x00"}},
        {"Metadata": {"message": "\ud800"}},
        {"Metadata": {"message": 7}},
        {"Metadata": {"message": ["' OR true --"]}},
        {"Metadata": {"message": "' OR true --"}},
        {"Metadata": {"other": "software"}},
    ],
)
def test_what_is_no_bounce_of_ours_is_taken_and_left_alone(acme, by_postmark, changed):
    delivery = sent()
    assert report(bounce(delivery, **changed)).status_code == 200
    delivery.refresh_from_db()
    assert delivery.state == STATE.SENT


def test_a_report_marks_the_message_of_the_tenant_that_sent_it_and_no_other(live, by_postmark):
    with tenant_transaction(live.acme.pk):
        ours = sent()
    with tenant_transaction(live.globex.pk):
        theirs = sent()
    assert report(bounce(theirs)).status_code == 200
    with tenant_transaction(live.acme.pk):
        assert Delivery.objects.get(pk=ours.pk).state == STATE.SENT
        assert not AuditEvent.objects.filter(verb="bounce").exists()
    with tenant_transaction(live.globex.pk):
        assert Delivery.objects.get(pk=theirs.pk).state == STATE.BOUNCED
        assert AuditEvent.objects.filter(verb="bounce", subject_id=theirs.pk).count() == 1


def test_a_report_that_is_faster_than_the_worker_holds(acme, by_postmark):
    delivery = queueing.queue(
        medium="email", address="a@b.example", template="visit", language="en", context={}, about=[], now=NOW
    )
    [claimed] = claiming.claim(now=NOW)
    report(bounce(delivery))
    claiming.record_sent(claimed, now=NOW)
    delivery.refresh_from_db()
    assert delivery.state == STATE.BOUNCED
    assert claiming.claim(now=NOW.replace(year=2030)) == []


def test_what_was_taken_back_stays_so(acme, by_postmark):
    delivery = queueing.queue(
        medium="email", address="a@b.example", template="visit", language="en", context={}, about=[("x", 1)], now=NOW
    )
    queueing.cancel("x", [1], now=NOW)
    report(bounce(delivery))
    delivery.refresh_from_db()
    assert delivery.state == STATE.CANCELLED


def visit_told_by_mail():
    ann = world.a_person(now=NOW, email="ann@example.com")
    world.a_pin(ann, now=NOW)
    visit = world.a_reservation(ann, world.a_door(), start=NOW, now=NOW, deliver="email")
    [claimed] = claiming.claim(now=NOW)
    claiming.record_sent(claimed, now=NOW)
    return visit, claimed


def test_the_message_of_a_visit_is_sent_once_more_and_the_old_one_is_withdrawn(acme, by_postmark):
    visit, delivery = visit_told_by_mail()
    report(bounce(delivery))
    assert messages.latest_states("reservation", [visit.pk])[visit.pk].is_undelivered
    anew = replacing.resend(visit, medium="email", by=BY, now=NOW)
    assert anew.message_id != delivery.message_id
    delivery.refresh_from_db()
    assert delivery.state == STATE.CANCELLED
    # The old report comes once more.
    report(bounce(delivery))
    anew.refresh_from_db()
    assert anew.state == STATE.QUEUED


def test_a_visit_whose_message_came_back_is_told_anew_when_it_moves(acme, by_postmark):
    visit, delivery = visit_told_by_mail()
    report(bounce(delivery))
    end = visit.end_time.replace(hour=visit.end_time.hour + 1)

    changing.extend(visit, end_time=end, by=BY, now=NOW)
    [anew] = Delivery.objects.filter(state=STATE.QUEUED)
    assert anew.template == "visit"


@pytest.mark.parametrize(
    ("name", "secret", "found"),
    [
        ("", "", []),
        ("postmark", SECRET, []),
        ("amazon_ses", "", []),
        ("postmrk", "", ["gatehouse.E011"]),
        ("os.path", "", ["gatehouse.E011"]),
        ("postmark", "secret", ["gatehouse.E012"]),
        ("postmark", "gatehouse:short", ["gatehouse.E012"]),
    ],
)
def test_a_wrong_provider_or_a_weak_secret_stops_the_start(settings, name, secret, found):
    settings.EMAIL_PROVIDER = name
    settings.ANYMAIL = {**settings.ANYMAIL, "WEBHOOK_SECRET": secret}
    told = checks.provider_is_known(None)
    assert [each.id for each in told] == found
    assert all(isinstance(each, django_checks.Error) for each in told)
    assert not any(secret and secret in str(each) for each in told)
