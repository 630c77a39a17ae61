"""A mail provider reports by its webhook what became of a message: django-anymail checks who asks and reads it.

The address is there only with a provider and a secret of its own. The message is found by the random letters that
were handed over with it: whoever forged a report had to know both. Reports are repeated, and come in any order.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from anymail.signals import EventType, RejectReason, tracking
from django.conf import settings
from django.db import connection
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from accounts.tenancy import tenant_context
from pins.deliveries import claiming
from pins.deliveries.queueing import message_id_of

# All else is no news: what was sent counts as sent, and who opens or complains is not followed.
_CAME_BACK: Final = frozenset({EventType.BOUNCED, EventType.REJECTED, EventType.FAILED})
_TOKEN: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_REASONS: Final = frozenset(
    {
        RejectReason.INVALID,
        RejectReason.BOUNCED,
        RejectReason.TIMED_OUT,
        RejectReason.BLOCKED,
        RejectReason.SPAM,
        RejectReason.UNSUBSCRIBED,
    }
)


@csrf_exempt
def reports(request: HttpRequest) -> HttpResponse:
    """What the provider sends to; anymail's own view refuses whoever does not bring the secret or the signature."""
    view = view_of(settings.EMAIL_PROVIDER) if settings.ANYMAIL.get("WEBHOOK_SECRET") else None
    if view is None:
        raise Http404
    return view(request)


@cache
def view_of(provider: str) -> Callable[..., HttpResponse] | None:
    """The view of anymail that reads the reports of this provider."""
    # It imports what is needed for each of them.
    from anymail.urls import urlpatterns  # noqa: PLC0415

    name = f"{provider}_tracking_webhook"
    return next((pattern.callback for pattern in urlpatterns if pattern.name == name), None)


@receiver(tracking, dispatch_uid="deliveries")
def hear(event: Any, **kwargs: Any) -> None:
    """One event of a report: that a message came back is recorded, in the tenant whose message it is."""
    token = (event.metadata or {}).get("message")
    if event.event_type not in _CAME_BACK or not isinstance(token, str):
        return
    found = find(token)
    if found is None:
        return
    tenant_id, delivery_id = found
    reason = event.reject_reason if event.reject_reason in _REASONS else RejectReason.OTHER
    with tenant_context(tenant_id):
        claiming.record_bounce(delivery_id, reason=f"bounced_{reason}", now=timezone.now())


def find(token: str) -> tuple[int, int] | None:
    """Tenant and id of a message; asked before any tenant is known."""
    if not _TOKEN.fullmatch(token):
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM finder.delivery_by_message_id(%s)", [message_id_of(token)])
        found: tuple[int, int] | None = cursor.fetchone()
    return found
