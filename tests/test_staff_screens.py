"""Locking, switching and stepping up: what is not one's own stays closed, whoever stands at the browser."""

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import tenants
from accounts.models import ApiKey, AuditEvent, Membership
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.signin.staff import own_pin, sessions
from pins.signin.staff.locking import LOCKED
from pins.signin.staff.models import StaffSession, StaffSettings
from pins.signin.staff.stepping_up import ASKED_FROM_ABOVE, ASKED_TO_WRITE
from tests import world
from tests.screens import (
    ANN,
    BOB,
    CANARY,
    ann_fixture,  # noqa: F401
    bob_fixture,  # noqa: F401
    desk_fixture,  # noqa: F401
    idle,
    nobody_counted_fixture,  # noqa: F401
    other_tenant,
    unlock,
    who,
)
from tests.test_staff_sign_in import sign_in


def test_an_idle_screen_is_locked_by_the_server(ann):
    client = world.signed_in(ann.user)
    idle(14)
    assert client.get("/admin/").status_code == 200
    idle(15)
    locked = client.get("/admin/people/person/?q=x")
    assert locked.headers["Location"] == "/locked/?next=%2Fadmin%2Fpeople%2Fperson%2F%3Fq%3Dx"
    StaffSession.objects.update(seen_at=timezone.now())
    assert client.get("/admin/").status_code == 302, "what is locked stays locked"
    assert client.get("/account/").status_code == 302
    assert "no-store" in client.get("/locked/").headers["Cache-Control"]


def test_pieces_of_a_locked_page_are_turned_away(ann):
    client = world.signed_in(ann.user)
    client.post("/lock/")
    htmx = client.get("/admin/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/x/"})
    assert (htmx.status_code, htmx.headers[LOCKED], htmx.content) == (401, "/locked/", b"")
    assert htmx.headers["HX-Redirect"] == "/locked/?next=%2Fadmin%2Fx%2F"
    for headers in ({"X-Background": "1"}, {"Accept": "application/json"}, {"Sec-Fetch-Mode": "cors"}):
        assert client.get("/admin/", headers=headers).status_code == 401
    foreign = client.get("/admin/", headers={"HX-Request": "true", "HX-Current-URL": "http://evil.example/x/"})
    assert foreign.headers["HX-Redirect"] == "/locked/"
    assert client.post("/admin/switch/", {"tenant_id": ann.tenant_id}).status_code == 302
    assert client.get("/oauth/authorize?client_id=x").headers["Location"].startswith("/locked/")


def test_what_the_browser_asks_by_itself_keeps_no_screen_open(ann):
    client = world.signed_in(ann.user)
    idle(10)
    seen = StaffSession.objects.get().seen_at
    assert client.get("/admin/", headers={"X-Background": "1"}).status_code == 200
    assert StaffSession.objects.get().seen_at == seen
    assert client.get("/admin/").status_code == 200
    assert StaffSession.objects.get().seen_at > seen
    idle(10)
    assert client.post("/seen/", {"area": "admin"}).json() == {"locked": False}
    assert StaffSession.objects.get().seen_at > seen
    idle(6)
    assert client.post("/seen/", {"area": "desk"}).status_code == 401, "the desk's limit is five minutes"


def test_a_shift_ends_whatever_happens(ann):
    client = world.signed_in(ann.user)
    StaffSession.objects.update(opened_at=timezone.now() - timedelta(hours=11, minutes=59))
    assert client.get("/admin/").status_code == 200
    StaffSession.objects.update(opened_at=timezone.now() - timedelta(hours=12))
    assert client.get("/locked/").headers["Location"].startswith("/sign-in/")
    assert client.get("/admin/").headers["Location"].startswith("/sign-in/")
    assert not StaffSession.objects.exists()


def test_the_desk_locks_sooner_and_wants_a_pin(bob, acme):
    world.a_site()
    client = world.signed_in(bob.user)
    assert client.get("/desk/", follow=True).status_code == 200
    idle(4)
    assert not client.get("/desk/").headers.get("Location", "").startswith("/locked/")
    idle(5)
    assert client.get("/desk/").headers["Location"] == "/locked/?next=%2Fdesk%2F"
    assert unlock(client, bob, BOB, next="/desk/").headers["Location"] == "/desk/"
    new = world.signed_in(world.a_member(StaffRole.FRONT_DESK, "new@acme.example").user)
    assert new.get("/desk/").headers["Location"] == "/account/pin/?next=%2Fdesk%2F"
    assert "The desk needs one" in new.get("/account/pin/?next=/desk/").content.decode()
    chosen = new.post("/account/pin/", {"pin": "946135", "again": "946135", "next": "/desk/"})
    assert chosen.headers["Location"] == "/desk/"


