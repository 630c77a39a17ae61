"""Registration, login and the tokens that come of them."""

from typing import Any

from accounts.answers import instant_in_utc
from pins.signin import sott, tokens
from pins.signin.api import shapes
from pins.signin.api.asking import Ask, text_in
from pins.signin.api.problems import Problem
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import Subscriber, Token
from pins.signin.pin import Checked
from pins.signin.subscribers import changing, questions, registering, signing_in
from pins.signin.subscribers.registering import Wanted
from pins.signin.subscribers.signing_in import PinDemanded


def register(ask: Ask) -> dict[str, Any]:
    """Add the own account and sign in; an application of the tenant proves itself by a SOTT or the secret."""
    proof = ask.header("X-LoginRadius-Sott") or ask.query("sott")
    if not proof:
        if not (ask.header("X-LoginRadius-ApiSecret") or ask.query("apisecret")):
            raise Problem(1002)
        ask.refuse_without_secret()
    elif not sott.is_good(proof, ask.apikey, now=ask.now):
        raise Problem(1001)
    subscriber = added(ask, is_asked=True)
    found = signing_in.at_first_level(subscriber, by=ask.by, now=ask.now)
    # Where a PIN is required and was not asked here, the first login demands it.
    data = None if isinstance(found, PinDemanded) else shapes.signed_in(found, ask.now)
    return shapes.POSTED | {"Data": data}


def added(ask: Ask, *, is_asked: bool) -> Subscriber:
    """A new account from the body."""
    pin, is_skipped = pin_info(ask)
    wanted = Wanted(
        email=_email(ask),
        user_name=ask.text("UserName"),
        phone=ask.text("PhoneId", "Phone"),
        password=ask.needed("Password"),
        first_name=ask.text("FirstName"),
        last_name=ask.text("LastName"),
        pin=pin,
        is_skipped=is_skipped,
    )
    answers = ask.texts("SecurityQuestionAnswer")
    if answers:
        questions.refuse_unfit(answers)
    subscriber = registering.register(wanted, by=ask.by, now=ask.now, is_asked=is_asked)
    if answers:
        questions.answer(subscriber, answers, by=ask.by, now=ask.now)
    return subscriber


def pin_info(ask: Ask) -> tuple[str, bool]:
    """The PIN and whether it was skipped: in `PINInfo`, or the PIN beside the other fields."""
    found = ask.part("PINInfo") or {}
    skipped = found.get("skipped")
    return text_in(found, "PIN") or ask.pin, skipped is True or str(skipped).lower() == "true"


def _email(ask: Ask) -> str:
    """The first address of the contract's list, or a plain one."""
    found = ask.body.get("email")
    if isinstance(found, list):
        first = found[0] if found else {}
        if not isinstance(first, dict):
            raise Problem(908, "Email must be a list of objects with Type and Value.")
        return text_in({str(name).lower(): value for name, value in first.items()}, "Value")
    return ask.text("Email")


def login(ask: Ask) -> dict[str, Any]:
    """By e-mail address, user name or phone number, and password."""
    found = signing_in.by_password(named(ask), ask.needed("Password"), by=ask.by, now=ask.now)
    return shapes.signed_in(found, ask.now)


def named(ask: Ask) -> Identifier:
    """Whichever identifier the body has."""
    for kind, name in ((Kind.EMAIL, "Email"), (Kind.USER_NAME, "UserName"), (Kind.PHONE, "Phone")):
        if ask.text(name):
            return ask.identifier(kind, name)
    raise Problem(1032, "Send email, username or phone.")


def login_by_pin(ask: Ask) -> dict[str, Any]:
    session, value = ask.session()
    if not ask.pin:
        raise Problem(1234)
    found = signing_in.by_pin(session, value, ask.pin, by=ask.by, now=ask.now)
    if isinstance(found, Checked):
        raise shapes.problem_of(found, wrong=1236)
    return shapes.signed_in(found, ask.now)


def validate(ask: Ask) -> dict[str, Any]:
    token = ask.access()
    return {
        "access_token": ask.access_value,
        # Only its digest is kept, so it cannot be told again.
        "refresh_token": None,
        "expires_in": instant_in_utc(token.expires_at),
    }


def invalidate(ask: Ask) -> dict[str, Any]:
    """End the access token; and with `preventRefresh` what would renew it."""
    token = ask.access()
    if ask.flag("preventRefresh"):
        tokens.revoke_family(token, now=ask.now)
    else:
        tokens.end(token, now=ask.now)
    return dict(shapes.POSTED)


def info(ask: Ask) -> dict[str, Any]:
    token = ask.access()
    return {
        "access_token": ask.access_value,
        "provider": "Email",
        "isrememberme": False,
        "expires_in": instant_in_utc(token.expires_at),
    }


def invalidate_session(ask: Ask) -> dict[str, Any]:
    """End every PIN session of the account."""
    session, _ = ask.session()
    changing.end_pin_sessions(session.subscriber, by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def refresh(ask: Ask) -> dict[str, Any]:
    value = ask.query("refresh_token")
    token = ask.token(Token.Kind.REFRESH, value, invalid=905, expired=906, locks=True)
    return shapes.signed_in(signing_in.refresh(token, by=ask.by, now=ask.now), ask.now)
