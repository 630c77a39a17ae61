"""A tenant begins: founded by a platform owner, entered by its first owner alone, who is invited."""

from datetime import datetime

from django.db import transaction

from accounts import audit, tenants
from accounts.models import Tenant
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.signin.staff import inviting
from pins.signin.staff.models import Invitation


@transaction.atomic
def found_with_owner(
    name: str,
    *,
    slug: str = "",
    time_zone: str,
    language: str,
    owner_name: str,
    owner_email: str,
    by: audit.Actor,
    now: datetime,
) -> Tenant:
    """Add a tenant and invite its first owner; refuses a short name that another has."""
    tenant = tenants.found(name, slug=slug, time_zone=time_zone, language=language, now=now)
    with tenant_context(tenant.pk):
        audit.record("found", "tenant", tenant.pk, by=by, now=now)
        inviting.invite(owner_email, StaffRole.OWNER, name=owner_name, by=by, now=now)
    return tenant


@transaction.atomic
def invite_owner(tenant_id: int, email: str, *, by: audit.Actor, now: datetime) -> None:
    """Invite somebody to own a tenant, or send their invitation again; refuses who belongs to it already."""
    with tenant_context(tenant_id):
        waiting = Invitation.objects.filter(
            email=email.strip().lower(), role=StaffRole.OWNER, accepted_at=None, withdrawn_at=None
        ).first()
        if waiting is not None:
            inviting.resend(waiting, by=by, now=now)
        else:
            inviting.invite(email, StaffRole.OWNER, by=by, now=now)
