"""What an application asks before it shows its forms: the settings of the tenant, and the time here."""

from datetime import timedelta
from typing import Any

from accounts.answers import instant_in_utc
from accounts.models import Tenant
from pins.signin.api import shapes
from pins.signin.api.asking import Ask
from pins.signin.api.problems import Problem
from pins.signin.counting import FIRST_LOCK
from pins.signin.models import SignInSettings
from pins.signin.resetting.codes import LENGTH
from pins.signin.subscribers.questions import offered

_LONGEST_DIFFERENCE = 24 * 60


def app_info(ask: Ask) -> dict[str, Any]:
    settings = SignInSettings.of_tenant()
    asked = offered(settings)
    return {
        "AppName": Tenant.objects.get(pk=ask.caller.tenant_id).name,
        "PINAuthentication": {
            "IsEnabled": settings.is_on,
            "Configuration": {
                "PINLogin": settings.is_on and settings.pin_login,
                "IsRequired": settings.is_required,
                "AskOnRegistration": settings.asked_at_registration,
                "AskOnLogin": settings.asked_at_each_login,
                "AskOnlyOnFirstLogin": settings.asked_at_first_login,
                "SessionTokenExpiration": settings.session_minutes,
                "PINLength": settings.pin_length,
            },
        },
        "IsSecurityQuestion": bool(asked),
        "SecurityQuestions": {
            "SecurityQuestionCount": settings.questions_asked if asked else 0,
            "Questions": shapes.questions(asked),
        },
        "LoginLockedConfiguration": {
            "LoginLockedType": "Suspend",
            "MaximumFailedLoginAttempts": settings.failures_allowed,
            "SuspendConfiguration": {"EffectivePeriodInSeconds": int(FIRST_LOCK.total_seconds())},
        },
        "TemplateVerificationTypes": {
            "ForgotPIN": "OTP" if settings.reset_email_carries == SignInSettings.Carries.OTP else "MAGICLINK"
        },
        "OTPLength": LENGTH,
    }


def server_info(ask: Ask) -> dict[str, Any]:
    """The time here, and the period that a SOTT made now should cover."""
    text = ask.query("timeDifference") or "10"
    if not (text.isascii() and text.isdecimal()) or len(text) > 6:
        raise Problem(908, "timeDifference must be a whole number of minutes.")
    minutes = max(1, min(int(text), _LONGEST_DIFFERENCE))
    start, end = ask.now, ask.now + timedelta(minutes=minutes)
    return {
        "ServerLocation": "",
        "ServerName": "",
        "CurrentTime": instant_in_utc(ask.now),
        "Sott": {
            "StartTime": f"{start:%Y/%m/%d %H:%M:%S}",
            "EndTime": f"{end:%Y/%m/%d %H:%M:%S}",
            "TimeDifference": str(minutes),
        },
    }
