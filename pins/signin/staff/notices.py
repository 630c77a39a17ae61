"""What staff are told by e-mail about their own account, in the name of the tenant that is at work."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings

from accounts.models import Tenant, User
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing


@dataclass(frozen=True)
class Notice:
    """One thing to tell; templates/deliveries/account.* have the words for each `kind`."""

    kind: str


SECOND_FACTOR_ON: Final = Notice("second_factor_on")
SECOND_FACTOR_OFF: Final = Notice("second_factor_off")
SECOND_FACTOR_RESET: Final = Notice("second_factor_reset")
BACKUP_CODE_USED: Final = Notice("backup_code_used")
PASSWORD_CHANGED: Final = Notice("password_changed")
PIN_RESET: Final = Notice("pin_reset")
PIN_CHANGED: Final = Notice("pin_changed")


def tell(user: User, notice: Notice, *, now: datetime, left: int | None = None) -> None:
    """Tell a user what was done to their account; whoever did not do it can act at once."""
    send(user.email, "account", {"kind": notice.kind, "left": left, "name": user.name}, [("user", user.pk)], now=now)


def send(
    address: str, template: str, facts: dict[str, object], about: Iterable[tuple[str, int]], *, now: datetime
) -> None:
    """Queue one e-mail of the current tenant to somebody of its staff."""
    tenant = Tenant.objects.get(pk=current_tenant_id())
    queueing.queue(
        medium="email",
        address=address,
        template=template,
        language=tenant.language,
        context={"tenant_name": tenant.name, "sign_in_url": f"{settings.PUBLIC_URL}/sign-in/", **facts},
        about=about,
        now=now,
    )