def test_the_limits_are_the_tenants_own(ann):
    StaffSettings.objects.create(admin_locks_after_minutes=30, shift_hours=1)
    client = world.signed_in(ann.user)
    idle(20)
    assert client.get("/admin/").status_code == 200
    StaffSession.objects.update(opened_at=timezone.now() - timedelta(minutes=61))
    assert client.get("/admin/").status_code == 302


def test_the_own_pin_unlocks_and_the_session_gets_a_new_key(ann):
    client = world.signed_in(ann.user)
    client.post("/lock/")
    stolen = client.session.session_key
    wrong = unlock(client, ann, "111111")
    assert "4 tries are left" in wrong.content.decode()
    assert unlock(client, ann, ANN, next="/admin/people/person/").headers["Location"] == "/admin/people/person/"
    assert client.get("/admin/").status_code == 200
    thief = Client()
    thief.cookies["sessionid"] = stolen
    assert thief.get("/admin/").status_code == 302
    assert StaffSession.objects.count() == 1


def test_unlocking_leads_nowhere_else(ann):
    for wanted in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"):
        client = world.signed_in(ann.user)
        client.post("/lock/", {"next": wanted})
        assert unlock(client, ann, ANN, next=wanted).headers["Location"] == "/start/"


def test_after_too_many_pins_only_the_password_helps(ann, client):
    sign_in(client, "ann@acme.example")
    client.post("/lock/")
    for _ in range(5):
        unlock(client, ann, "111111")
    assert "only your password" in unlock(client, ann, ANN).content.decode()
    assert client.get("/admin/").status_code == 302
    assert AuditEvent.objects.filter(verb="lock", subject_type="membership", subject_id=str(ann.pk)).count() == 1
    assert sign_in(client, "ann@acme.example").status_code == 302
    assert client.get("/admin/").status_code == 200
    assert StaffSession.objects.count() == 1


def test_a_shared_desk_offers_who_signed_in_there_and_switches_sessions(desk, ann, bob):
    assert who(desk) == "bob@acme.example"
    bobs = desk.session.session_key
    desk.post("/lock/")
    page = desk.get("/locked/").content.decode()
    assert f'value="{ann.pk}"' in page
    assert f'value="{bob.pk}"' in page
    assert "4 tries are left" in unlock(desk, ann, BOB).content.decode(), "each has their own PIN"
    assert unlock(desk, ann, ANN, next="/admin/people/person/?q=bobs-visitor").headers["Location"] == "/start/"
    assert who(desk) == "ann@acme.example"
    other = Client()
    other.cookies["sessionid"] = bobs
    assert other.get("/admin/").headers["Location"].startswith("/locked/"), "Bob's stays his, locked"
    desk.post("/lock/")
    assert unlock(desk, bob, BOB).status_code == 302
    assert who(desk) == "bob@acme.example"


def test_messages_of_one_are_not_shown_to_the_next(desk, ann, bob):
    desk.post("/account/sessions/end/")
    desk.post("/lock/")
    unlock(desk, ann, ANN)
    assert "signed in nowhere else" not in desk.get("/account/").content.decode()


def test_a_lock_screen_offers_nobody_else(desk, ann, bob):
    far = world.signed_in(world.a_member(StaffRole.OWNER, "far@acme.example").user)
    far.post("/lock/")
    assert f'value="{ann.pk}"' not in far.get("/locked/").content.decode()
    assert far.post("/locked/", {"member": ann.pk, "pin": ANN}).status_code == 200
    assert far.get("/admin/").status_code == 302
    # Whoever left, changed the password, or is of another tenant only, is not offered either.
    desk.post("/lock/")
    tenants.leave(ann, by=world.BY, now=timezone.now())
    assert f'value="{ann.pk}"' not in desk.get("/locked/").content.decode()
    Membership.objects.update(ended_at=None)
    ann.user.set_password("something entirely different")
    ann.user.save()
    assert "Choose who you are" in unlock(desk, ann, ANN).content.decode()


