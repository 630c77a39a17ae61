"""The own account, for whoever shows its access token; and security questions, for whoever says who they are."""

from typing import Any

from pins.signin.api import shapes
from pins.signin.api.asking import Ask
from pins.signin.api.logins import pin_info
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import SignInSettings, Subscriber
from pins.signin.subscribers import changing, questions
from pins.signin.subscribers.changing import Change
from pins.signin.subscribers.questions import QuestionsAreOff


def profile(ask: Ask) -> dict[str, Any]:
    return shapes.profile(ask.access().subscriber, ask.now)


def update(ask: Ask) -> dict[str, Any]:
    """Change the own profile; sets or skips a PIN, answers security questions."""
    subscriber = ask.access().subscriber
    changing.change(subscriber, change_in(ask, is_own=True), by=ask.by, now=ask.now)
    return shapes.POSTED | {"Data": shapes.profile(subscriber, ask.now)}


def change_in(ask: Ask, *, is_own: bool) -> Change:
    """What the body changes; what an account is found by is changed by the tenant's server alone."""
    pin, is_skipped = pin_info(ask)
    return Change(
        first_name=ask.text("FirstName") if "firstname" in ask.body else None,
        last_name=ask.text("LastName") if "lastname" in ask.body else None,
        user_name="" if is_own else ask.text("UserName"),
        phone="" if is_own else ask.text("PhoneId"),
        pin=pin,
        is_skipped=is_skipped,
        answers=ask.texts("SecurityQuestionAnswer"),
    )


def change_password(ask: Ask) -> dict[str, Any]:
    token = ask.access()
    old, new = ask.needed("OldPassword"), ask.needed("NewPassword")
    changing.change_password(token, old, new, by=ask.by, now=ask.now)
    return dict(shapes.POSTED)


def questions_by_email(ask: Ask) -> list[dict[str, str]]:
    return _questions(ask.identifier_in_query(Kind.EMAIL, "email"))


def questions_by_user_name(ask: Ask) -> list[dict[str, str]]:
    return _questions(ask.identifier_in_query(Kind.USER_NAME, "userName"))


def questions_by_phone(ask: Ask) -> list[dict[str, str]]:
    return _questions(ask.identifier_in_query(Kind.PHONE, "phone"))


def questions_by_access_token(ask: Ask) -> list[dict[str, str]]:
    subscriber: Subscriber = ask.access().subscriber
    return shapes.questions(questions.asked_of(subscriber, _settings()))


def _questions(identifier: Identifier) -> list[dict[str, str]]:
    return shapes.questions(questions.asked(identifier, _settings()))


def _settings() -> SignInSettings:
    settings = SignInSettings.of_tenant()
    if not settings.security_questions:
        raise QuestionsAreOff
    return settings
