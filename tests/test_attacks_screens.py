"""What somebody tries at a screen of staff, or with what they know of it: the lock, the PIN, the password, the app."""

import time
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.credentials.models import Credential
from accesscontrol.reservations.models import Reservation
from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Subscription
from accounts.models import AuditEvent, Membership, Tenant
from accounts.rights import StaffRole
from pins.deliveries.models import Delivery
from pins.signin.staff import passwords, second_factor
from pins.signin.staff.models import Invitation, StaffSession
from pins.signin.staff.views import sign_in
from tests import world
from tests.test_attacks import PIN, a_form, at_desk
from tests.test_settings_page import form_of
from tests.world import BY


def test_a_desk_that_was_left_does_not_open_by_way_of_the_admin(acme):
    world.a_door()
    _, client = at_desk()
    assert client.get("/desk/").status_code == 200
    StaffSession.objects.update(seen_at=timezone.now() - timedelta(minutes=6))
    assert client.get("/admin/").headers["Location"].startswith("/locked/")
    assert client.get("/desk/").headers["Location"].startswith("/locked/")


def test_the_admin_keeps_its_own_time(acme):
    _, client = at_desk(StaffRole.MANAGER)
    assert client.get("/desk/").status_code == 200
    page = client.get("/admin/").content.decode()
    assert 'name="gatehouse-idle" content="900"' in page
    StaffSession.objects.update(seen_at=timezone.now() - timedelta(minutes=6))
    assert client.get("/admin/").status_code == 200


def mistakes():
    rows = AuditEvent.objects.filter(verb="mistake", subject_type="membership").order_by("pk")
    return [(row.subject_id, row.fields) for row in rows]


def test_wrong_passwords_and_codes_of_staff_are_on_record_where_they_work(acme, client):
    member = world.a_member(StaffRole.OWNER, "ann@acme.example", now=timezone.now())
    second_factor.add(member.user, confirmed=True)
    for name in ("ann@acme.example", "nobody@acme.example"):
        began = time.monotonic()
        client.post("/sign-in/", {"username": name, "password": "wrong"}, REMOTE_ADDR="203.0.113.77")
        assert time.monotonic() - began >= sign_in.ANSWERED_AFTER_SECONDS, "who has an account shows in no time"
    assert mistakes() == [(str(member.pk), ["password"])]
    client.post("/sign-in/", {"username": "ann@acme.example", "password": world.PASSWORD})
    client.post("/sign-in/code/", {"code": "000000"})
    assert mistakes()[1:] == [(str(member.pk), ["code"])]


def test_no_tenant_takes_the_second_step_of_who_runs_the_installation(acme):
    member = world.a_member(StaffRole.MANAGER)
    second_factor.add(member.user, confirmed=True)
    member.user.is_platform_owner = True
    member.user.save()
    with pytest.raises(second_factor.RunsTheInstallation):
        second_factor.reset(member, by=BY, now=timezone.now())


def test_guessing_from_elsewhere_locks_nobody_out(acme, time_machine):
    time_machine.move_to(timezone.now(), tick=False)
    email, now = "ann.of.attacks@acme.example", timezone.now()
    for _ in range(passwords.TRIES_PER_ACCOUNT_IN_ALL + 5):
        with suppress(passwords.TooOften):
            passwords.count_try(email, "203.0.113.9", now=now)
    passwords.count_try(email, "198.51.100.7", now=now)
    tried = 0
    with pytest.raises(passwords.TooOften):
        for number in range(50):
            passwords.count_try(email, f"192.0.2.{number}", now=now)
            tried += 1
    assert tried < passwords.TRIES_PER_ACCOUNT_IN_ALL


