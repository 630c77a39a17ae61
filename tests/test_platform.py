"""The platform owner: sees numbers of every tenant and nobody in any, founds, suspends, resumes; always with a code."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP

from accesscontrol.access import attempts, counting
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import CredentialType
from accesscontrol.overview import figures
from accesscontrol.overview.tasks import count_tenants
from accounts import keys, tenants
from accounts.models import ApiKey, AuditEvent, Tenant, TenantFigures
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context, tenant_transaction
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.signin.staff import second_factor
from pins.signin.staff.models import AuthenticatorApp, Invitation, StaffSession
from tests import world
from tests.world import BY

PAGES = ("/platform/", "/platform/new/", "/platform/{0}/", "/platform/{0}/suspend/")


def a_platform_owner(*, enrolled=True, email="platform@example.com"):
    """Signed in with a code, and a member of no tenant."""
    user = tenants.user_of(email, password=world.PASSWORD, now=timezone.now(), is_platform_owner=True)
    client = world.signed_in(user)
    if enrolled:
        device = second_factor.add(user, confirmed=True)
        session = client.session
        session["otp_device_id"] = device.persistent_id
        session.save()
    return client


def a_code():
    """A code of the only platform owner's app, as if none had been typed before."""
    device = AuthenticatorApp.objects.get()
    AuthenticatorApp.objects.update(last_t=-1, throttling_failure_count=0, throttling_failure_timestamp=None)
    return str(TOTP(device.bin_key).token()).zfill(6)


def counted(tenant, now=None):
    with tenant_context(tenant.pk):
        figures.count(now or timezone.now())


@pytest.mark.parametrize("page", PAGES)
def test_only_platform_owners_with_a_code_see_the_platform(acme, page):
    path = page.format(acme.pk)
    anonymous = Client().get(path)
    assert (anonymous.status_code, anonymous.url.partition("?")[0]) == (302, "/sign-in/")
    for role in StaffRole:
        member = world.a_member(role, now=timezone.now())
        assert world.signed_in(member.user).get(path).status_code == 403, role
    answer = a_platform_owner(enrolled=False).get(path)
    assert (answer.status_code, answer.url) == (302, "/platform/two-step/")
    assert a_platform_owner(email="second@example.com").get(path).status_code == 200


def test_an_idle_platform_owner_signs_in_again(acme):
    client = a_platform_owner()
    row = client.session.session_key
    StaffSession.objects.filter(session_id=row).update(seen_at=timezone.now() - timedelta(minutes=16))
    assert client.get("/platform/").url.startswith("/sign-in/")
    assert client.get("/platform/").url.startswith("/sign-in/")


def test_a_platform_owner_of_no_tenant_adds_an_app(acme):
    client = a_platform_owner(enrolled=False)
    assert client.get("/start/").url == "/platform/"
    page = client.get("/platform/two-step/")
    assert "Read this picture" in page.content.decode()
    assert "not right" in client.post("/platform/two-step/", {"code": "000000"}).content.decode()
    AuthenticatorApp.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    device = AuthenticatorApp.objects.get()
    token = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift).token()
    answer = client.post("/platform/two-step/", {"code": f"{token:06}"})
    assert "Your backup codes" in answer.content.decode()
    assert client.get("/platform/").status_code == 200
    # Somebody whose session has shown no code of it is asked for one.
    session = client.session
    del session["otp_device_id"]
    session.save()
    assert client.get("/platform/").url == "/platform/two-step/"
    assert "ask for a code" in client.get("/platform/two-step/").content.decode()


def test_the_list_tells_size_and_health_and_nobody(acme):
    now = timezone.now()
    door = world.a_door("Hidden Door", is_visitor_door=True)
    ann = world.a_person("Ann", last_name="Unseen", now=now)
    pin = world.a_pin(ann, "48210973", now=now)
    for _ in range(3):
        attempts.attempt(door.pk, "48210973", type=CredentialType.PIN, now=now - timedelta(hours=1))
    world.a_person("Bob", now=now)
    Alarm.objects.create(kind="silence", site=door.site, channel=door, raised_at=now)
    queued = queueing.queue(
        medium="email", address="ann@example.com", template="pin", language="en", context={}, about=[], now=now
    )
    Delivery.objects.filter(pk=queued.pk).update(state="failed", failed_at=now, next_attempt_at=None)
    late = queueing.queue(
        medium="email", address="bob@example.com", template="pin", language="en", context={}, about=[],
        now=now - timedelta(hours=1),
    )  # fmt: skip
    assert late.pk
    counting.count_new(now)
    counted(acme, now)
    [glance] = [tenant for tenant in figures.all_tenants() if tenant.id == acme.pk]
    assert (glance.people, glance.doors, glance.pins, glance.events) == (2, 1, 1, 3)
    assert (glance.failed_deliveries, glance.silent_doors, glance.paused_webhooks) == (1, 1, 0)
    assert glance.oldest_undone_at < now - timedelta(minutes=59)
    client = a_platform_owner()
    for page in ("/platform/", f"/platform/{acme.pk}/"):
        text = client.get(page).content.decode()
        assert "Acme" in text
        for hidden in ("Ann", "Unseen", "Hidden Door", "48210973", "ann@example.com", pin.credential.public_id):
            assert hidden not in text, hidden
    text = client.get("/platform/").content.decode()
    assert "1 door silent" in text
    assert "1 message failed" in text
    assert "Work waits since" in text
    assert "Globex" not in client.get("/platform/?q=acm").content.decode()
    assert "No tenant is called" in client.get("/platform/?q=zzz").content.decode()
    # Neither the admin nor the desk opens to somebody who belongs to nobody.
    assert client.get("/admin/").status_code == 403
    assert client.get("/admin/people/person/").status_code == 403