def test_a_lock_screen_shows_no_name_of_another_tenant(desk, ann, bob, acme):
    other = other_tenant(acme)
    with tenant_context(other):
        mallory = world.a_member(StaffRole.OWNER, "mallory@globex.example")
        world.a_staff_pin(mallory, "946135")
    desk.post("/lock/")
    sign_in(desk, "mallory@globex.example")
    desk.post("/lock/")
    page = desk.get("/locked/").content.decode()
    assert "ann" not in page
    assert "bob" not in page
    assert unlock(desk, ann, ANN).status_code == 200
    assert who(desk) == "mallory@globex.example"


def test_signing_out_leaves_the_colleagues_lock_screen(desk, ann, bob):
    assert desk.post("/sign-out/").headers["Location"] == "/locked/"
    page = desk.get("/locked/").content.decode()
    assert "ann" in page
    assert "bob" not in page
    assert desk.get("/admin/").status_code == 302
    assert unlock(desk, ann, ANN).status_code == 302
    assert who(desk) == "ann@acme.example"
    assert desk.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert not StaffSession.objects.exists()


def test_a_slow_request_does_not_take_the_lock_back(ann):
    client = world.signed_in(ann.user)
    row = StaffSession.objects.get()
    client.post("/lock/")
    sessions.see(row, at_desk=True, now=timezone.now() + timedelta(minutes=1))
    assert StaffSession.objects.get().locked_at
    assert client.get("/admin/").status_code == 302


# Stepping up


@pytest.fixture
def held(ann):
    return world.a_pin(world.a_person("Vera"), CANARY).credential


def show(client, credential, **fields):
    return client.post(f"/admin/credentials/credential/{credential.pk}/show/", fields)


def shows(answer):
    return CANARY in answer.content.decode().replace("-", "")


def test_showing_a_pin_takes_the_own_one(ann, held):
    client = world.signed_in(ann.user)
    asked = show(client, held)
    assert "Confirm with your PIN" in asked.content.decode()
    assert not shows(asked)
    wrong = show(client, held, step_up_pin="111111")
    assert "4 tries are left" in wrong.content.decode()
    assert not AuditEvent.objects.filter(verb="reveal").exists()
    right = show(client, held, step_up_pin=ANN)
    assert shows(right)
    assert "no-store" in right.headers["Cache-Control"]
    assert shows(show(client, held)), "for five minutes nobody is asked again"
    StaffSession.objects.update(confirmed_at=timezone.now() - timedelta(minutes=5))
    assert not shows(show(client, held))


def test_by_a_link_the_page_itself_is_shown_after_the_pin(ann, held):
    client = world.signed_in(ann.user)
    address = f"/admin/credentials/credential/{held.pk}/show/"
    assert 'name="step_up_by_link"' in client.get(address).content.decode()
    answer = client.post(address, {"step_up_pin": ANN, "step_up_by_link": "1"})
    assert answer.headers["Location"] == address
    assert not AuditEvent.objects.filter(verb="reveal").exists()
    again = client.post(address, {"step_up_pin": ANN, "step_up_by_link": "1"})
    assert again.headers["Location"] == address, "the second click shows nothing either"


def test_a_confirmation_ends_with_the_lock_and_is_of_one_membership(ann, held, acme):
    client = world.signed_in(ann.user)
    show(client, held, step_up_pin=ANN)
    client.post("/lock/")
    unlock(client, ann, ANN)
    assert not shows(show(client, held))
    row = StaffSession.objects.get()
    sessions.confirm(row, ann.pk, now=timezone.now())
    assert sessions.is_confirmed(row, ann.pk, now=timezone.now())
    with tenant_context(other_tenant(acme)):
        there = tenants.join(ann.user, StaffRole.OWNER, by=world.BY, now=timezone.now())
    assert not sessions.is_confirmed(row, there.pk, now=timezone.now())


def test_a_key_is_made_after_the_pin_with_what_was_typed(ann):
    client = world.signed_in(ann.user)
    fields = {"name": "Payroll", "kind": "api", "scopes": ["account.person", "account.reservation"]}
    fields |= {"requests_per_minute": "1000"}
    asked = client.post("/admin/accounts/apikey/add/", fields)
    carried = asked.content.decode()
    assert 'name="name" value="Payroll"' in carried
    assert carried.count('name="scopes"') == 2
    assert not ApiKey.objects.exists()
    client.post("/admin/accounts/apikey/add/", {**fields, "step_up_pin": ANN})
    assert set(ApiKey.objects.get().scopes) == set(fields["scopes"])


