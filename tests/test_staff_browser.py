"""Staff in a real browser: invited, enrolled, locked, switched, unlocked, stepped up."""

import time
from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from wsgiref.simple_server import make_server

import pytest
from django.db import connections, transaction
from django.utils import timezone
from django_otp.oath import TOTP

from accounts.audit import Actor
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from pins.signin.staff import inviting
from pins.signin.staff.models import AuthenticatorApp, StaffSession, StaffSettings
from pins.vault.sealing import open_json
from tests import world
from tests.test_admin_browser import CHROMIUM, QUIET, _Handler, _Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]
ANN, BOB = "805294", "730261"
CANARY = "46830517"


def _acme(base):
    now = timezone.now()
    owner = world.a_member(StaffRole.OWNER, "owner@acme.example", now=now)
    world.a_staff_pin(owner, ANN, now=now)
    bob = world.a_member(StaffRole.MANAGER, "bob@acme.example", now=now)
    bob.user.name = "Bob Brown"
    bob.user.save()
    world.a_staff_pin(bob, BOB, now=now)
    person = world.a_person("Vera", last_name="Visitor", now=now)
    world.a_door()
    world.a_pin(person, CANARY, now=now)
    inviting.invite("nele@acme.example", StaffRole.MANAGER, name="Nele New", by=Actor("staff", owner.pk), now=now)
    delivery = Delivery.objects.get(template="invitation")
    content = open_json(
        bytes(delivery.content), tenant_id=delivery.tenant_id, table=Delivery._meta.db_table, row_id=delivery.pk
    )
    return {"link": base + "/invitation/" + content["link"].rpartition("/invitation/")[2], "person": person.pk}


@pytest.fixture
def house(live) -> Iterator[dict]:
    from accesscontrol.wsgi import application

    with make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Handler) as server:
        base = f"http://127.0.0.1:{server.server_port}"
        facts = world.committed(live.acme, _acme, base)
        connections.close_all()
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield facts | {"base": base, "tenant": live.acme}
        server.shutdown()
        thread.join()


@pytest.fixture
def page(house):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(180_000)
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        browser.close()


