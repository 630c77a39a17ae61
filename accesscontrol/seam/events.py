"""What happened at the doors, in Seam's words."""

from typing import Any

from django.db.models import QuerySet

from accesscontrol.access.models import Event
from accesscontrol.seam import devices
from accesscontrol.seam.answers import InvalidInput, NotFound, SeamView, workspace_id
from accounts.answers import instant_in_utc

TYPES = {True: "lock.unlocked", False: "lock.access_denied"}


def visible(view: SeamView) -> QuerySet[Event]:
    """The events at the caller's doors."""
    return Event.objects.filter(channel__in=devices.visible(view))


def shown(event: Event) -> dict[str, Any]:
    moment = instant_in_utc(event.occurred_at)
    by_hand = event.credential_type is None
    return {
        "event_id": f"event_{event.pk}",
        "event_type": TYPES[event.admitted],
        "workspace_id": workspace_id(),
        "connected_account_id": workspace_id(),
        "device_id": str(event.channel_id),
        "occurred_at": moment,
        "created_at": moment,
        "method": "remote" if by_hand else "keycode",
    }


def list_events(view: SeamView) -> dict[str, Any]:
    rows = visible(view)
    if view.text("device_id"):
        rows = rows.filter(channel=devices.device_of(view))
    if (ids := view.texts("device_ids")) is not None:
        rows = rows.filter(channel_id__in=[devices.number(text) for text in ids])
    if (ids := view.texts("event_ids")) is not None:
        rows = rows.filter(pk__in=[_number(text) for text in ids])
    if since := view.instant("since"):
        rows = rows.filter(occurred_at__gte=since)
    if between := view.texts("between"):
        if len(between) != 2:
            raise InvalidInput("between", "Send two timestamps.")
        view.given.update(between_from=between[0], between_to=between[1])
        rows = rows.filter(occurred_at__gte=view.instant("between_from"), occurred_at__lt=view.instant("between_to"))
    types = view.texts("event_types") or ([view.needed("event_type")] if view.text("event_type") else None)
    if types is not None:
        rows = rows.filter(admitted__in=[admitted for admitted, name in TYPES.items() if name in types])
    try:
        limit = max(1, min(int(float(view.given.get("limit") or 500)), 500))
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("limit", "Send a number.") from None
    return {"events": [shown(event) for event in rows.order_by("occurred_at", "id")[:limit]]}


def get_event(view: SeamView) -> dict[str, Any]:
    event = visible(view).filter(pk=_number(view.needed("event_id"))).first()
    if event is None:
        raise NotFound("event")
    return {"event": shown(event)}


def _number(text: str) -> int:
    return devices.number(text.removeprefix("event_"))
