"""Every endpoint by method and path, in lower case: clients spell paths in whatever case they like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pins.signin.api import configuration, logins, managing, own, pins
from pins.signin.api.asking import Ask

Handler = Callable[[Ask], Any]

# After `/identity/v2`. What the user's own program may ask with the key alone, or with a token.
AUTH: Final[dict[tuple[str, str], Handler]] = {
    ("POST", "/auth/login/pin"): logins.login_by_pin,
    ("POST", "/auth/pin/set/pinauthtoken"): pins.set_by_pin_auth_token,
    ("PUT", "/auth/pin/change"): pins.change,
    ("POST", "/auth/pin/forgot/email"): pins.forgot_by_email,
    ("POST", "/auth/pin/forgot/username"): pins.forgot_by_user_name,
    ("POST", "/auth/pin/forgot/otp"): pins.forgot_by_phone,
    ("GET", "/auth/session_token/invalidate"): logins.invalidate_session,
    ("PUT", "/auth/pin/reset/token"): pins.reset_by_token,
    ("PUT", "/auth/pin/reset/otp/email"): pins.reset_by_email_code,
    ("PUT", "/auth/pin/reset/otp/phone"): pins.reset_by_phone_code,
    ("PUT", "/auth/pin/reset/otp/username"): pins.reset_by_user_name_code,
    ("PUT", "/auth/pin/reset/securityanswer/email"): pins.reset_by_email_answer,
    ("PUT", "/auth/pin/reset/securityanswer/phone"): pins.reset_by_phone_answer,
    ("PUT", "/auth/pin/reset/securityanswer/username"): pins.reset_by_user_name_answer,
    ("PUT", "/auth/account/reauth/pin"): pins.step_up,
    ("POST", "/auth/register"): logins.register,
    ("POST", "/auth/login"): logins.login,
    ("GET", "/auth/access_token/validate"): logins.validate,
    ("GET", "/auth/access_token/invalidate"): logins.invalidate,
    ("GET", "/auth/access_token"): logins.info,
    ("GET", "/auth/account"): own.profile,
    ("PUT", "/auth/account"): own.update,
    ("PUT", "/auth/password/change"): own.change_password,
    ("GET", "/auth/securityquestion/email"): own.questions_by_email,
    ("GET", "/auth/securityquestion/username"): own.questions_by_user_name,
    ("GET", "/auth/securityquestion/phone"): own.questions_by_phone,
    ("GET", "/auth/securityquestion/accesstoken"): own.questions_by_access_token,
    ("GET", "/serverinfo"): configuration.server_info,
}

# What the tenant's server alone may ask, with the secret. `{uid}` stands for an account.
MANAGE: Final[dict[tuple[str, str], Handler]] = {
    ("POST", "/manage/account"): managing.create,
    ("GET", "/manage/account"): managing.find,
    ("GET", "/manage/account/{uid}"): managing.profile,
    ("PUT", "/manage/account/{uid}"): managing.update,
    ("DELETE", "/manage/account/{uid}"): managing.delete,
    ("PUT", "/manage/account/{uid}/password"): managing.set_password,
    ("POST", "/manage/account/{uid}/reauth/pin"): managing.confirm_step_up,
    ("GET", "/manage/account/access_token"): managing.access_token,
    ("GET", "/manage/account/access_token/refresh"): logins.refresh,
    ("GET", "/manage/account/access_token/refresh/revoke"): managing.revoke_refresh,
    ("POST", "/manage/account/emailtoken/forgotpin"): managing.forgot_by_email,
    ("POST", "/manage/account/smsotp/forgotpin"): managing.forgot_by_phone,
}
APP_INFO: Final = "/ciam/appinfo"

_ALL: Final = AUTH | MANAGE
_ACCOUNT: Final = "/manage/account/"


@dataclass(frozen=True)
class Route:
    """What answers a path, by method; `values` are what stands in the path."""

    handlers: Mapping[str, Handler]
    values: Mapping[str, str]
    is_managing: bool = False


def find(path: str) -> Route | None:
    """What answers this path, None for nothing."""
    path = path.lower().rstrip("/")
    if path == APP_INFO:
        return Route({"GET": configuration.app_info}, {})
    rest = path.removeprefix("/identity/v2")
    handlers = _BY_PATH.get(rest)
    values: dict[str, str] = {}
    if handlers is None and rest.startswith(_ACCOUNT):
        uid, _, after = rest.removeprefix(_ACCOUNT).partition("/")
        values = {"uid": uid}
        handlers = _BY_PATH.get(f"{_ACCOUNT}{{uid}}{'/' if after else ''}{after}")
    if handlers is None:
        return None
    return Route(handlers, values, rest.startswith("/manage/"))


def _by_path() -> dict[str, dict[str, Handler]]:
    found: dict[str, dict[str, Handler]] = {}
    for (method, path), handler in _ALL.items():
        found.setdefault(path, {})[method] = handler
    return found


_BY_PATH: Final = _by_path()
