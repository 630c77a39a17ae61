"""Which PIN keys sign-in still needs. A digest moves to the current key with the next right entry, and not before."""

from datetime import datetime

from django.db.models import Count

from accounts import audit
from pins.signin.models import SignInPin


def count_by_version() -> dict[int, int]:
    """How many PINs of the current tenant need each key."""
    rows = SignInPin.objects.filter(key_version__isnull=False).values_list("key_version")
    return {version: count for version, count in rows.annotate(Count("pk")) if version is not None}


def forget_behind(version: int, *, by: audit.Actor, now: datetime) -> int:
    """Take away the PINs that only other keys can check: their holders set new ones. Returns how many."""
    behind = SignInPin.objects.filter(key_version__isnull=False).exclude(key_version=version)
    rows = list(behind.select_for_update().values_list("pk", "membership_id", "subscriber_id"))
    SignInPin.objects.filter(pk__in=[row[0] for row in rows]).update(key_version=None, digest=None, set_at=None)
    for kind, place in (("membership", 1), ("subscriber", 2)):
        audit.record_many("remove_pin", kind, [row[place] for row in rows if row[place]], by=by, now=now)
    return len(rows)
