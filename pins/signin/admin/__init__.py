"""Pages for how a tenant wants PIN sign-in, and for the accounts of its application."""

from pins.signin.admin.settings import SignInSettingsAdmin
from pins.signin.admin.subscribers import SubscriberAdmin

__all__ = ["SignInSettingsAdmin", "SubscriberAdmin"]
