"""Confirm something sensitive: the PIN is entered again, and the tenant's server asks once whether it was."""

from datetime import datetime, timedelta
from typing import Final

from accounts import audit
from pins.signin import pin, tokens
from pins.signin.account import of_subscriber
from pins.signin.models import SignInSettings, Subscriber, Token
from pins.signin.pin import Checked
from pins.signin.subscribers.signing_in import refuse_where_off
from pins.signin.tokens import Opened

LIFE: Final = timedelta(minutes=5)


def step_up(token: Token, entry: str, *, by: audit.Actor, now: datetime) -> Opened | Checked:
    """A token that says the PIN was right just now; a wrong PIN is answered as such."""
    refuse_where_off(SignInSettings.of_tenant())
    checked = pin.check_pin(of_subscriber(token.subscriber_id), entry, by=by, now=now)
    if not checked.is_right:
        return checked
    return tokens.open_token(Token.Kind.STEP_UP, token.subscriber_id, life=LIFE, now=now, family=token.family)


def confirm(subscriber: Subscriber, value: str, *, by: audit.Actor, now: datetime) -> bool:
    """Whether this token says so for this account; it does once."""
    token = tokens.find(Token.Kind.STEP_UP, value, locks=True)
    if token is None or token.subscriber_id != subscriber.pk or not token.is_live(now):
        return False
    tokens.use(token, now=now)
    audit.record("step_up", "subscriber", subscriber.pk, by=by, now=now)
    return True