def test_applications_get_their_secret_after_the_pin_too(ann):
    client = world.signed_in(ann.user)
    address = "/admin/accounts/oauthapplication/add/"
    assert "Confirm with your PIN" in client.get(address).content.decode()
    assert "Confirm with your PIN" in client.post(address, {"name": "App"}).content.decode()
    world.confirm(client, ann)
    assert "Confirm with your PIN" not in client.get(address).content.decode()
    of_one = ("renew", "change", "rotate")
    for name in ASKED_FROM_ABOVE | ASKED_TO_WRITE:
        assert reverse(name, args=[1] if any(part in name for part in of_one) else [])


def test_without_a_pin_one_is_led_to_choosing_it(acme):
    member = world.a_member(StaffRole.MANAGER, "new@acme.example")
    client = world.signed_in(member.user)
    answer = client.get("/admin/accounts/apikey/add/")
    assert answer.headers["Location"] == "/account/pin/?next=/admin/accounts/apikey/add/"
    StaffSession.objects.update(opened_at=timezone.now() - timedelta(minutes=20))
    assert (
        "not your password"
        in client.post("/account/pin/", {"pin": BOB, "again": BOB, "password": "no"}).content.decode()
    )
    assert not own_pin.has_pin(member.pk), "an open screen is not enough"
    client.post("/account/pin/", {"pin": BOB, "again": BOB, "password": world.PASSWORD})
    assert own_pin.has_pin(member.pk)


def test_a_piece_of_a_page_asks_on_a_page_of_its_own(ann, held):
    client = world.signed_in(ann.user)
    address = f"/admin/credentials/credential/{held.pk}/show/"
    answer = client.post(address, headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/"})
    assert answer.headers["HX-Redirect"] == "/step-up/?next=/admin/"
    asked = client.get("/step-up/?next=/admin/").content.decode()
    assert "Confirm with your PIN" in asked
    answer = client.post("/step-up/?next=/admin/", {"step_up_pin": ANN, "step_up_by_link": "1"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/admin/"
    assert client.get("/step-up/?next=//evil.example").headers["Location"] == "/start/"


def test_the_pin_is_changed_and_forgotten_on_pages(ann):
    client = world.signed_in(ann.user)
    wrong = client.post("/account/pin/", {"current": BOB, "pin": "946135", "again": "946135"})
    assert "4 tries are left" in wrong.content.decode()
    assert (
        "easy to guess"
        in client.post("/account/pin/", {"current": ANN, "pin": "123456", "again": "123456"}).content.decode()
    )
    assert (
        "not the same"
        in client.post("/account/pin/", {"current": ANN, "pin": "946135", "again": "946136"}).content.decode()
    )
    assert client.post("/account/pin/", {"current": ANN, "pin": "946135", "again": "946135"}).status_code == 302
    fields = {"password": "no", "pin": BOB, "again": BOB}
    assert "not your password" in client.post("/account/pin/forgot/", fields).content.decode()
    assert client.post("/account/pin/forgot/", fields | {"password": world.PASSWORD}).status_code == 302
    client.post("/lock/")
    assert unlock(client, ann, BOB).status_code == 302


def test_an_owner_resets_a_pin_after_their_own(ann, bob):
    owner = world.a_member(StaffRole.OWNER)
    world.a_staff_pin(owner, "946135")
    client = world.signed_in(owner.user)
    address = f"/admin/accounts/membership/{bob.pk}/reset-pin/"
    client.post(address)
    assert own_pin.has_pin(bob.pk)
    client.post(address, {"step_up_pin": "946135"})
    assert not own_pin.has_pin(bob.pk)
    assert AuditEvent.objects.filter(verb="remove_pin", subject_id=str(bob.pk)).count() == 1
    manager = world.signed_in(ann.user)
    world.confirm(manager, ann)
    assert manager.post(f"/admin/accounts/membership/{owner.pk}/reset-pin/").status_code == 403


def test_parallel_pins_on_the_lock_screen_are_counted_one_by_one(live):
    def make():
        member = world.a_member(StaffRole.MANAGER, "ann@acme.example", now=timezone.now())
        world.a_staff_pin(member, ANN)
        return member

    member = world.committed(live.acme, make)
    client = world.signed_in(member.user)
    client.post("/lock/")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    connections.close_all()

    def guess(number):
        guesser = Client()
        for name, value in cookies.items():
            guesser.cookies[name] = value
        guesser.post("/locked/", {"member": member.pk, "pin": f"1111{number:02}"})
        connections.close_all()

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def events():
        return list(AuditEvent.objects.filter(subject_type="membership").values_list("verb", flat=True))

    verbs = world.committed(live.acme, events)
    assert (verbs.count("mistake"), verbs.count("bar")) == (5, 7)
