"""Invitations of staff: one link, one place, whoever else stands at the browser."""

import threading

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import AuditEvent, Membership
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.signin.staff import inviting
from pins.signin.staff.models import Invitation
from tests import world
from tests.screens import ann_fixture, nobody_counted_fixture, other_tenant  # noqa: F401
from tests.test_staff_sign_in import content_of


def token_of(invitation):
    from pins.deliveries.models import Delivery

    told = Delivery.objects.about("invitation", [invitation.pk]).latest("id")
    return content_of(told)["link"].rstrip("/").rpartition("/")[2]


def an_invitation(**values):
    return inviting.invite(
        values.pop("email", "new@acme.example"), StaffRole.HOST, by=world.BY, now=timezone.now(), **values
    )


PASSWORDS = {"name": "Nele", "new_password1": "three unlike words", "new_password2": "three unlike words"}


def test_an_invitation_is_accepted_once(acme, client):
    site = world.a_site()
    invitation = an_invitation(sites=[site])
    address = f"/invitation/{token_of(invitation)}/"
    assert bytes(Invitation.objects.get().digest) == keys.digest(token_of(invitation))
    assert client.post(address, PASSWORDS).headers["Location"].startswith("/account/pin/")
    member = Membership.objects.get(user__email="new@acme.example")
    assert (member.role, list(member.sites.all())) == ("host", [site])
    assert AuditEvent.objects.filter(verb="join", actor_kind="invitation", subject_id=str(member.pk)).count() == 1
    again = Client().post(address, PASSWORDS)
    assert again.status_code == 410
    assert "joined already" in again.content.decode()


def test_dead_links_say_so(acme, client):
    invitation = an_invitation()
    first = token_of(invitation)
    inviting.resend(invitation, by=world.BY, now=timezone.now())
    assert client.get(f"/invitation/{first}/").status_code == 404
    address = f"/invitation/{token_of(invitation)}/"
    assert client.get(address).status_code == 200
    Invitation.objects.update(expires_at=timezone.now())
    assert "too old" in client.get(address).content.decode()
    assert client.post(address, PASSWORDS).status_code == 410
    inviting.withdraw(invitation, by=world.BY, now=timezone.now())
    assert "withdrawn" in client.get(address).content.decode()
    with pytest.raises(inviting.NotOpen):
        inviting.resend(invitation, by=world.BY, now=timezone.now())
    acme.suspended_at = timezone.now()
    acme.save()
    assert client.get(address).status_code == 404


def test_who_has_an_account_joins_with_it_and_nobody_else_does(ann, acme, client):
    other = other_tenant(acme)
    with tenant_context(other):
        address = f"/invitation/{token_of(an_invitation(email='ann@acme.example'))}/"
    page = client.get(address).content.decode()
    assert "has an account already" in page
    client.post(address, PASSWORDS)
    assert ann.user.check_password(world.PASSWORD)
    with tenant_context(other):
        assert not Membership.objects.exists()
    stranger = world.signed_in(world.a_member(StaffRole.OWNER, "eve@acme.example").user)
    assert "is for ann@acme.example" in stranger.get(address).content.decode()
    assert stranger.post(address).status_code == 403
    mine = world.signed_in(ann.user)
    assert mine.post(address).status_code == 302
    with tenant_context(other):
        assert Membership.objects.get().user == ann.user
    assert Membership.objects.get(pk=ann.pk).role == StaffRole.MANAGER


def test_a_locked_screen_accepts_no_invitation(ann, acme):
    with tenant_context(other_tenant(acme)):
        address = f"/invitation/{token_of(an_invitation(email='ann@acme.example'))}/"
    mine = world.signed_in(ann.user)
    mine.post("/lock/")
    assert "Sign in with it" in mine.post(address).content.decode()


def test_who_is_invited_or_here_already_is_not_invited(ann):
    with pytest.raises(inviting.AlreadyStaff):
        an_invitation(email="Ann@acme.example ")
    an_invitation()
    with pytest.raises(inviting.AlreadyInvited):
        an_invitation(email="NEW@acme.example")


def test_of_two_who_accept_at_once_one_does(live):
    def make():
        return token_of(an_invitation())

    address = f"/invitation/{world.committed(live.acme, make)}/"
    connections.close_all()
    statuses = []

    def accept():
        statuses.append(Client().post(address, PASSWORDS).status_code)
        connections.close_all()

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(302) == 1
    assert not [status for status in statuses if status >= 500]

    def members():
        return Membership.objects.count()

    assert world.committed(live.acme, members) == 1
