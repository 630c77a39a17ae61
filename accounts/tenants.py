"""A tenant begins, with its first owner; staff join it. What they may do stands in `rights`."""

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.text import slugify

from accounts import applications, audit
from accounts.models import Membership, MembershipSite, Site, Tenant, User
from accounts.refusals import Refusal, refusing
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context


class SlugTaken(Refusal):
    code = "taken"
    field = "slug"
    text = "There is a tenant of this name already."
    constraint = "accounts_tenant_slug_key"


class WeakPassword(Refusal):
    code = "weak_password"
    field = "password"


def all_ids() -> list[int]:
    """Every tenant, suspended ones included; asked before any tenant is set, by what runs for all of them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.all_tenants()")
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def found(name: str, *, now: datetime, slug: str = "", time_zone: str = "UTC", language: str = "en") -> Tenant:
    """Add a tenant; refuses a short name that another has."""
    with connection.cursor() as cursor:
        # Row security lets a tenant's row be written by that tenant alone, so its id comes first.
        cursor.execute("SELECT nextval(pg_get_serial_sequence('accounts_tenant', 'id'))")
        tenant_id = cursor.fetchone()[0]
    tenant = Tenant(
        id=tenant_id,
        name=name,
        slug=slug or slugify(name)[:60],
        time_zone=time_zone,
        language=language,
        created_at=now,
    )
    tenant.clean_fields()
    with tenant_context(tenant_id), refusing(SlugTaken):
        tenant.save(force_insert=True)
    return tenant


@transaction.atomic
def suspend(tenant_id: int, *, by: audit.Actor, now: datetime) -> None:
    """Shut a tenant from now on: staff, keys, readers and links of it are nobody's. A second time changes nothing."""
    with tenant_context(tenant_id):
        if Tenant.objects.filter(pk=tenant_id, suspended_at=None).update(suspended_at=now):
            audit.record("suspend", "tenant", tenant_id, by=by, now=now)


@transaction.atomic
def resume(tenant_id: int, *, by: audit.Actor, now: datetime) -> None:
    """Open a suspended tenant again; everything is as it was."""
    with tenant_context(tenant_id):
        if Tenant.objects.filter(pk=tenant_id).exclude(suspended_at=None).update(suspended_at=None):
            audit.record("resume", "tenant", tenant_id, by=by, now=now)


@transaction.atomic
def user_of(email: str, *, password: str, now: datetime, name: str = "", is_platform_owner: bool = False) -> User:
    """The user with this address, who keeps their password, or a new one with this; refuses a weak password."""
    email = email.strip().lower()
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User(email=email, name=name, created_at=now)
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise WeakPassword(" ".join(error.messages)) from error
        user.set_password(password)
        user.clean_fields()
    user.is_platform_owner = user.is_platform_owner or is_platform_owner
    user.save()
    return user


@transaction.atomic
def join(
    user: User,
    role: StaffRole,
    *,
    by: audit.Actor,
    now: datetime,
    sites: Iterable[Site] | None = None,
) -> Membership:
    """Give a user this place in the current tenant, limited to `sites` where they are named."""
    membership, _ = Membership.objects.update_or_create(
        user=user,
        defaults={"role": role, "all_sites": sites is None, "ended_at": None},
        create_defaults={"role": role, "all_sites": sites is None, "created_at": now},
    )
    MembershipSite.objects.filter(membership=membership).delete()
    MembershipSite.objects.bulk_create(MembershipSite(membership=membership, site=site) for site in sites or ())
    audit.record("join", "membership", membership.pk, by=by, now=now, fields=["role", "sites"])
    return membership


@transaction.atomic
def leave(membership: Membership, *, by: audit.Actor, now: datetime) -> None:
    """End a membership, and what applications may do in its name; the user keeps their other places."""
    if Membership.objects.filter(pk=membership.pk, ended_at=None).update(ended_at=now):
        applications.disconnect_all(membership, by=by, now=now)
        audit.record("leave", "membership", membership.pk, by=by, now=now)
