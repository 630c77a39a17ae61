"""Refuses to start without the keys that protect PINs."""

from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from pins.vault.keyring import keyring


@checks.register(checks.Tags.database)
def keys_are_there(app_configs: Any, databases: Any = None, **options: Any) -> list[checks.CheckMessage]:
    """Whoever uses the database needs the keyring; commands that only read code do not."""
    if not databases:
        return []
    try:
        keyring()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="gatehouse.E010")]
    return []
