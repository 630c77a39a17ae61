"""The endpoints of the PIN itself: set, change, forget, reset, step up."""

import uuid
from typing import Any

from accounts.answers import instant_in_utc
from accounts.refusals import Refusal
from pins.signin.api import shapes
from pins.signin.api.asking import Ask
from pins.signin.api.problems import BY_SMS, Problem, number_of
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import Token
from pins.signin.pin import Checked
from pins.signin.resetting import forgetting, replacing
from pins.signin.subscribers import changing, signing_in, stepping_up


def set_by_pin_auth_token(ask: Ask) -> dict[str, Any]:
    """Set the PIN that a login demanded; finishes that login."""
    token = ask.token(Token.Kind.PIN_AUTH, ask.query("pinAuthToken"), invalid=1239, expired=1240, locks=True)
    found = signing_in.by_setting_pin(token, ask.pin, by=ask.by, now=ask.now)
    return shapes.signed_in(found, ask.now)


def change(ask: Ask) -> dict[str, Any]:
    token = ask.access()
    old, new = ask.text("OldPIN"), ask.text("NewPIN")
    if not old or not new:
        raise Problem(1234, f"{'NewPIN' if old else 'OldPIN'} is required.")
    checked = changing.change_pin(token, old, new, by=ask.by, now=ask.now)
    if not checked.is_right:
        raise shapes.problem_of(checked, wrong=1241)
    return dict(shapes.POSTED)


def forgot_by_email(ask: Ask) -> dict[str, Any]:
    return _forgot(ask, ask.identifier(Kind.EMAIL, "Email"))


def forgot_by_user_name(ask: Ask) -> dict[str, Any]:
    return _forgot(ask, ask.identifier(Kind.USER_NAME, "UserName"))


def forgot_by_phone(ask: Ask) -> dict[str, Any]:
    """Its clients read two ids of the gateway, which no gateway has given yet."""
    identifier = ask.identifier(Kind.PHONE, "Phone")
    if ask.flag("isVoiceOtp"):
        raise Problem(908, "Codes are sent as text messages, not spoken: leave isVoiceOtp out.")
    return _forgot(ask, identifier) | {"Data": {"AccountSid": f"AC{uuid.uuid4().hex}", "Sid": f"SM{uuid.uuid4().hex}"}}


def _forgot(ask: Ask, identifier: Identifier) -> dict[str, Any]:
    with_numbers(identifier, forgetting.ask, identifier, url=ask.query("resetPINUrl"), by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def reset_by_token(ask: Ask) -> dict[str, Any]:
    token = ask.text("ResetToken")
    if not token:
        raise Problem(908, "ResetToken is required.")
    _needs_pin(ask)
    replacing.by_link(token, ask.pin, by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def reset_by_email_code(ask: Ask) -> dict[str, Any]:
    return _reset_by_code(ask, ask.identifier(Kind.EMAIL, "Email"))


def reset_by_user_name_code(ask: Ask) -> dict[str, Any]:
    return _reset_by_code(ask, ask.identifier(Kind.USER_NAME, "UserName"))


def reset_by_phone_code(ask: Ask) -> dict[str, Any]:
    return _reset_by_code(ask, ask.identifier(Kind.PHONE, "Phone"))


def _reset_by_code(ask: Ask, identifier: Identifier) -> dict[str, Any]:
    code = "".join(ask.needed("Otp").split())
    _needs_pin(ask)
    with_numbers(identifier, replacing.by_code, identifier, code, ask.pin, by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def reset_by_email_answer(ask: Ask) -> dict[str, Any]:
    return _reset_by_answers(ask, ask.identifier(Kind.EMAIL, "Email"))


def reset_by_user_name_answer(ask: Ask) -> dict[str, Any]:
    return _reset_by_answers(ask, ask.identifier(Kind.USER_NAME, "UserName"))


def reset_by_phone_answer(ask: Ask) -> dict[str, Any]:
    return _reset_by_answers(ask, ask.identifier(Kind.PHONE, "Phone"))


def _reset_by_answers(ask: Ask, identifier: Identifier) -> dict[str, Any]:
    answers = ask.texts("SecurityAnswer")
    if not answers:
        raise Problem(1091, "SecurityAnswer is required: an answer under the id of each question.")
    _needs_pin(ask)
    replacing.by_answers(identifier, answers, ask.pin, by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def step_up(ask: Ask) -> dict[str, Any]:
    token = ask.access()
    _needs_pin(ask)
    found = stepping_up.step_up(token, ask.pin, by=ask.by, now=ask.now)
    if isinstance(found, Checked):
        raise shapes.problem_of(found, wrong=1236)
    return {"SecondFactorValidationToken": found.value, "ExpireIn": instant_in_utc(found.token.expires_at)}


def with_numbers(identifier: Identifier, verb: Any, *args: Any, **values: Any) -> None:
    """Do it, and tell what is refused under the numbers for SMS where that is the way."""
    try:
        verb(*args, **values)
    except Refusal as refusal:
        number = BY_SMS.get(number_of(refusal))
        if identifier.kind == Kind.PHONE and number:
            raise Problem(number, refusal.sentence) from None
        raise


def _needs_pin(ask: Ask) -> None:
    if not ask.pin:
        raise Problem(1234, "PIN is required.")
