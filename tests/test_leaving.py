"""Who is being deleted at this moment is left with nothing that still opens, whatever happens at the same time."""

import threading

import pytest
from django.db import connections
from django.utils import timezone

from accesscontrol.credentials.lifecycle import PersonIsGone
from accesscontrol.credentials.models import Credential
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import leaving
from accounts.refusals import Refusal
from accounts.tenancy import tenant_transaction
from tests import world
from tests.world import BY


def test_nothing_is_given_to_somebody_who_is_being_deleted(live):
    door = world.committed(live.acme, world.a_door, is_visitor_door=True)
    ann = world.committed(live.acme, world.a_person)
    deleted, refused = threading.Event(), []

    def give(what):
        deleted.wait(60)
        try:
            with tenant_transaction(live.acme.pk):
                # Read before the deletion was committed.
                what(ann)
        except Refusal as refusal:
            refused.append(type(refusal))
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=give, args=(what,))
        for what in (world.a_pin, lambda person: world.a_reservation(person, door))
    ]
    for thread in threads:
        thread.start()
    with tenant_transaction(live.acme.pk):
        leaving.delete_person(ann, by=BY, now=timezone.now())
        deleted.set()
        for thread in threads:
            thread.join(0.3)
    for thread in threads:
        thread.join(60)
    assert set(refused) == {PersonIsGone}
    with tenant_transaction(live.acme.pk):
        assert not Credential.objects.filter(revoked_at=None).exists()
        assert not Reservation.objects.filter(cancelled_at=None).exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_a_revoked_credential_is_not_switched_on_again(acme, enabled):
    from accesscontrol.visits import issuing

    issued = world.a_pin(world.a_person(), enabled=not enabled)
    stale = Credential.objects.get(pk=issued.credential.pk)
    issuing.revoke(issued.credential, by=BY, now=world.NOW)
    issuing.set_enabled(stale, enabled, by=BY, now=world.NOW)
    assert not Credential.objects.get(pk=stale.pk).enabled
