"""Staff are invited by e-mail: invite, send again, withdraw, accept. Only the newest link of an invitation works."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from accounts import audit, keys, tenants
from accounts.models import Membership, Site, User
from accounts.refusals import Refusal, refusing
from accounts.rights import StaffRole
from pins.deliveries import queueing
from pins.signin.staff import notices, own_pin
from pins.signin.staff.models import Invitation, InvitationSite

VALID_FOR: Final = timedelta(days=7)


class AlreadyStaff(Refusal):
    code = "already_staff"
    field = "email"
    text = "Somebody with this address is on your staff already."


class AlreadyInvited(Refusal):
    code = "already_invited"
    field = "email"
    text = "This address is invited already. Send that invitation again instead."
    constraint = "invitation_open_once"


@transaction.atomic
def invite(
    email: str,
    role: StaffRole,
    *,
    by: audit.Actor,
    now: datetime,
    name: str = "",
    sites: Iterable[Site] | None = None,
) -> Invitation:
    """Ask somebody by e-mail to join the current tenant; refuses who belongs to it or is invited already."""
    email, token = email.strip().lower(), keys.random_token()
    if Membership.objects.filter(user__email=email, ended_at=None).exists():
        raise AlreadyStaff
    with refusing(AlreadyInvited):
        invitation = Invitation.objects.create(
            email=email,
            name=name.strip(),
            role=role,
            all_sites=sites is None,
            digest=keys.digest(token),
            expires_at=now + VALID_FOR,
            sent_at=now,
            created_at=now,
        )
    InvitationSite.objects.bulk_create(InvitationSite(invitation=invitation, site=site) for site in sites or ())
    audit.record("invite", "invitation", invitation.pk, by=by, now=now, fields=["role", "sites"])
    _send(invitation, token, now=now)
    return invitation


class NotOpen(Refusal):
    code = "invitation_not_open"
    status = 409
    text = "This invitation was accepted or withdrawn already."


@transaction.atomic
def resend(invitation: Invitation, *, by: audit.Actor, now: datetime) -> None:
    """Send a new link, for another week; the earlier one stops working. Refuses what is no longer open."""
    token = keys.random_token()
    _close(invitation, digest=keys.digest(token), expires_at=now + VALID_FOR, sent_at=now)
    queueing.cancel("invitation", [invitation.pk], now=now)
    audit.record("resend", "invitation", invitation.pk, by=by, now=now)
    _send(invitation, token, now=now)


@transaction.atomic
def withdraw(invitation: Invitation, *, by: audit.Actor, now: datetime) -> None:
    """End an invitation: its link stops working, and an e-mail that has not left does not leave."""
    _close(invitation, withdrawn_at=now)
    queueing.cancel("invitation", [invitation.pk], now=now)
    audit.record("withdraw", "invitation", invitation.pk, by=by, now=now)


@dataclass(frozen=True)
class Found:
    """Where the invitation of a link is; asked before its tenant is set."""

    tenant_id: int
    invitation_id: int


def found_by(token: str) -> Found | None:
    """The invitation of this link, in whatever state; none of a suspended tenant."""
    if not token or len(token) > 100:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM finder.invitation_by_digest(%s)", [keys.digests(token)])
        row = cursor.fetchone()
    return Found(*row) if row else None


class InvitationOver(Refusal):
    code = "invitation_over"
    status = 410
    text = "This invitation was used, withdrawn or replaced, or its time is over."


class OtherAddress(Refusal):
    code = "other_address"
    status = 403
    text = "This invitation is for another e-mail address."


@transaction.atomic
def accept(invitation: Invitation, user: User, *, now: datetime) -> Membership:
    """Let the invited user join, once; refuses anybody else, and an invitation that is not open."""
    held = Invitation.objects.select_for_update().get(pk=invitation.pk)
    if not held.is_open(now) or bytes(held.digest) != bytes(invitation.digest):
        raise InvitationOver
    if user.email != held.email:
        raise OtherAddress
    sites = None if held.all_sites else list(held.sites.all())
    by = audit.Actor("invitation", held.pk)
    membership = tenants.join(user, StaffRole(held.role), by=by, now=now, sites=sites)
    own_pin.forget(membership.pk, by=by, now=now)
    held.accepted_at, held.membership = now, membership
    held.save(update_fields=["accepted_at", "membership"])
    audit.record("accept", "invitation", held.pk, by=audit.Actor("staff", membership.pk), now=now)
    return membership


class HasAccount(Refusal):
    code = "has_account"
    status = 409
    text = "There is an account for this address already. Sign in to accept."
    constraint = "accounts_user_email_key"


@transaction.atomic
def accept_as_new_user(invitation: Invitation, *, name: str, password: str, now: datetime) -> Membership:
    """The same for somebody who has no account yet: it begins with this name and password."""
    if User.objects.filter(email=invitation.email).exists():
        # The link alone must never open an account that somebody has.
        raise HasAccount
    with refusing(HasAccount):
        user = tenants.user_of(invitation.email, password=password, name=name.strip(), now=now)
    return accept(invitation, user, now=now)


def _close(invitation: Invitation, **values: object) -> None:
    if not Invitation.objects.filter(pk=invitation.pk, accepted_at=None, withdrawn_at=None).update(**values):
        raise NotOpen


def _send(invitation: Invitation, token: str, *, now: datetime) -> None:
    facts = {"name": invitation.name, "link": f"{settings.PUBLIC_URL}/invitation/{token}/", "days": VALID_FOR.days}
    notices.send(invitation.email, "invitation", facts, [("invitation", invitation.pk)], now=now)
