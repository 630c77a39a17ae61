"""Two demo tenants, made by the same functions as real ones. Only quickstart does this.

All or nothing. Where they exist already nothing is doubled: they get new passwords and keys. Their PINs are drawn
and shown to nobody.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accesscontrol.access import partitions
from accesscontrol.management.seed import history, logins
from accesscontrol.management.seed.building import build
from accesscontrol.management.seed.plans import ACME, GLOBEX, TenantPlan
from accounts import tenants
from accounts.models import Tenant
from accounts.tenancy import tenant_context

SINCE = timedelta(weeks=6)


def is_seeded() -> bool:
    """Whether the demo tenants are there."""
    return all(logins.tenant_with(plan.slug) is not None for plan in (ACME, GLOBEX))


@transaction.atomic
def seed(*, now: datetime) -> dict[str, Any]:
    """Make what is missing of the demo tenants; returns their passwords and keys, which are new each time."""
    months = (now.year - (now - SINCE).year) * 12 + now.month - (now - SINCE).month
    partitions.make((now - SINCE).date(), months + partitions.MONTHS_AHEAD)
    return {plan.slug: _one(plan, now) for plan in (ACME, GLOBEX)}


def _one(plan: TenantPlan, now: datetime) -> dict[str, Any]:
    tenant_id = logins.tenant_with(plan.slug)
    if tenant_id is not None:
        with tenant_context(tenant_id):
            return logins.give(Tenant.objects.get(pk=tenant_id), now=now)
    tenant = tenants.found(plan.name, slug=plan.slug, time_zone=plan.time_zone, now=now - SINCE)
    with tenant_context(tenant.pk):
        Tenant.objects.filter(pk=tenant.pk).update(colour=plan.colour)
        built = build(plan, since=now - SINCE, now=now)
        history.write(plan, built, now=now)
        return logins.give(tenant, now=now)
