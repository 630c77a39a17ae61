"""Secrets of subscriptions, sealed for their rows, and the headers that a message is signed with.

Standard Webhooks: every secret that is valid signs, side by side. The contract's form has room for one signature: the
earlier secret goes on signing until its time is over, so that a receiver can learn the new one first.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook

from accesscontrol.webhooks.models import Dispatch, Subscription
from accounts.tenancy import current_tenant_id
from pins.vault.sealing import open_json, seal_json

TABLE = Subscription._meta.db_table
# Standard Webhooks: 24 to 64 bytes.
SECRET_BYTES = 32


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sealed(secrets_now: list[str], subscription_id: int) -> bytes:
    """The secret as it is kept, and the one before it, in front."""
    return seal_json(secrets_now, tenant_id=current_tenant_id(), table=TABLE, row_id=subscription_id)


def secrets_of(subscription: Subscription, now: datetime) -> list[str]:
    """The secrets that are valid now, the earlier one first; in a transaction of the tenant."""
    kept: list[str] = open_json(
        bytes(subscription.secrets or b""), tenant_id=current_tenant_id(), table=TABLE, row_id=subscription.pk
    )
    overlaps = subscription.earlier_until is not None and now < subscription.earlier_until
    return kept if overlaps else kept[-1:]


def headers_of(dispatch: Dispatch, form: str, valid: list[str], now: datetime) -> dict[str, str]:
    """What goes with a message; a try is signed with the time of that try."""
    headers = {"Content-Type": "application/json", "User-Agent": "Gatehouse-Webhooks/1"}
    seconds = str(int(now.timestamp()))
    if form == Subscription.Form.DOORFLOW:
        signed = f"{seconds}.{dispatch.body}".encode()
        signature = hmac.new(valid[0].encode(), signed, hashlib.sha256).hexdigest()
        return headers | {"Timestamp": seconds, "Signature": signature}
    moment = datetime.fromtimestamp(int(seconds), UTC)
    signatures = [Webhook(secret).sign(dispatch.message_id, moment, dispatch.body) for secret in valid]
    named = {"id": dispatch.message_id, "timestamp": seconds, "signature": " ".join(signatures)}
    headers |= {f"webhook-{name}": value for name, value in named.items()}
    if form == Subscription.Form.SEAM:
        headers |= {f"svix-{name}": value for name, value in named.items()}
    return headers