def test_figures_are_counted_when_they_are_old_and_not_before(acme, django_assert_max_num_queries):
    now = timezone.now()
    counted(acme, now)
    world.a_person("Ann", now=now)
    with django_assert_max_num_queries(4):
        assert not figures.count(now + timedelta(minutes=4))
    assert figures.count(now + timedelta(minutes=6))
    assert TenantFigures.objects.get().people == 0
    assert figures.count(now + timedelta(minutes=61))
    assert TenantFigures.objects.get().people == 1


def test_the_tick_counts_every_tenant(live):
    count_tenants()
    count_tenants()
    for tenant in (live.acme, live.globex):
        with tenant_transaction(tenant.pk):
            assert TenantFigures.objects.count() == 1


def test_one_form_founds_a_tenant_and_invites_its_owner(acme):
    client = a_platform_owner()
    values = {
        "name": "Initech", "slug": "", "time_zone": "Europe/Madrid", "language": "es", "owner_name": "Olga",
        "owner_email": "Olga@Initech.example",
    }  # fmt: skip
    assert "required" in client.post("/platform/new/", {**values, "owner_email": ""}).content.decode()
    answer = client.post("/platform/new/", values, follow=True)
    assert "An invitation is on its way to Olga@Initech.example." in answer.content.decode()
    [made] = [tenant for tenant in figures.all_tenants() if tenant.slug == "initech"]
    with tenant_context(made.id):
        tenant, invitation = Tenant.objects.get(), Invitation.objects.get()
        assert (tenant.time_zone, tenant.language) == ("Europe/Madrid", "es")
        assert (invitation.email, invitation.role, invitation.name) == ("olga@initech.example", "owner", "Olga")
        assert Delivery.objects.filter(template="invitation", address="olga@initech.example").count() == 1
        assert {"found", "invite"} <= set(AuditEvent.objects.values_list("verb", flat=True))
        assert set(AuditEvent.objects.values_list("actor_kind", flat=True)) == {"platform"}
    again = client.post("/platform/new/", values).content.decode()
    assert "There is a tenant of this name already." in again
    assert len([tenant for tenant in figures.all_tenants() if "initech" in tenant.slug]) == 1
    # The invitation was lost: it is sent again, to the same address.
    lost = {"email": "olga@initech.example", "code": a_code()}
    assert client.post(f"/platform/{made.id}/invite/", lost).status_code == 302
    with tenant_context(made.id):
        assert Invitation.objects.count() == 1
        assert AuditEvent.objects.filter(verb="resend").count() == 1


def test_a_suspended_tenant_is_shut_to_everybody_until_it_is_resumed(acme):
    now = timezone.now()
    owner = world.a_member(StaffRole.OWNER, now=now)
    member = world.signed_in(owner.user)
    door = world.a_door()
    key, reader = world.an_api_key(now=now), world.a_reader_key(door, now=now).value
    queueing.queue(medium="email", address="a@b.example", template="pin", language="en", context={}, about=[], now=now)
    client, path = a_platform_owner(), f"/platform/{acme.pk}/suspend/"
    assert "let nobody in" in client.get(path).content.decode()
    assert "Write “Acme” to confirm." in client.post(path, {"name": "Globex", "code": "000000"}).content.decode()

    def answers():
        return (
            world.api(key).get("/api/3/people").status_code,
            world.api(reader).post(f"/api/3/channels/{door.pk}/attempts", {"value": "1234"}).status_code == 401,
            member.get("/admin/people/person/").status_code,
        )

    def sends():
        with connection.cursor() as cursor:
            cursor.execute("SELECT finder.tenants_with_due_deliveries(%s)", [now + timedelta(minutes=1)])
            return (acme.pk,) in cursor.fetchall()

    assert answers() == (200, False, 200)
    assert client.post(path, {"name": " acme ", "code": a_code()}).status_code == 302
    assert answers() == (401, True, 403)
    assert "Suspended" in client.get("/platform/").content.decode()
    assert not sends()
    assert client.post(f"/platform/{acme.pk}/invite/", {"email": "x@y.example"}).status_code in (200, 302)
    assert client.post(f"/platform/{acme.pk}/resume/").status_code == 302
    assert answers() == (200, False, 200)
    assert sends()
    with tenant_context(acme.pk):
        assert list(AuditEvent.objects.filter(subject_type="tenant").order_by("id").values_list("verb", flat=True)) == [
            "suspend",
            "resume",
        ]
        assert ApiKey.objects.filter(digest__in=keys.digests(key), revoked_at=None).exists()
        tenants.resume(acme.pk, by=BY, now=now)
        assert AuditEvent.objects.filter(verb="resume").count() == 1
    assert client.get("/platform/999999999/").status_code == 404
    assert client.get(f"/platform/{acme.pk}/resume/").status_code == 405


def test_an_unattended_screen_neither_invites_an_owner_nor_suspends(acme):
    client, path = a_platform_owner(), f"/platform/{acme.pk}/invite/"
    values = {"email": "mallory@example.com"}
    assert "required" in client.post(path, values).content.decode()
    assert "not right" in client.post(path, {**values, "code": "000000"}).content.decode()
    used = a_code()
    assert client.post(path, {**values, "code": used}).status_code == 302
    again = client.post(path, {"email": "another@example.com", "code": used})
    assert "not right" in again.content.decode()
    for code in ("", used):
        client.post(f"/platform/{acme.pk}/suspend/", {"name": "Acme", "code": code})
    with tenant_context(acme.pk):
        assert list(Invitation.objects.values_list("email", flat=True)) == ["mallory@example.com"]
        assert Tenant.objects.get().suspended_at is None
