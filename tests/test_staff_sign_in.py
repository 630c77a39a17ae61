"""Signing in to the product: password, second factor, lost passwords; nobody gets further than they have shown."""

import re
import time
from datetime import timedelta

import pytest
import redis
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken

from accounts import audit, tenants
from accounts.audit import Actor
from accounts.models import AuditEvent, Membership, Tenant, User
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.deliveries import rendering
from pins.deliveries.models import Delivery
from pins.signin.staff import passwords, second_factor, sessions, signing_in
from pins.signin.staff.models import AuthenticatorApp, StaffSession, StaffSettings
from pins.vault.sealing import open_json
from tests import world

PIN = "805294"


@pytest.fixture(autouse=True)
def _nobody_counted(settings):
    redis.Redis.from_url(settings.REDIS_URL).flushdb()


@pytest.fixture
def ann(acme):
    return world.a_member(StaffRole.MANAGER, "ann@acme.example")


def sign_in(client, email="ann@acme.example", password=world.PASSWORD, **more):
    return client.post("/sign-in/", {"username": email, "password": password, **more})


def enrol(user, *, by=world.BY):
    """An app on the user's phone: returns its device and the backup codes."""
    device = second_factor.begin(user)
    _, codes = second_factor.enrol(user, code_of(device), by=by, now=timezone.now())
    device.refresh_from_db()
    # Tests type faster than codes change.
    AuthenticatorApp.objects.filter(pk=device.pk).update(last_t=-1)
    return device, codes


def code_of(device, *, at=None):
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = at or time.time()
    return f"{totp.token():06}"


def content_of(delivery):
    return open_json(
        bytes(delivery.content), tenant_id=delivery.tenant_id, table=Delivery._meta.db_table, row_id=delivery.pk
    )


def test_by_e_mail_and_password(ann, client):
    assert "E-mail address" in client.get("/sign-in/").content.decode()
    wrong = sign_in(client, password="no")
    assert "do not belong together" in wrong.content.decode()
    right = sign_in(client, " Ann@acme.example", next="/admin/people/person/")
    assert right.headers["Location"] == "/account/pin/?next=%2Fadmin%2Fpeople%2Fperson%2F&offer=1"
    assert client.get("/admin/").status_code == 200
    assert client.get("/sign-in/").headers["Location"] == "/admin/"
    assert AuditEvent.objects.filter(verb="sign_in", subject_id=str(ann.pk)).count() == 1
    assert client.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert client.get("/admin/").status_code == 302
    assert not StaffSession.objects.exists()


def test_with_a_pin_nobody_is_asked_to_choose_one(ann, client):
    world.a_staff_pin(ann)
    assert sign_in(client).headers["Location"] == "/admin/"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/%09/evil.example".replace("%09", "\t"),
        "javascript:alert(1)",
        "http:evil.example",
        "///evil.example",
        "/sign-out/",
        "/sign-in/?next=/",
        "",
        "evil.example",
    ],
)
def test_signing_in_leads_nowhere_else(ann, client, wanted):
    world.a_staff_pin(ann)
    assert sign_in(client, next=wanted).headers["Location"] == "/admin/"
    client.logout()
    assert client.get("/sign-in/", {"next": wanted}).status_code == 200


def test_a_session_that_somebody_planted_is_left_behind(ann, client):
    client.session["planted"] = True
    client.session.save()
    planted = client.session.session_key
    sign_in(client)
    assert client.session.session_key != planted
    thief = Client()
    thief.cookies["sessionid"] = planted
    assert thief.get("/admin/").status_code == 302


def test_forged_forms_are_refused(ann):
    strict = Client(enforce_csrf_checks=True)
    for path in ("/sign-in/", "/sign-out/", "/lock/", "/locked/", "/account/pin/", "/step-up/", "/sign-in/code/"):
        assert strict.post(path, {}).status_code == 403, path


def test_guessing_a_password_is_slowed_down(ann, client):
    for _ in range(passwords.TRIES_PER_ACCOUNT):
        assert "do not belong together" in sign_in(client, password="wrong").content.decode()
    assert "Too many tries" in sign_in(client).content.decode()
    assert "Too many tries" not in sign_in(client, "bob@acme.example").content.decode()


def test_a_session_that_nobody_signed_in_to_opens_nothing(ann, client):
    client.force_login(ann.user)
    answer = client.get("/admin/")
    assert answer.headers["Location"].startswith("/sign-in/")
    assert client.get("/admin/").status_code == 302


def test_the_second_factor_stands_between_password_and_session(ann, client):
    world.a_staff_pin(ann)
    device, _ = enrol(ann.user)
    assert sign_in(client).headers["Location"] == "/sign-in/code/"
    assert client.get("/admin/").status_code == 302
    assert "sessionid" not in client.cookies
    assert "not right" in client.post("/sign-in/code/", {"code": "000000"}).content.decode()
    AuthenticatorApp.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    assert client.post("/sign-in/code/", {"code": code_of(device)}).headers["Location"] == "/admin/"
    assert client.get("/admin/").wsgi_request.user.is_verified()
    assert StaffSession.objects.count() == 1


