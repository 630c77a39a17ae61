"""Refuses a mail provider that nobody knows, and a secret for its reports that could be guessed."""

import re
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks

_SECRET = re.compile(r"[^:\s]+:\S{16,}")


@checks.register
def provider_is_known(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    """What stands in the environment about the mail provider can work."""
    provider, secret = settings.EMAIL_PROVIDER, str(settings.ANYMAIL.get("WEBHOOK_SECRET", ""))
    found: list[checks.CheckMessage] = []
    if provider and (not provider.isidentifier() or find_spec(f"anymail.backends.{provider}") is None):
        hint = "Such as postmark or mailgun; leave it out to send by EMAIL_URL."
        found.append(
            checks.Error(f"EMAIL_PROVIDER “{provider}” is not known to django-anymail.", hint=hint, id="gatehouse.E011")
        )
    if secret and not _SECRET.fullmatch(secret):
        hint = "Such as gatehouse: and 32 random letters; it stands in the address that the provider is told."
        found.append(
            checks.Error("ANYMAIL_WEBHOOK_SECRET is not user:password with 16 letters.", hint=hint, id="gatehouse.E012")
        )
    return found
