"""A credential is over when its last right has ended; the tick only tidies up."""

from datetime import timedelta

import pytest

from accesscontrol.access import attempts
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.visits import belonging, expiry, issuing, reserving
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from tests import world
from tests.world import BY, NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def door(acme):
    return world.a_door(is_visitor_door=True)


@pytest.fixture
def ann(acme, door):
    return world.a_person("Ann", email="ann@example.com")


@pytest.fixture
def credential(ann):
    return world.a_pin(ann, "83951642").credential


def tick(now):
    while expiry.expire_due(now):
        pass


def state(credential):
    credential.refresh_from_db()
    if credential.erased_at:
        return "erased"
    return "expired" if credential.expired_at else "live"


def opens(door, now):
    return attempts.attempt(door.pk, "83951642", type=CredentialType.PIN, now=now).admitted


def test_a_pin_that_never_had_a_right_stays(credential):
    for days in (0, 1, 400):
        tick(NOW + days * DAY)
        assert state(credential) == "live"


def test_it_expires_with_its_reservation_and_is_erased_a_week_later(ann, credential, door):
    world.a_reservation(ann, hours=1)
    tick(NOW + HOUR - timedelta(seconds=1))
    assert state(credential) == "live"
    tick(NOW + HOUR)
    assert state(credential) == "expired"
    assert AuditEvent.objects.filter(verb="expire").count() == 1
    tick(NOW + HOUR + 7 * DAY - timedelta(seconds=1))
    assert state(credential) == "expired"
    tick(NOW + HOUR + 7 * DAY)
    assert state(credential) == "erased"
    assert credential.sealed is None
    assert world.a_pin(world.a_person("Bob"), "83951642").value == "83951642"


def test_extending_revives(ann, credential, door):
    reservation = world.a_reservation(ann, hours=1)
    tick(NOW + HOUR)
    assert state(credential) == "expired"
    assert not opens(door, NOW + 2 * HOUR)
    reserving.reschedule(reservation, end_time=NOW + 5 * HOUR, by=BY, now=NOW + 2 * HOUR)
    assert state(credential) == "live"
    assert opens(door, NOW + 3 * HOUR)
    tick(NOW + 4 * HOUR)
    assert state(credential) == "live"
    tick(NOW + 5 * HOUR)
    assert state(credential) == "expired"


def test_a_new_reservation_revives_and_the_last_one_counts(ann, credential, door):
    world.a_reservation(ann, hours=1)
    world.a_reservation(ann, start=NOW + 2 * DAY, hours=1)
    tick(NOW + DAY)
    assert state(credential) == "live"
    tick(NOW + 3 * DAY)
    assert state(credential) == "expired"
    world.a_reservation(ann, start=NOW + 4 * DAY, hours=1, now=NOW + 3 * DAY)
    assert state(credential) == "live"


def test_no_expiry_while_a_group_or_role_right_exists(ann, credential, door):
    group = world.a_group("Staff", world.a_role("Staff", door))
    belonging.set_groups(ann, [group], by=BY, now=NOW)
    world.a_reservation(ann, hours=1)
    tick(NOW + DAY)
    assert state(credential) == "live"
    belonging.set_groups(ann, [], by=BY, now=NOW + 2 * DAY)
    tick(NOW + 2 * DAY)
    assert state(credential) == "expired"
    belonging.set_groups(ann, [group], by=BY, now=NOW + 3 * DAY)
    assert state(credential) == "live"
    tick(NOW + 30 * DAY)
    assert state(credential) == "live"
    belonging.set_group_roles(group, [], by=BY, now=NOW + 31 * DAY)
    tick(NOW + 31 * DAY)
    assert state(credential) == "expired"


def test_cancelling_the_only_reservation_expires(ann, credential, door):
    reservation = world.a_reservation(ann, hours=5)
    reserving.cancel(reservation, by=BY, now=NOW + HOUR)
    tick(NOW + HOUR)
    assert state(credential) == "expired"


def test_a_past_reservation_is_no_right_of_a_new_pin(ann, door):
    world.a_reservation(ann, start=NOW - 3 * DAY, hours=1)
    credential = world.a_pin(ann, "83951642").credential
    tick(NOW + DAY)
    assert state(credential) == "live"


def test_what_is_unsent_of_an_expired_pin_does_not_leave(ann, credential, door):
    world.a_reservation(ann, hours=1, deliver="email")
    assert Delivery.objects.get().state == "queued"
    tick(NOW + HOUR)
    assert Delivery.objects.get().state == "cancelled"


def test_revoking_and_cancelling_withdraw_what_is_unsent(ann, credential, door):
    reservation = world.a_reservation(ann, hours=1, deliver="email")
    reserving.reschedule(reservation, end_time=NOW + 3 * HOUR, by=BY, now=NOW)
    states = list(Delivery.objects.order_by("id").values_list("state", flat=True))
    assert states == ["cancelled", "queued"]
    issuing.revoke(credential, by=BY, now=NOW)
    assert not Delivery.objects.filter(state="queued").exists()


def test_the_tick_finds_the_tenants_with_something_due(live):
    with tenant_transaction(live.acme.pk):
        world.a_door(is_visitor_door=True)
        ann = world.a_person()
        world.a_pin(ann)
        world.a_reservation(ann, hours=1)
    assert expiry.tenants_with_due(NOW + HOUR) == [live.acme.pk]
    with tenant_transaction(live.acme.pk):
        tick(NOW + HOUR)
        assert Credential.objects.get().expired_at == NOW + HOUR
    assert expiry.tenants_with_due(NOW + HOUR) == []