def test_an_unattended_screen_does_not_have_everybody_erased(acme):
    _, manager = at_desk(StaffRole.MANAGER)
    page = f"/admin/accounts/tenant/{acme.pk}/change/"
    values = form_of(acme, erase_people_after_days="1")
    asked = manager.post(page, values)
    assert asked.templates[0].name == "staff/step_up.html"
    assert Tenant.objects.get(pk=acme.pk).erase_people_after_days is None
    assert manager.post(page, {**values, "step_up_pin": PIN}).status_code == 302
    assert Tenant.objects.get(pk=acme.pk).erase_people_after_days == 1


def test_an_unattended_screen_gives_nobody_a_place_and_tells_nobody(acme):
    member, owner = at_desk(StaffRole.OWNER)
    colleague = world.a_member(StaffRole.HOST, "host@acme.example", now=timezone.now())
    told = {"kinds": ["access"], "form": "standard", "by": BY, "now": timezone.now()}
    webhook = subscribing.subscribe("Ours", "https://ours.example/", **told).subscription
    hook = {"name": "Mine", "url": "https://evil.example/", "kinds": ["access"], "form": "standard"}
    asked = {
        "staff/invitation/add/": {"email": "eve@evil.example", "role": "owner", "sites": []},
        f"accounts/membership/{colleague.pk}/change/": {"role": "owner"},
        "webhooks/subscription/add/": hook,
        f"webhooks/subscription/{webhook.pk}/change/": hook,
        f"webhooks/subscription/{webhook.pk}/rotate/": {},
    }
    for page, values in asked.items():
        answer = owner.post(f"/admin/{page}", values)
        assert answer.templates[0].name == "staff/step_up.html", page
    assert not Invitation.objects.exists()
    assert Membership.objects.get(pk=colleague.pk).role == StaffRole.HOST
    kept = Subscription.objects.get()
    assert (kept.url, kept.secrets) == (webhook.url, webhook.secrets)
    world.confirm(owner, member)
    for page, values in asked.items():
        assert owner.post(f"/admin/{page}", values).status_code in (200, 302), page
    assert Invitation.objects.get().email == "eve@evil.example"
    assert Membership.objects.get(pk=colleague.pk).role == StaffRole.OWNER
    assert Subscription.objects.get(pk=webhook.pk).url == hook["url"]


def test_an_unattended_desk_gives_no_pin_of_a_colleague_away(acme):
    door, now = world.a_door(is_visitor_door=True), timezone.now()
    boss = world.a_person("Boss", last_name="Man", email="boss@acme.example", kind="person", now=now)
    world.a_pin(boss, now=now)
    _, desk = at_desk()
    form = a_form(door, name="Boss Man", person_id=boss.pk, address="eve@evil.example", deliver="email")
    weekly = {"weekdays": ["1"], "begins": "10:00", "ends": "11:00", "first_day": f"{now:%Y-%m-%d}"}
    weekly |= {"last_day": f"{now + timedelta(days=30):%Y-%m-%d}"}
    for path, more in (("visits/new/", {}), ("visits/new/recurring/", weekly)):
        asked = desk.post(f"/desk/{path}", {**form, **more})
        assert asked.templates[0].name == "staff/step_up.html", path
    assert not Delivery.objects.exists()
    boss.refresh_from_db()
    assert boss.email == "boss@acme.example"
    # What goes where they are reached already is nobody's secret.
    assert desk.post("/desk/visits/new/", {**form, "address": "boss@acme.example"}).status_code == 302
    visit = Reservation.objects.get()
    before = Credential.objects.get(person=boss).pk
    assert desk.post(f"/desk/visits/{visit.pk}/new-pin/", {}).templates[0].name == "staff/step_up.html"
    assert Credential.objects.get(person=boss, revoked_at=None).pk == before
    shown = desk.post(f"/desk/visits/{visit.pk}/new-pin/", {"step_up_pin": PIN})
    assert shown.templates[0].name == "desk/issued.html"
    assert desk.post("/desk/visits/new/", {**form, "form_id": "f2", "overlap_seen": "1"}).status_code == 302
    boss.refresh_from_db()
    assert boss.email == "eve@evil.example"
