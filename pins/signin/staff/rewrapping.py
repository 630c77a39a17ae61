"""The secrets of authenticator apps under another PIN key. They belong to users, and so to no tenant."""

from collections import Counter

from django.db import transaction

from pins.signin.staff.models import AuthenticatorApp
from pins.vault.sealing import Tampered
from pins.vault.wrapping import version_of


def rewrap(version: int) -> list[str]:
    """Wrap every secret under this, the current key; returns what is wrong with those that do not open.

    Each row is locked while it is written, as it is by whoever checks a code and then saves the whole row.
    """
    faults = []
    for pk in AuthenticatorApp.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            app = AuthenticatorApp.objects.select_for_update().filter(pk=pk).first()
            try:
                if app is not None and version_of(app.key) != version:
                    app.hold(app.bin_key)
                    app.save(update_fields=["key"])
            except Tampered as fault:
                faults.append(f"authenticator app {pk}: {fault}")
    return faults


def count_by_version() -> Counter[int]:
    """How many secrets each key wraps; 0 for what is no wrapped secret."""
    return Counter(map(_version_of, AuthenticatorApp.objects.values_list("key", flat=True)))


def _version_of(key: str) -> int:
    try:
        return version_of(key)
    except Tampered:
        return 0
