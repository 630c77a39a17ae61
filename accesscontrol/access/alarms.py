"""What somebody must look at, and that they did."""

from datetime import datetime

from django.db import transaction

from accesscontrol.access.models import Alarm
from accounts import audit


@transaction.atomic
def acknowledge(alarm: Alarm, reason: str, *, by: audit.Actor, now: datetime) -> None:
    """Say that an alarm was looked at, and what it was; a second time changes nothing."""
    open_alarm = Alarm.objects.filter(pk=alarm.pk, acknowledged_at=None)
    if open_alarm.update(acknowledged_at=now, acknowledged_reason=reason):
        audit.record("acknowledge", "alarm", alarm.pk, by=by, now=now, fields=["acknowledged_reason"])
