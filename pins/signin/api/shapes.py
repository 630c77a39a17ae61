"""What goes out: profiles, tokens and instants as the contract types them. A PIN or its digest never does."""

from datetime import datetime
from typing import Any

from accounts.answers import instant_in_utc
from pins.signin import pin
from pins.signin.account import of_subscriber
from pins.signin.api.problems import Problem
from pins.signin.models import Subscriber
from pins.signin.pin import Checked, Outcome
from pins.signin.subscribers import blocking
from pins.signin.subscribers.questions import Question
from pins.signin.subscribers.signing_in import PinDemanded, SignedIn

POSTED: dict[str, Any] = {"IsPosted": True}


def signed_in(found: SignedIn | PinDemanded, now: datetime) -> dict[str, Any]:
    """The answer to a login; one that demands a PIN is an error with the token that sets it."""
    if isinstance(found, PinDemanded):
        raise Problem(1243, data={"PINAuthToken": found.pin_auth_token})
    answer = {
        "Profile": profile(found.subscriber, now),
        "access_token": found.access_token,
        "refresh_token": found.refresh_token,
        "expires_in": instant_in_utc(found.expires_at),
    }
    if found.session_token and found.session_expires_at:
        answer |= {
            "session_token": found.session_token,
            "session_expires_in": instant_in_utc(found.session_expires_at),
        }
    return answer


def problem_of(checked: Checked, *, wrong: int) -> Problem:
    """What is told of an entry that was not right; `wrong` is the number for a wrong PIN."""
    if checked.outcome == Outcome.NO_PIN:
        return Problem(1235)
    if checked.outcome == Outcome.LOCKED and checked.locked_until:
        until = instant_in_utc(checked.locked_until)
        return Problem(1198, "Too many wrong entries. Wait, then try again.", {"LoginLockedTimeout": until})
    return Problem(wrong)


def profile(subscriber: Subscriber, now: datetime) -> dict[str, Any]:
    """An account as its own application sees it."""
    state = pin.state(of_subscriber(subscriber.pk))
    locked_until = blocking.locked_until(subscriber, now)
    return {
        "Uid": subscriber.uid.hex,
        "ID": subscriber.uid.hex,
        "Provider": "Email",
        "FirstName": subscriber.first_name or None,
        "LastName": subscriber.last_name or None,
        "FullName": subscriber.name or None,
        "Email": [{"Type": "Primary", "Value": subscriber.email}] if subscriber.email else [],
        "UserName": subscriber.user_name_shown or None,
        "PhoneId": subscriber.phone,
        "CreatedDate": instant_in_utc(subscriber.created_at),
        "ModifiedDate": instant_in_utc(subscriber.changed_at),
        "LastLoginDate": _instant(subscriber.last_login_at),
        "LastPasswordChangeDate": instant_in_utc(subscriber.password_set_at),
        "NoOfLogins": subscriber.logins,
        "IsActive": subscriber.blocked_at is None,
        "IsLoginLocked": locked_until is not None,
        "LoginLockedType": "Suspend" if locked_until else "None",
        "PIN": {
            "PIN": None,
            "Skipped": state.skipped_at is not None,
            "SkippedDate": _instant(state.skipped_at),
            "LastPINChangeDate": _instant(state.set_at) if state.is_set else None,
            "LastPINChangeToken": None,
            "IsSet": state.is_set,
        },
    }


def questions(found: list[Question]) -> list[dict[str, str]]:
    return [{"QuestionId": question.id, "Question": question.text} for question in found]


def _instant(moment: datetime | None) -> str | None:
    return instant_in_utc(moment) if moment else None