def test_a_code_works_once_and_wrong_ones_have_to_wait(ann, client):
    device, _ = enrol(ann.user)
    code = code_of(device)
    sign_in(client)
    client.post("/sign-in/code/", {"code": code})
    other = Client()
    sign_in(other)
    assert "not right" in other.post("/sign-in/code/", {"code": code}).content.decode()
    AuthenticatorApp.objects.update(throttling_failure_count=6)
    waiting = other.post("/sign-in/code/", {"code": code_of(device, at=time.time() + 30)}).content.decode()
    assert "Too many wrong codes. Wait" in waiting
    assert other.get("/admin/").status_code == 302


def test_the_second_step_needs_the_first(ann, client):
    device, _ = enrol(ann.user)
    answer = client.post("/sign-in/code/", {"code": code_of(device)}, follow=True)
    assert "Please begin with your password" in answer.content.decode()
    sign_in(client)
    client.cookies[signing_in.PENDING_COOKIE] = client.cookies[signing_in.PENDING_COOKIE].value + "x"
    assert client.get("/sign-in/code/").status_code == 302
    sign_in(client)
    ann.user.set_password("something entirely different")
    ann.user.save()
    assert client.post("/sign-in/code/", {"code": code_of(device)}).headers["Location"] == "/sign-in/"


def test_a_backup_code_works_once_and_its_owner_is_told(ann, client):
    _, codes = enrol(ann.user)
    assert len(set(codes)) == second_factor.CODES
    kept = list(StaticToken.objects.values_list("token", flat=True))
    assert not [code for code in codes if code.replace("-", "") in kept]
    sign_in(client)
    client.post("/sign-in/code/", {"code": codes[0].upper().replace("-", " ")})
    page = client.get("/account/").content.decode()
    assert "9 codes are left" in page
    told = Delivery.objects.filter(template="account").latest("id")
    assert content_of(told)["kind"] == "backup_code_used"
    assert "9 codes are left" in rendering.render_email("account", language="en", context=content_of(told)).text
    other = Client()
    sign_in(other)
    assert "not right" in other.post("/sign-in/code/", {"code": codes[0]}).content.decode()


def test_a_tenant_can_require_the_second_factor(ann, client):
    StaffSettings.objects.create(requires_second_factor=True)
    sign_in(client)
    assert client.get("/admin/people/person/").headers["Location"].startswith("/account/two-step/?next=")
    page = client.get("/account/two-step/").content.decode()
    assert "<svg" in page
    assert "style=" not in page
    device = AuthenticatorApp.objects.get(user=ann.user, confirmed=False)
    shown = client.post("/account/two-step/", {"code": code_of(device), "next": "/admin/people/person/"})
    assert len(re.findall(r"<li>[a-z0-9]{5}-[a-z0-9]{5}</li>", shown.content.decode())) == 10
    assert "no-store" in shown.headers["Cache-Control"]
    assert client.get("/admin/people/person/").status_code == 200
    again = client.get("/account/two-step/", follow=True).content.decode()
    assert not re.search(r"[a-z0-9]{5}-[a-z0-9]{5}</li>", again)


def test_adding_an_app_later_asks_for_the_password(ann):
    client = world.signed_in(ann.user)
    StaffSession.objects.update(opened_at=timezone.now() - timedelta(minutes=20))
    client.get("/account/two-step/")
    device = AuthenticatorApp.objects.get(user=ann.user)
    answer = client.post("/account/two-step/", {"code": code_of(device), "password": "no"})
    assert "not your password" in answer.content.decode()
    assert not second_factor.is_enrolled(ann.user)
    answer = client.post("/account/two-step/", {"code": code_of(device), "password": world.PASSWORD})
    assert second_factor.is_enrolled(ann.user)


def test_removing_the_app_and_new_codes_take_password_and_code(ann):
    client = world.signed_in(ann.user)
    device, codes = enrol(ann.user)
    for path in ("/account/two-step/off/", "/account/two-step/codes/"):
        client.post(path, {"password": "no", "code": codes[9]})
        client.post(path, {"password": world.PASSWORD, "code": ""})
    assert second_factor.codes_left(ann.user) == 10
    client.post("/account/two-step/codes/", {"password": world.PASSWORD, "code": code_of(device)})
    assert second_factor.codes_left(ann.user) == 10
    client.post("/account/two-step/off/", {"password": world.PASSWORD, "code": codes[0]})
    assert second_factor.is_enrolled(ann.user), "the earlier codes are gone"
    from django_otp.plugins.otp_static.models import StaticDevice

    StaticDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    AuthenticatorApp.objects.update(last_t=-1)
    client.post("/account/two-step/off/", {"password": world.PASSWORD, "code": code_of(device)})
    assert not second_factor.is_enrolled(ann.user)


def link_of(email="ann@acme.example"):
    found = Delivery.objects.filter(template="new_password", address=email).latest("id")
    return content_of(found)["link"].split("://", 1)[1].partition("/")[2]