def sign_in(page, base, email):
    page.goto(f"{base}/sign-in/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def code_now():
    [device] = AuthenticatorApp.objects.filter(user__email="nele@acme.example")
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = time.time()
    return f"{totp.token():06}"


def test_invited_enrolled_and_signed_in(house, page):
    base = house["base"]
    with tenant_transaction(house["tenant"].pk):
        StaffSettings.objects.create(requires_second_factor=True)
    page.goto(house["link"])
    page.get_by_role("heading", name="Join Acme").wait_for()
    assert page.get_by_label("Your name").input_value() == "Nele New"
    page.get_by_label("New password").fill("short")
    page.get_by_label("Once more").fill("short")
    page.get_by_role("button", name="Join").click()
    page.get_by_text("This password is too short").wait_for()
    password = "three unlike words"
    page.get_by_label("New password").fill(password)
    page.get_by_label("Once more").fill(password)
    page.get_by_role("button", name="Join").click()

    page.get_by_role("heading", name="Choose your PIN").wait_for()
    page.get_by_label("New PIN", exact=True).fill("123456")
    page.get_by_label("New PIN once more").fill("123456")
    page.get_by_role("button", name="Set PIN").click()
    page.get_by_text("easy to guess").wait_for()
    page.get_by_label("New PIN", exact=True).fill("946135")
    page.get_by_label("New PIN once more").fill("946135")
    page.get_by_role("button", name="Set PIN").click()

    page.get_by_role("heading", name="Add an authenticator app").wait_for()
    assert page.get_by_role("img", name="QR code").is_visible()
    page.get_by_role("textbox", name="Code").fill(code_now())
    page.get_by_role("button", name="Switch it on").click()
    codes = page.locator(".codes li").all_inner_texts()
    assert len(codes) == 10
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert all(code in download.value.path().read_text() for code in codes)
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("heading", name="Overview").wait_for()

    page.goto(f"{base}/account/")
    assert page.get_by_text("10 left").is_visible()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.get_by_label("E-mail address").fill("nele@acme.example")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(codes[3])
    page.get_by_role("button", name="Continue").click()
    page.goto(f"{base}/account/")
    assert page.get_by_text("9 left").is_visible()
    page.goto(house["link"])
    page.get_by_role("heading", name="You have joined already").wait_for()
    # The address of a used link answers 410, which the browser notes.
    assert [said for said in page.complaints if "410" not in said] == []


def test_locked_switched_unlocked_and_stepped_up(house, page):
    base = house["base"]
    sign_in(page, base, "owner@acme.example")
    page.goto(f"{base}/account/")
    page.get_by_role("button", name="Lock the screen").click()
    page.get_by_role("heading", name="Locked").wait_for()
    page.goto(f"{base}/admin/people/person/")
    page.get_by_role("heading", name="Locked").wait_for()
    page.get_by_label("PIN").fill(BOB)
    page.get_by_role("button", name="Unlock").click()
    page.get_by_text("4 tries are left").wait_for()
    page.get_by_label("PIN").fill(ANN)
    page.get_by_role("button", name="Unlock").click()
    page.wait_for_url(f"{base}/admin/people/person/")

    # The desk is shared: the next person signs in once, and then both change places with their PINs.
    page.goto(f"{base}/account/")
    page.get_by_role("button", name="Lock the screen").click()
    page.get_by_role("link", name="Sign in with a password").click()
    page.get_by_label("E-mail address").fill("bob@acme.example")
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{base}/account/")
    assert page.get_by_text("bob@acme.example").is_visible()
    page.goto(f"{base}/admin/people/person/?q=Vera")
    page.goto(f"{base}/account/")
    page.get_by_role("button", name="Lock the screen").click()
    page.get_by_role("radio", name="owner").check()
    page.get_by_label("PIN", exact=True).fill(ANN)
    page.get_by_role("button", name="Unlock").click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.goto(f"{base}/account/")
    assert page.get_by_text("owner@acme.example").is_visible()
    assert "bob@acme.example" not in page.content()

    # Showing a visitor's PIN asks for one's own, once in five minutes.
    page.goto(f"{base}/admin/people/person/{house['person']}/change/")
    page.get_by_role("button", name="Show PIN").click()
    page.get_by_role("heading", name="Confirm with your PIN").wait_for()
    assert CANARY not in page.content().replace("-", "")
    page.get_by_label("Your PIN").fill("111111")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("4 tries are left").wait_for()
    page.get_by_label("Your PIN").fill(ANN)
    page.get_by_role("button", name="Confirm").click()
    assert page.locator("[data-shown-once]").inner_text().replace("-", "") == CANARY
    page.goto(f"{base}/admin/accounts/apikey/add/")
    page.get_by_label("Name").wait_for()
    with tenant_transaction(house["tenant"].pk):
        assert AuditEvent.objects.filter(verb="reveal").count() == 1
    assert page.complaints == []


def test_an_idle_screen_hides_itself_and_the_back_button_shows_nothing(house, page):
    base = house["base"]
    with tenant_transaction(house["tenant"].pk):
        StaffSettings.objects.create(admin_locks_after_minutes=1)
    sign_in(page, base, "owner@acme.example")
    page.clock.install()
    page.goto(f"{base}/admin/people/person/")
    page.get_by_text("Vera").first.wait_for()
    page.clock.run_for(40_000)
    page.mouse.move(300, 300)
    page.clock.run_for(40_000)
    assert page.url == f"{base}/admin/people/person/", "somebody moved the mouse"
    page.clock.run_for(30_000)
    page.get_by_role("heading", name="Locked").wait_for()
    assert StaffSession.objects.get().locked_at
    page.go_back()
    page.wait_for_load_state("networkidle")
    assert "Vera" not in page.content()
    page.goto(f"{base}/admin/people/person/")
    page.get_by_role("heading", name="Locked").wait_for()
    assert "Vera" not in page.content()

    # The server locks by itself as well, whatever a browser does.
    page.get_by_label("PIN").fill(ANN)
    page.get_by_role("button", name="Unlock").click()
    page.wait_for_url(f"{base}/admin/people/person/")
    with transaction.atomic():
        StaffSession.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    page.reload()
    page.get_by_role("heading", name="Locked").wait_for()
