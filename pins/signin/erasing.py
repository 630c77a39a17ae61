"""What is over is erased a day later: until then whoever shows it is told that it is over, not that it is unknown."""

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from pins.signin.models import ResetCode, Token
from pins.signin.subscribers.signing_in import PASSWORD, RECOVERY, RESET
from pins.throttle import attempts

BATCH: Final = 500
KEPT: Final = timedelta(days=1)
# Wrong entries for identifiers, most of which may be nobody's, are counted no longer than so after the last one.
COUNTED: Final = timedelta(days=30)


def tenants_with_sign_ins_over(now: datetime) -> list[int]:
    """The tenants in which there is something to erase; asked before any tenant is set."""
    return _tenants("tenants_with_sign_ins_over", now - KEPT)


def tenants_with_forgotten_pins(now: datetime) -> list[int]:
    """The tenants in which somebody waits for a link or a code; asked before any tenant is set."""
    return _tenants("tenants_with_forgotten_pins", now)


def erase_over(now: datetime) -> int:
    """Erase up to 500 tokens, codes and counts of the current tenant each; returns how many."""
    erased = 0
    for model in (Token, ResetCode):
        over = model.objects.filter(expires_at__lte=now - KEPT).select_for_update(skip_locked=True)
        rows = list(over.values_list("pk", flat=True)[:BATCH])
        erased += len(rows)
        model.objects.filter(pk__in=rows).delete()
    erased += attempts.forget([PASSWORD, RESET, RECOVERY], now - KEPT - COUNTED, most=BATCH)
    return erased


def _tenants(function: str, moment: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT finder.{function}(%s)", [moment])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]
