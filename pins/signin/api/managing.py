"""What the tenant's own server may do, which shows the pair's secret: accounts, tokens, codes without a mailbox."""

from typing import Any

from accounts.answers import instant_in_utc
from pins.signin import tokens
from pins.signin.api import shapes
from pins.signin.api.asking import Ask, by_uid
from pins.signin.api.logins import added, named
from pins.signin.api.own import change_in
from pins.signin.api.problems import Problem
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import SignInSettings, Subscriber, Token
from pins.signin.resetting import codes, forgetting
from pins.signin.subscribers import changing, signing_in, stepping_up


def create(ask: Ask) -> dict[str, Any]:
    return shapes.profile(added(ask, is_asked=False), ask.now)


def profile(ask: Ask) -> dict[str, Any]:
    return shapes.profile(ask.subscriber(), ask.now)


def find(ask: Ask) -> dict[str, Any]:
    """An account by e-mail address, user name or phone number."""
    for kind, name in ((Kind.EMAIL, "email"), (Kind.USER_NAME, "userName"), (Kind.PHONE, "phone")):
        if ask.query(name):
            return shapes.profile(_holder(ask.identifier_in_query(kind, name)), ask.now)
    raise Problem(908, "Send email, userName or phone.")


def update(ask: Ask) -> dict[str, Any]:
    subscriber = ask.subscriber()
    changing.change(subscriber, change_in(ask, is_own=False), by=ask.by, now=ask.now)
    return shapes.profile(subscriber, ask.now)


def set_password(ask: Ask) -> dict[str, Any]:
    changing.set_password(ask.subscriber(), ask.needed("Password"), by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def delete(ask: Ask) -> dict[str, Any]:
    changing.erase(ask.subscriber(), by=ask.by, now=ask.now)
    return {"IsDeleted": True}


def access_token(ask: Ask) -> dict[str, Any]:
    """Sign in somebody of whom the tenant's server has made sure, such as by another provider."""
    return shapes.signed_in(signing_in.at_first_level(ask.subscriber(), by=ask.by, now=ask.now), ask.now)


def revoke_refresh(ask: Ask) -> dict[str, Any]:
    value = ask.query("refresh_token")
    tokens.end(ask.token(Token.Kind.REFRESH, value, invalid=905, expired=906, locks=True), now=ask.now)
    return {"IsDeleted": True}


def confirm_step_up(ask: Ask) -> dict[str, Any]:
    subscriber = ask.subscriber()
    if not stepping_up.confirm(subscriber, ask.text("SecondFactorValidationToken"), by=ask.by, now=ask.now):
        raise Problem(1193)
    return {"IsValid": True}


def forgot_by_email(ask: Ask) -> dict[str, Any]:
    """What an e-mail would carry, for a server that sends it itself."""
    settings = SignInSettings.of_tenant()
    signing_in.refuse_where_off(settings)
    uid = ask.text("Uid")
    subscriber = by_uid(uid) if uid else _holder(named(ask))
    if settings.reset_email_carries == SignInSettings.Carries.OTP:
        value, ends = codes.issue(subscriber, "email", settings, now=ask.now)
    else:
        value, ends = forgetting.open_link(subscriber, settings, now=ask.now)
    return {"Token": value, "ExpiresIn": instant_in_utc(ends), "IdentityProviders": ["Email"]}


def forgot_by_phone(ask: Ask) -> dict[str, Any]:
    settings = SignInSettings.of_tenant()
    signing_in.refuse_where_off(settings)
    subscriber = _holder(ask.identifier(Kind.PHONE, "Phone"))
    value, ends = codes.issue(subscriber, "sms", settings, now=ask.now)
    return {"Token": value, "ExpiresIn": instant_in_utc(ends)}


def _holder(identifier: Identifier) -> Subscriber:
    subscriber = identifier.holder()
    if subscriber is None:
        raise Problem(938)
    return subscriber
