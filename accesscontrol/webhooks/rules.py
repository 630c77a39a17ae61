"""Notification rules, as the contract knows them: a webhook of some event codes, at some doors, in its own form.

What happens while a rule is not active is not told afterwards; a webhook that was paused catches up.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from accesscontrol.access.api.events import CODES
from accesscontrol.access.following import horizon
from accesscontrol.doors.models import Channel
from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Kind, Subscription
from accounts import audit
from accounts.refusals import Refusal

_ACTIVE: Final = Subscription.State.ACTIVE


class UnknownCode(Refusal):
    code = "invalid_choice"
    field = "match_event_codes"


class UnknownController(Refusal):
    code = "does_not_exist"
    field = "match_controller_ids"
    text = "One of these doors is not known."


def rules() -> QuerySet[Subscription]:
    """The rules of the current tenant that were not deleted."""
    return Subscription.objects.exclude(state=Subscription.State.ENDED).exclude(event_codes=[]).order_by("id")


@transaction.atomic
def make(
    name: str,
    url: str,
    *,
    event_codes: Iterable[int],
    channel_ids: Iterable[int],
    is_active: bool,
    by: audit.Actor,
    now: datetime,
) -> subscribing.Subscribed:
    """Have an address told of these codes from now on; refuses codes that are never recorded, and unknown doors."""
    codes, channels = _known_codes(event_codes), _known_channels(channel_ids)
    made = subscribing.subscribe(
        name,
        url,
        kinds=[Kind.ACCESS],
        form=Subscription.Form.DOORFLOW,
        event_codes=codes,
        channel_ids=channels,
        by=by,
        now=now,
    )
    if not is_active:
        subscribing.pause(made.subscription, by=by, now=now)
        made.subscription.refresh_from_db()
    return made


@transaction.atomic
def replace(
    rule: Subscription, values: Mapping[str, Any], *, is_active: bool, by: audit.Actor, now: datetime
) -> Subscription:
    """Write a rule anew: `name`, `url`, `event_codes`, `channel_ids`."""
    wanted = {
        **values,
        "event_codes": _known_codes(values["event_codes"]),
        "channel_ids": _known_channels(values["channel_ids"]),
    }
    rule = subscribing.change(rule, wanted, by=by, now=now)
    if is_active and rule.state != _ACTIVE:
        Subscription.objects.filter(pk=rule.pk).update(xact_id=horizon(), source=-1, row_id=0)
        subscribing.resume(rule, by=by, now=now)
    elif not is_active:
        subscribing.pause(rule, by=by, now=now)
    rule.refresh_from_db()
    return rule


def _known_codes(codes: Iterable[int]) -> list[int]:
    found = sorted(set(codes))
    if unknown := [code for code in found if code not in CODES]:
        known = ", ".join(map(str, CODES))
        raise UnknownCode(f"Events with code {unknown[0]} are not recorded here. There are {known}.")
    return found


def _known_channels(channel_ids: Iterable[int]) -> list[int]:
    wanted = set(channel_ids)
    if Channel.objects.filter(pk__in=wanted).count() < len(wanted):
        raise UnknownController
    return sorted(wanted)
