"""Make a one-time code, or replace it by another. The code is told once: to the caller or to its receiver, never both.

Tries are not given back by a new code, else five tries would be no limit.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from accounts import audit
from accounts.keys import random_token
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.codes import addresses
from pins.codes.addresses import Receiver
from pins.codes.models import Code, id_of
from pins.deliveries import queueing
from pins.generator import Space, draw
from pins.vault.sealing import Tampered, open_json, seal_json

SHORTEST, LONGEST = 6, 8
# NIST SP 800-63B: a code that was sent is void after 10 minutes. One to collect an order with needs its reference too.
LONGEST_LIFE: Final = timedelta(minutes=10)
LONGEST_PICK_UP: Final = timedelta(days=7)


@dataclass(frozen=True)
class Issued:
    """A code's row and, this once, the code where the caller is to pass it on."""

    code: Code
    value: str | None = field(repr=False)
    medium: str | None = None


class LivesTooLong(Refusal):
    code = "validation_error"
    field = "ttl"


def issue(
    *,
    purpose: str,
    by: audit.Actor,
    now: datetime,
    length: int = SHORTEST,
    ttl: timedelta | None = None,
    order_reference: str = "",
    receiver: Receiver | None = None,
) -> Issued:
    """Make a code of 6 to 8 digits, for 10 minutes at most; with an order reference for 7 days at most.

    Refuses a longer life, a receiver who cannot be reached and one who got too many codes today.
    """
    most = LONGEST_PICK_UP if order_reference else LONGEST_LIFE
    ttl = most if ttl is None else ttl
    if not timedelta() < ttl <= most:
        raise LivesTooLong(f"ttl must be from 1 to {int(most.total_seconds())} seconds.")
    code = Code(
        tenant_id=current_tenant_id(),
        public_id=f"code_{random_token()}",
        purpose=purpose,
        length=length,
        life_seconds=int(ttl.total_seconds()),
        created_at=now,
    )
    kept = {"order_reference": order_reference, "receiver": asdict(receiver) if receiver else None}
    code.sealed = seal_json(kept, **_row(code))
    return _tell(code, order_reference, receiver, by=by, now=now)


class NoOpenCode(Refusal):
    code = "not_found"
    status = 404
    text = "There is no open code with this id."


def resend(public_id: str, *, by: audit.Actor, now: datetime) -> Issued:
    """Replace an open code by a new one that lives as long; what is still unsent of the old one is cancelled.

    Refuses alike what is unknown, used, dead or over.
    """
    code: Code | None = Code.objects.select_for_update().filter(public_id=id_of(public_id)).first()
    if code is None or not code.is_open(now):
        raise NoOpenCode
    try:
        kept: dict[str, Any] = open_json(bytes(code.sealed), **_row(code))
    except Tampered:
        raise NoOpenCode from None
    receiver = Receiver(**kept["receiver"]) if kept["receiver"] else None
    return _tell(code, kept["order_reference"], receiver, by=by, now=now)


def _tell(code: Code, order_reference: str, receiver: Receiver | None, *, by: audit.Actor, now: datetime) -> Issued:
    if receiver:
        queueing.refuse_unreachable(receiver.medium, receiver.address)
        addresses.count(receiver, by=by, now=now)
    if receiver and code.pk:
        queueing.cancel("code", [code.pk], now=now)
    value = draw(Space(code.length))
    code.remember(value, order_reference)
    code.expires_at = now + timedelta(seconds=code.life_seconds)
    code.save()
    if receiver is None:
        return Issued(code, value)
    queueing.queue(
        medium=receiver.medium,
        address=receiver.address,
        template="code",
        language=receiver.language,
        context=_context(code, value, order_reference),
        about=[("code", code.pk)],
        now=now,
    )
    return Issued(code, None, receiver.medium)


def _context(code: Code, value: str, order_reference: str) -> dict[str, Any]:
    tenant = Tenant.objects.get(pk=current_tenant_id())
    shown: dict[str, Any] = {"tenant_name": tenant.name, "purpose": code.purpose, "code": value}
    if order_reference:
        ends = code.expires_at.astimezone(tenant.zone)
        return shown | {"order_reference": order_reference, "ends": f"{ends:%Y-%m-%d %H:%M}"}
    return shown | {"minutes": max(1, code.life_seconds // 60)}


def _row(code: Code) -> dict[str, Any]:
    return {"tenant_id": code.tenant_id, "table": Code._meta.db_table, "row_id": code.public_id}
