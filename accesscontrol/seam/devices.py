"""Doors as Seam's devices and locks, and unlocking one."""

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import QuerySet

from accesscontrol.access import acknowledging, commands, contact
from accesscontrol.access.models import ChannelCommand
from accesscontrol.doors.models import Channel
from accesscontrol.seam.answers import NotFound, SeamView, workspace_id
from accounts.answers import instant_in_utc
from accounts.models import Tenant

# The words in which the command's state is told; nobody waits for a door that is not heard.
_STATUS = {"pending": "pending", "admitted": "success", "denied": "error", "offline": "error", "timeout": "error"}
_OFFLINE: Final = {
    "error_code": "device_offline",
    "is_device_error": True,
    "message": "The controller of this door has not been heard for two minutes.",
}


def visible(view: SeamView) -> QuerySet[Channel]:
    """The doors at the caller's sites."""
    channels = Channel.objects.select_related("site")
    return channels if view.caller.site_ids is None else channels.filter(site_id__in=view.caller.site_ids)


def number(text: str | None) -> int:
    """An id from outside; 0 for what can be none."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= 18 else 0


def device_of(view: SeamView, name: str = "device_id") -> Channel:
    channel = visible(view).filter(pk=number(view.needed(name))).first()
    if channel is None:
        raise NotFound("device")
    return channel


def shown(view: SeamView, channels: Sequence[Channel]) -> list[dict[str, Any]]:
    """Doors in the shape of devices; one whose controller fell silent is offline, and says so as Seam's do."""
    heard = contact.contacts([channel.pk for channel in channels])
    return [_device(channel, is_online=not contact.is_silent(heard.get(channel.pk), view.now)) for channel in channels]


def _device(channel: Channel, *, is_online: bool) -> dict[str, Any]:
    name = channel.name
    return {
        "device_id": str(channel.pk),
        # The nearest that Seam's clients know.
        "device_type": "akiles_lock",
        "display_name": name,
        "nickname": name,
        "capabilities_supported": ["access_code", "lock"],
        "can_remotely_unlock": True,
        # A door locks itself once it was opened; who holds it open does so elsewhere, and ends it there.
        "can_remotely_lock": False,
        "can_program_online_access_codes": True,
        "can_unlock_with_code": True,
        "is_managed": True,
        "connected_account_id": workspace_id(),
        "workspace_id": workspace_id(),
        "created_at": instant_in_utc(channel.created_at),
        "custom_metadata": {},
        "space_ids": [],
        "errors": [] if is_online else [_OFFLINE],
        "warnings": [],
        "location": {"location_name": channel.site.name, "timezone": channel.site.time_zone},
        "properties": {
            "name": name,
            "appearance": {"name": name},
            "model": {"display_name": "Gatehouse", "manufacturer_display_name": "Gatehouse"},
            "manufacturer": "gatehouse",
            "online": is_online,
            "online_access_codes_enabled": True,
            "locked": channel.state != Channel.State.UNLOCKED,
            "has_direct_power": True,
            "supported_code_lengths": list(range(channel.shortest_pin, channel.longest_pin + 1)),
            "supports_backup_access_code_pool": False,
            "code_constraints": [],
        },
    }


def list_devices(view: SeamView) -> dict[str, Any]:
    found, pagination = view.page(_wanted(view))
    return {"devices": shown(view, found), "pagination": pagination}


def list_locks(view: SeamView) -> dict[str, Any]:
    found = shown(view, list(_wanted(view).order_by("pk")[:500]))
    return {"locks": found, "devices": found}


def _wanted(view: SeamView) -> QuerySet[Channel]:
    rows = visible(view)
    if (ids := view.texts("device_ids")) is not None:
        rows = rows.filter(pk__in=[number(text) for text in ids])
    if search := view.text("search"):
        rows = rows.filter(name__icontains=search)
    types = view.texts("device_types") or ([view.needed("device_type")] if view.text("device_type") else None)
    if types is not None and "akiles_lock" not in types:
        rows = rows.none()
    return rows


def get_device(view: SeamView) -> dict[str, Any]:
    if view.text("device_id") is None and (name := view.text("name")):
        channel = visible(view).filter(name=name).order_by("pk").first()
        if channel is None:
            raise NotFound("device")
    else:
        channel = device_of(view)
    [found] = shown(view, [channel])
    return {"device": found, "lock": found}


def unlock_door(view: SeamView) -> dict[str, Any]:
    command = commands.admit(device_of(view), by=view.caller.actor, now=view.now)
    return {"action_attempt": _attempt(view, command)}


def get_action_attempt(view: SeamView) -> dict[str, Any]:
    rows = ChannelCommand.objects.filter(channel__in=visible(view))
    command = rows.filter(pk=number(view.needed("action_attempt_id"))).first()
    if command is None:
        raise NotFound("action_attempt")
    return {"action_attempt": _attempt(view, command)}


def _attempt(view: SeamView, command: ChannelCommand) -> dict[str, Any]:
    heard = contact.contacts([command.channel_id]).get(command.channel_id)
    status = acknowledging.status(command, view.now, is_silent=contact.is_silent(heard, view.now))
    state = _STATUS[status]
    error = None
    if state == "error":
        error = {"type": f"door_{status}", "message": "The door was not opened: its controller did not do it."}
    return {
        "action_attempt_id": str(command.pk),
        "action_type": "UNLOCK_DOOR",
        "status": state,
        "result": {} if state == "success" else None,
        "error": error,
    }


def get_workspace(view: SeamView) -> dict[str, Any]:
    tenant = Tenant.objects.get(pk=view.caller.tenant_id)
    workspace = {
        "workspace_id": workspace_id(),
        "name": tenant.name,
        "company_name": tenant.name,
        "is_sandbox": False,
        "is_suspended": False,
        "is_publishable_key_auth_enabled": False,
    }
    return {"workspace": workspace}
