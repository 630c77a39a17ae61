"""A PIN as second layer of an account: how a tenant wants it, the accounts of its own application, what they hold."""

from pins.signin.models.pins import SignInPin
from pins.signin.models.resets import ForgottenPin, ResetCode
from pins.signin.models.settings import SignInSettings
from pins.signin.models.subscribers import SecurityAnswer, Subscriber
from pins.signin.models.tokens import Token

__all__ = [
    "ForgottenPin",
    "ResetCode",
    "SecurityAnswer",
    "SignInPin",
    "SignInSettings",
    "Subscriber",
    "Token",
]
