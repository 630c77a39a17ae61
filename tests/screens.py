"""Two members of staff with PINs of their own, and the browser of a desk that they share."""

from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from accounts.rights import StaffRole
from pins.signin.staff.models import StaffSession
from tests import world
from tests.test_staff_sign_in import sign_in

ANN, BOB, CANARY = "805294", "730261", "46830517"


@pytest.fixture(name="nobody_counted", autouse=True)
def nobody_counted_fixture(settings):
    redis.Redis.from_url(settings.REDIS_URL).flushdb()


@pytest.fixture(name="ann")
def ann_fixture(acme):
    member = world.a_member(StaffRole.MANAGER, "ann@acme.example")
    world.a_staff_pin(member, ANN)
    return member


@pytest.fixture(name="bob")
def bob_fixture(acme):
    member = world.a_member(StaffRole.FRONT_DESK, "bob@acme.example")
    world.a_staff_pin(member, BOB)
    return member


@pytest.fixture(name="desk")
def desk_fixture(ann, bob, client):
    """A browser on which both signed in by password: Bob last, so that he is in front."""
    sign_in(client, "ann@acme.example")
    client.post("/lock/")
    sign_in(client, "bob@acme.example")
    return client


def idle(minutes, user=None):
    rows = StaffSession.objects.filter(user=user) if user else StaffSession.objects.all()
    rows.update(seen_at=timezone.now() - timedelta(minutes=minutes))


def who(client):
    return client.get("/admin/").wsgi_request.user.email


def unlock(client, member, pin, **more):
    return client.post("/locked/", {"member": member.pk, "pin": pin, **more})


def other_tenant(acme):
    from accounts.tenants import all_ids

    return next(tenant_id for tenant_id in all_ids() if tenant_id != acme.pk)