def test_a_forgotten_password_is_set_anew_by_e_mail(ann, client):
    elsewhere = world.signed_in(ann.user)
    assert "on its way" in client.post("/sign-in/forgot/", {"email": "Ann@acme.example"}).content.decode()
    link = "/" + link_of()
    page = client.get(link, follow=True)
    assert page.redirect_chain[-1][0].endswith("/new/"), "the token stays in no address"
    weak = client.post(page.redirect_chain[-1][0], {"new_password1": "short", "new_password2": "short"})
    assert "too short" in weak.content.decode()
    new = "seven purple staplers"
    client.post(page.redirect_chain[-1][0], {"new_password1": new, "new_password2": new})
    assert "no longer works" in Client().get(link, follow=True).content.decode()
    assert elsewhere.get("/admin/").status_code == 302
    assert sign_in(client, password=new).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert AuditEvent.objects.filter(verb="reset", subject_type="password").count() == 1


def test_forgetting_says_nothing_about_who_has_an_account(ann, client):
    answers = []
    for email in ("ann@acme.example", "nobody@acme.example"):
        page = client.post("/sign-in/forgot/", {"email": email})
        answers.append((page.status_code, re.sub(r'value="[^"]*"', "", page.content.decode()).replace(email, "…")))
    assert answers[0] == answers[1]
    assert Delivery.objects.filter(template="new_password").count() == 1


def test_links_to_a_new_password_are_capped(ann, client):
    for _ in range(passwords.LINKS_PER_ACCOUNT + 2):
        assert "on its way" in client.post("/sign-in/forgot/", {"email": "ann@acme.example"}).content.decode()
    assert Delivery.objects.filter(template="new_password").count() == passwords.LINKS_PER_ACCOUNT
    for _ in range(passwords.ASKED_PER_ADDRESS):
        last = client.post("/sign-in/forgot/", {"email": "bob@acme.example"})
    assert "Too many tries" in last.content.decode()


def test_a_changed_password_ends_every_other_session(ann):
    client, elsewhere = world.signed_in(ann.user), world.signed_in(ann.user)
    new = "seven purple staplers"
    wrong = {"old_password": "no", "new_password1": new, "new_password2": new}
    assert client.post("/account/password/", wrong).status_code == 200
    assert client.post("/account/password/", wrong | {"old_password": world.PASSWORD}).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302
    assert StaffSession.objects.count() == 1


def test_a_suspended_tenant_and_an_ended_membership_close_the_door_at_once(ann):
    client = world.signed_in(ann.user)
    assert client.get("/admin/").status_code == 200
    tenants.leave(ann, by=world.BY, now=timezone.now())
    assert client.get("/admin/").status_code == 403
    assert client.get("/account/").status_code == 302
    Membership.objects.update(ended_at=None)
    Tenant.objects.filter(pk=ann.tenant_id).update(suspended_at=timezone.now())
    assert client.get("/admin/").status_code == 403


def test_resetting_a_lost_phone(ann, acme):
    enrol(ann.user)
    owner = world.a_member(StaffRole.OWNER)
    by = Actor("staff", owner.pk)
    second_factor.reset(ann, by=by, now=timezone.now())
    assert not second_factor.is_enrolled(ann.user)
    assert content_of(Delivery.objects.latest("id"))["kind"] == "second_factor_reset"
    with pytest.raises(second_factor.NotEnrolled):
        second_factor.reset(ann, by=by, now=timezone.now())


def test_no_owner_takes_away_what_another_tenant_relies_on(ann, acme):
    enrol(ann.user)
    globex = Tenant.objects.raw("SELECT id FROM finder.all_tenants() AS id")
    other = next(tenant.pk for tenant in globex if tenant.pk != acme.pk)
    with tenant_context(other):
        there = tenants.join(ann.user, StaffRole.HOST, by=world.BY, now=timezone.now())
        with pytest.raises(second_factor.WorksElsewhere):
            second_factor.reset(there, by=world.BY, now=timezone.now())
    assert second_factor.is_enrolled(ann.user)


def test_sessions_that_are_over_are_forgotten(ann):
    client = world.signed_in(ann.user)
    sessions.forget_over(now=timezone.now())
    assert StaffSession.objects.count() == 1
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    sessions.forget_over(now=timezone.now())
    assert not StaffSession.objects.exists()
    assert client.get("/admin/").status_code == 302


def test_no_page_of_an_account_is_kept_or_has_anything_inline(ann):
    client = world.signed_in(ann.user)
    for path in (
        "/account/",
        "/account/pin/",
        "/account/pin/forgot/",
        "/account/password/",
        "/account/two-step/",
        "/account/two-step/off/",
        "/account/two-step/codes/",
        "/sign-in/forgot/",
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "no-store" in page.headers["Cache-Control"], path
        assert "unsafe" not in page.headers["Content-Security-Policy"], path
        assert not re.search(r" style=|<style|<script>| on[a-z]+=", page.content.decode()), path


def test_what_was_typed_stands_in_no_record(ann, client):
    sign_in(client)
    client.post("/account/pin/", {"pin": PIN, "again": PIN})
    for event in AuditEvent.objects.values():
        assert PIN not in repr(event)
        assert world.PASSWORD not in repr(event)
    assert audit.SYSTEM
    assert User.objects.get(pk=ann.user_id).last_login
