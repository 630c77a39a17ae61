"""The page behind the link of a message, the ticks behind it, and the pages of the admin."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context, tenant_transaction
from pins.deliveries.models import Delivery
from pins.deliveries.tasks import send_due
from pins.signin import erasing, pin, tasks, tokens
from pins.signin.account import of_subscriber
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import ForgottenPin, ResetCode, SignInSettings, Subscriber, Token
from pins.signin.resetting import codes, forgetting
from pins.signin.subscribers import signing_in
from pins.signin.subscribers.signing_in import NotRecognised
from pins.throttle.models import Throttle
from tests import world
from tests.signin_world import OTHER, PIN
from tests.world import BY


def a_link(subscriber):
    value, _ = forgetting.open_link(subscriber, SignInSettings.of_tenant(), now=timezone.now())
    return reverse("signin:reset", args=[value])


@pytest.fixture
def ann(acme):
    return world.a_subscriber(pin=PIN, now=timezone.now(), phone="+4930730946")


def ask(path, **fields):
    client = Client()
    response = client.post(path, fields) if fields else client.get(path)
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "no-referrer"
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not response.cookies
    return response.status_code, response.content.decode()


def test_a_link_sets_a_new_pin_once(acme, ann):
    path = a_link(ann)
    status, page = ask(path)
    assert status == 200
    assert "Choose a new PIN" in page
    assert acme.name in page
    # Looking does not use it up, and nothing that is refused does.
    for fields, words in (
        ({"pin": OTHER, "again": PIN}, "differ"),
        ({"pin": "123456", "again": "123456"}, "easy to guess"),
        ({"pin": "12", "again": "12"}, "6 to 12 digits"),
        ({"pin": "730946", "again": "730946"}, "phone number"),
        ({"pin": "", "again": ""}, "needed"),
    ):
        status, page = ask(path, **fields)
        assert (status, words in page) == (422, True), (fields, page)
        assert 'value="' not in page.replace('type="submit"', "")
    status, page = ask(path, pin="730 261", again=OTHER)
    assert (status, "Your new PIN is set" in page) == (200, True)
    with tenant_context(acme.pk):
        assert pin.check_pin(of_subscriber(ann.pk), OTHER, by=BY, now=timezone.now()).is_right
        assert AuditEvent.objects.filter(verb="reset_pin", actor_kind="link").count() == 1
    for _ in range(2):
        status, page = ask(path, pin=PIN, again=PIN)
        assert (status, "used already" in page) == (410, True)


def test_links_that_lead_nowhere(acme, ann):
    first = a_link(ann)
    second = a_link(ann)
    for path in (first, "/pin/reset/" + "0" * 32, "/pin/reset/x", "/pin/reset/%00"):
        status, page = ask(path)
        assert status in (404, 410)
        assert "leads nowhere" in page
    with tenant_context(acme.pk):
        Token.objects.filter(kind="reset").update(expires_at=timezone.now())
    assert ask(second, pin=OTHER, again=OTHER)[0] == 410
    with tenant_context(acme.pk):
        assert pin.check_pin(of_subscriber(ann.pk), PIN, by=BY, now=timezone.now()).is_right


def test_no_other_token_opens_the_page(acme, ann):
    for kind in Token.Kind:
        if kind != Token.Kind.RESET:
            opened = tokens.open_token(kind, ann.pk, life=timedelta(hours=1), now=timezone.now())
            assert ask(f"/pin/reset/{opened.value}")[0] == 404


def test_a_wish_becomes_a_message_with_the_tenants_name(live, settings):
    with tenant_transaction(live.acme.pk):
        world.a_subscriber(pin=PIN, now=timezone.now())
        for value in ("ann@app.example", "nobody@app.example"):
            forgetting.ask(Identifier(Kind.EMAIL, value), by=BY, now=timezone.now())
        assert ForgottenPin.objects.count() == 2
    tasks.tell_forgotten()
    tasks.tell_forgotten()
    send_due()
    [message] = mail.outbox
    assert (message.to, message.subject) == (["ann@app.example"], "A new PIN for Acme")
    [token] = re.findall(rf"{re.escape(settings.PUBLIC_URL)}/pin/reset/([0-9a-f]{{32}})", message.body)
    assert token not in message.subject
    with tenant_transaction(live.acme.pk):
        assert not ForgottenPin.objects.exists()
        assert Delivery.objects.get().content is None
    assert "Acme" in ask(f"/pin/reset/{token}")[1]


def test_what_is_over_is_erased_a_day_later(live):
    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        ann = world.a_subscriber(now=now)
        for life in (timedelta(minutes=1), timedelta(days=3)):
            tokens.open_token(Token.Kind.ACCESS, ann.pk, life=life, now=now - timedelta(days=2))
        codes.issue(ann, "email", SignInSettings.of_tenant(), now=now - timedelta(days=2))
        for days in (1, 32):
            with pytest.raises(NotRecognised):
                typed = Identifier(Kind.EMAIL, f"nobody{days}@app.example")
                signing_in.by_password(typed, "x", by=BY, now=now - timedelta(days=days))
    assert erasing.tenants_with_sign_ins_over(now) == [live.acme.pk]
    tasks.erase_over()
    assert erasing.tenants_with_sign_ins_over(now) == []
    with tenant_transaction(live.acme.pk):
        assert (Token.objects.count(), ResetCode.objects.count(), Throttle.objects.count()) == (1, 0, 1)


def test_the_settings_are_one_page(acme):
    client = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    page = client.get(reverse("admin:signin_signinsettings_changelist"), follow=True)
    address = page.redirect_chain[-1][0]
    assert page.status_code == 200
    with tenant_context(acme.pk):
        row = SignInSettings.objects.get()
    form = page.context["adminform"].form
    fields = {name: value for name, value in form.initial.items() if name in form.fields}
    fields |= {
        "allowed_reset_urls": "https://shop.example/pin\n\nhttps://shop.example/pin",
        "security_questions": "First  pet?\nFirst car?",
        "failures_allowed": 3,
    }
    fields = {name: value for name, value in fields.items() if value is not False}
    assert client.post(address, fields).status_code == 302
    with tenant_context(acme.pk):
        row.refresh_from_db()
        assert row.allowed_reset_urls == ["https://shop.example/pin"]
        assert row.security_questions == ["First pet?", "First car?"]
        assert row.failures_allowed == 3
        assert AuditEvent.objects.filter(subject_type="signinsettings", verb="change").count() == 1
    for wrong, name in (
        ({"failures_allowed": 2}, "failures_allowed"),
        ({"failures_allowed": 11}, "failures_allowed"),
        ({"otp_minutes": 11}, "otp_minutes"),
        ({"pin_length": 3}, "pin_length"),
        ({"allowed_reset_urls": "http://shop.example/"}, "allowed_reset_urls"),
        ({"allowed_reset_urls": "javascript:alert(1)"}, "allowed_reset_urls"),
        ({"security_questions": "One?"}, "security_questions"),
    ):
        answer = client.post(address, fields | wrong)
        assert answer.status_code == 200, wrong
        assert name in answer.context["adminform"].form.errors, wrong
    desk = world.signed_in(world.a_member(StaffRole.FRONT_DESK).user)
    assert desk.get(address).status_code in (302, 403)


def test_subscribers_are_listed_found_blocked_and_unlocked(acme, ann):
    member = world.a_member(StaffRole.MANAGER)
    client = world.signed_in(member.user)
    assert b"ann@app.example" in client.get(reverse("admin:signin_subscriber_changelist")).content
    for term, found in (("ANN@app.example", True), (ann.uid.hex, True), ("+4930 730946", True), ("nobody", False)):
        page = client.get(reverse("admin:signin_subscriber_changelist"), {"q": term})
        assert (b"ann@app.example" in page.content) is found, term
    with tenant_context(acme.pk):
        for _ in range(5):
            pin.check_pin(of_subscriber(ann.pk), OTHER, by=BY, now=timezone.now())
        opened = tokens.open_token(Token.Kind.SESSION, ann.pk, life=timedelta(hours=1), now=timezone.now())
    page = client.get(reverse("admin:signin_subscriber_change", args=[ann.pk]))
    assert b"Unlock" in page.content
    assert client.post(reverse("admin:signin_subscriber_unlock", args=[ann.pk])).status_code == 302
    assert client.post(reverse("admin:signin_subscriber_block", args=[ann.pk])).status_code == 302
    with tenant_context(acme.pk):
        assert pin.check_pin(of_subscriber(ann.pk), PIN, by=BY, now=timezone.now()).is_right
        assert Subscriber.objects.get().blocked_at
        assert Token.objects.get(pk=opened.token.pk).revoked_at
    assert client.post(reverse("admin:signin_subscriber_unblock", args=[ann.pk])).status_code == 302
    with tenant_context(acme.pk):
        assert not Subscriber.objects.get().blocked_at
        verbs = set(AuditEvent.objects.filter(actor_id=member.pk, actor_kind="staff").values_list("verb", flat=True))
        assert verbs >= {"unlock", "block", "unblock"}
    auditor = world.signed_in(world.a_member(StaffRole.AUDITOR).user)
    assert auditor.get(reverse("admin:signin_subscriber_changelist")).status_code == 200
    assert auditor.post(reverse("admin:signin_subscriber_block", args=[ann.pk])).status_code == 403
