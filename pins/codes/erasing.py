"""What is over is erased: codes and the addresses they went to, and the counts of days that have passed."""

from datetime import UTC, datetime

from django.db import connection

from accounts.tenancy import current_tenant_id
from pins.codes.models import AddressDay, Code
from pins.deliveries import queueing

BATCH = 500


def tenants_with_codes_over(now: datetime) -> list[int]:
    """The tenants in which there is something to erase; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_codes_over(%s)", [now])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def erase_over(now: datetime) -> int:
    """Erase up to 500 codes of the current tenant that are over, and counts of past days; returns how many codes."""
    over = Code.objects.filter(expires_at__lte=now).select_for_update(skip_locked=True)
    code_ids = list(over.values_list("pk", flat=True)[:BATCH])
    if code_ids:
        # A message that a mail server holds up must not arrive with a code that is void.
        queueing.forget("code", code_ids, now=now)
        Code.objects.filter(pk__in=code_ids).delete()
    AddressDay.objects.filter(day__lt=now.astimezone(UTC).date()).delete()
    return len(code_ids)


# A code that was sent again has a newer digest beside an older sealed receiver.
_BY_KEY_VERSION = """
    SELECT LEAST(key_version, CASE WHEN length(sealed) > 2 THEN get_byte(sealed, 1) * 256 + get_byte(sealed, 2) END),
           count(*), max(expires_at)
    FROM codes_code WHERE tenant_id = %s AND expires_at > %s GROUP BY 1
"""


def open_by_key_version(now: datetime) -> dict[int, tuple[int, datetime]]:
    """How many codes of the current tenant need each PIN key, and until when: a digest cannot be made anew."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_KEY_VERSION, [current_tenant_id(), now])
        return {version: (count, last) for version, count, last in cursor.fetchall()}
