"""A link in the place of a PIN: 160 random bits, kept as a keyed digest, in one message."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.urls import reverse

from accesscontrol.credentials.models import Credential
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits.models import RevealLink
from accounts import keys
from pins.deliveries.models import Delivery

# Without a visit at whose end it dies.
LASTS: Final = timedelta(days=14)


def address_of(token: str) -> str:
    """What stands in the message."""
    return f"{settings.PUBLIC_URL}{reverse('visit', args=[token])}"


def keep_many(
    carried: Iterable[tuple[str, Delivery, Credential, Reservation | None]], *, now: datetime
) -> list[RevealLink]:
    """Keep the digests of the links that these messages carry."""
    return RevealLink.objects.bulk_create(
        [
            RevealLink(
                digest=keys.digest(token),
                delivery=delivery,
                credential=credential,
                reservation=reservation,
                created_at=now,
                expires_at=None if reservation else now + LASTS,
            )
            for token, delivery, credential, reservation in carried
        ],
        batch_size=1000,
    )
