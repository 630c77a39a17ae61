"""What goes wrong, under the contract's numbers. JSON names begin with an upper-case letter: clients look for it."""

import logging
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation

from accounts.answers import instant_in_utc
from accounts.rates import Rate
from accounts.refusals import Refusal

_log = logging.getLogger(__name__)

# Number: HTTP status, and what it means.
PROBLEMS: Final[dict[int, tuple[int, str]]] = {
    404: (404, "There is nothing at this address."),
    405: (405, "This address is not called in this way."),
    500: (500, "Something went wrong here."),
    901: (403, "This API key may not do that."),
    902: (401, "The API secret is not the one of this API key."),
    905: (403, "The access token is invalid."),
    906: (403, "The access token has expired."),
    908: (403, "A parameter is not formatted correctly."),
    920: (400, "The API key is invalid."),
    921: (400, "The API secret is invalid."),
    922: (400, "The API key is missing."),
    923: (400, "The API secret is missing."),
    936: (403, "There is an account with these data already."),
    938: (403, "There is no such account."),
    965: (400, "The body of the request is not valid JSON."),
    966: (401, "The credentials are wrong."),
    973: (403, "The link is invalid."),
    975: (403, "The link has expired."),
    991: (403, "The account is blocked."),
    1001: (403, "The SOTT is invalid or has expired."),
    1002: (403, "The SOTT is missing."),
    1032: (403, "An e-mail address is required."),
    1060: (400, "The access token is missing."),
    1067: (403, "The one-time code is wrong."),
    1068: (403, "The one-time code was used already."),
    1069: (403, "The one-time code has expired."),
    1075: (400, "A user name is required."),
    1076: (400, "A phone number is required."),
    1091: (403, "The security questions or answers are invalid."),
    1093: (403, "The answers to the security questions are wrong."),
    1095: (403, "Security questions are switched off."),
    1122: (403, "Too many e-mails were sent to this address."),
    1123: (403, "Too many messages were sent to this phone number."),
    1185: (403, "The one-time code is wrong."),
    1186: (403, "The one-time code was used already."),
    1187: (403, "The one-time code has expired."),
    1193: (403, "The second factor validation token is invalid."),
    1198: (403, "The account is locked for a while."),
    1233: (403, "PIN authentication is not configured."),
    1234: (403, "A PIN is required."),
    1235: (403, "There is no PIN on this account."),
    1236: (401, "The PIN is wrong."),
    1239: (403, "The PIN auth token is invalid."),
    1240: (403, "The PIN auth token has expired."),
    1241: (401, "The current PIN is wrong."),
    1242: (403, "The reset token was used already."),
    1243: (403, "A PIN must be set before the login."),
    1244: (403, "PIN login is not enabled."),
    1245: (403, "The PIN session token is invalid."),
    1246: (403, "The PIN session token has expired."),
    1248: (403, "The address of the reset page is not allowed."),
}
RATE_LIMITED: Final = 1420

# What a domain refuses, under its number; what is not named here is a parameter that is not right.
_OF_REFUSAL: Final[dict[str, int]] = {
    "answers_unusable": 1091,
    "answers_wrong": 1093,
    "blocked": 991,
    "code_over": 1187,
    "code_used": 1186,
    "code_wrong": 1185,
    "email_taken": 936,
    "link_over": 975,
    "link_unusable": 973,
    "link_used": 1242,
    "locked": 1198,
    "not_recognised": 966,
    "phone_taken": 936,
    "pin_is_off": 1233,
    "pin_login_is_off": 1244,
    "pin_missing": 1234,
    "pin_unchanged": 1234,
    "pin_unusable": 1234,
    "pin_weak": 1234,
    "questions_are_off": 1095,
    "url_not_allowed": 1248,
    "user_name_taken": 936,
}
# The same about a code that came by SMS.
BY_SMS: Final = {1185: 1067, 1186: 1068, 1187: 1069, 1122: 1123}


class Problem(Exception):
    """One of the contract's numbers, with a sentence about this case and what else its clients read."""

    def __init__(self, number: int, description: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(number)
        self.number, self.description, self.data = number, description, data


@dataclass(frozen=True)
class Told:
    """An error as it goes out."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def told(error: Exception) -> Told:
    """Any error in the contract's shape; what nobody expected is logged and answered without its text."""
    if isinstance(error, Problem):
        return _shaped(error.number, error.description, error.data)
    if isinstance(error, Refusal):
        return _of_refusal(error)
    if isinstance(error, RequestDataTooBig):
        return _shaped(908, "This request is too large.", status=413)
    if isinstance(error, SuspiciousOperation):
        return _shaped(908, "This request cannot be read.", status=400)
    _log.error("A request to /identity failed", exc_info=error)
    return _shaped(500)


def rate_limited(rate: Rate) -> Told:
    """Closed afterwards: one client never reads this answer and would hold the connection until it ends."""
    body = _body(RATE_LIMITED, "Too many requests.", f"This API key may ask again in {rate.retry_after} s.")
    return Told(429, body, rate.headers | {"Retry-After": str(rate.retry_after), "Connection": "close"})


def number_of(refusal: Refusal) -> int:
    """The contract's number for a refusal."""
    if refusal.code == "address_limit_exceeded":
        return 1122
    return _OF_REFUSAL.get(refusal.code, 908)


def _of_refusal(refusal: Refusal) -> Told:
    data = None
    if "locked_until" in refusal.facts:
        data = {"LoginLockedTimeout": instant_in_utc(refusal.facts["locked_until"])}
    return _shaped(number_of(refusal), refusal.sentence, data)


def _shaped(number: int, description: str = "", data: dict[str, Any] | None = None, *, status: int = 0) -> Told:
    known, message = PROBLEMS[number]
    body = _body(number, message, description or message)
    return Told(status or known, body | ({"Data": data} if data else {}))


def _body(number: int, message: str, description: str) -> dict[str, Any]:
    return {
        "Description": description,
        "ErrorCode": number,
        "Message": message,
        "IsProviderError": False,
        "ProviderErrorResponse": None,
    }
