"""What a visitor holds in place of a PIN: a link that reveals it, as a keyed digest; see visits/revealing.py."""

from django.db import models

from accesscontrol.credentials.models import Credential
from accesscontrol.reservations.models import Reservation
from accounts.tenancy import TenantForeignKey, TenantModel
from pins.deliveries.models import Delivery


class RevealLink(TenantModel):
    """One link in one message. Whether it still reveals anything is asked of the visit and the PIN, each time."""

    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    delivery = TenantForeignKey(Delivery, on_delete=models.CASCADE, related_name="+")
    credential = TenantForeignKey(Credential, on_delete=models.CASCADE, related_name="+")
    reservation = TenantForeignKey(Reservation, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField()
    # Where there is no visit whose end it could die at.
    expires_at = models.DateTimeField(null=True)
    views = models.PositiveIntegerField(default=0)
    first_viewed_at = models.DateTimeField(null=True)
    last_viewed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(reservation__isnull=False) | models.Q(expires_at__isnull=False),
                name="reveal_link_ends",
            )
        ]

    def __str__(self) -> str:
        return f"link of message {self.delivery_id}"
