"""Owners are told when a subscription was paused because nothing has reached its address for a day."""

from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from accesscontrol.webhooks.models import Subscription
from accounts import audit
from accounts.models import Membership, Tenant
from accounts.rights import StaffRole
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing


def tell_owners(subscription: Subscription, *, now: datetime) -> None:
    """Queue one e-mail to every owner of the current tenant."""
    tenant = Tenant.objects.get(pk=current_tenant_id())
    since = (subscription.failing_since or now).astimezone(tenant.zone)
    owners = Membership.objects.filter(role=StaffRole.OWNER, ended_at=None, user__is_active=True)
    for address in owners.values_list("user__email", flat=True):
        queueing.queue(
            medium="email",
            address=address,
            template="webhook_paused",
            language="en",
            context={
                "tenant_name": tenant.name,
                "webhook_name": subscription.name,
                "host": urlsplit(subscription.url).hostname or "",
                "since": f"{since:%d %B %Y, %H:%M} ({since.tzname()})",
                "link": settings.PUBLIC_URL + reverse("admin:webhooks_subscription_change", args=[subscription.pk]),
            },
            about=[("webhook", subscription.pk)],
            now=now,
        )
    audit.record("pause", "webhook", subscription.pk, by=audit.SYSTEM, now=now)
