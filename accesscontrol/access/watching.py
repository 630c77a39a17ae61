"""Guessing that is spread over the doors of a site: each door's free tries add up. Read for alarms, never locked.

A site's doors together give an attacker their free tries for nothing. Once as many wrong PINs as that were typed
within an hour, and ten at least (NIST's limit for a PIN that opens one device), the site has one alarm.
"""

from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction

from accesscontrol.access.models import Alarm
from accesscontrol.doors.models import Channel
from pins.throttle.attempts import failures_since

WITHIN = timedelta(hours=1)
AT_LEAST = 10


@transaction.atomic
def watch_sites(now: datetime) -> None:
    """Raise an alarm for every site of the current tenant that is being guessed at, once an hour."""
    by_channel = {int(channel_id): count for channel_id, count in failures_since("channel", now - WITHIN).items()}
    totals: Counter[int] = Counter()
    for channel_id, site_id in Channel.objects.filter(pk__in=by_channel).values_list("pk", "site_id"):
        totals[site_id] += by_channel[channel_id]
    suspects = [site_id for site_id, total in totals.items() if total >= AT_LEAST]
    free: Counter[int] = Counter()
    for site_id, tries in Channel.objects.filter(site_id__in=suspects).values_list("site_id", "free_tries"):
        free[site_id] += tries
    known = Alarm.objects.filter(kind=Alarm.Kind.GUESSING, channel=None, raised_at__gt=now - WITHIN)
    alarmed = set(known.values_list("site_id", flat=True))
    Alarm.objects.bulk_create(
        Alarm(kind=Alarm.Kind.GUESSING, site_id=site_id, raised_at=now)
        for site_id in suspects
        if totals[site_id] >= free[site_id] and site_id not in alarmed
    )
