"""Is this the code? A try is counted before it is looked at, and nothing but yes or no ever comes out.

One UPDATE counts and locks: of 32 right tries at once one is right, of 32 wrong ones five are looked at. Wrong,
used, dead and expired take the same statements; whoever does not know the id of a code cannot tell one from none.
"""

from datetime import datetime

from accounts import audit
from accounts.tenancy import current_tenant_id
from pins.codes.models import MOST_TRIES, Code, id_of
from pins.vault.keyring import keyring

_COUNT = """
    UPDATE codes_code SET tries = LEAST(tries + 1, 1000)
     WHERE tenant_id = %(tenant)s AND public_id = %(public_id)s
    RETURNING *
"""


def check(public_id: str, value: str, *, by: audit.Actor, now: datetime, order_reference: str = "") -> bool:
    """Try a code, with the order reference where it was made with one; right at most once."""
    counted = {"tenant": current_tenant_id(), "public_id": id_of(public_id)}
    found = next(iter(Code.objects.raw(_COUNT, counted)), None)
    code = found or Code(tenant_id=current_tenant_id(), key_version=keyring().current, digest=b"", tries=1)
    # Always worked out, so that the time tells nothing.
    is_right = code.matches(value, order_reference)
    code.tries -= 1
    is_open = found is not None and code.is_open(now)
    if is_right and is_open:
        Code.objects.filter(pk=code.pk).update(used_at=now)
        return True
    if is_open and code.tries + 1 == MOST_TRIES:
        audit.record("die", "code", code.public_id, by=by, now=now)
    return False
