"""The OAuth library's models with a tenant: an application, and every token, belongs to exactly one.

An application may be offered to the other tenants of an installation: each that uses it holds a copy with the same
client id, brought up to date whenever it is used (applications.py).
"""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.generators import generate_client_id
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)

from accounts.tenancy import TenantForeignKey, TenantManager, TenantModel

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class OAuthApplication(AbstractApplication, TenantModel):
    """Another program that asks a tenant's staff for access; `scopes` is the most that it may ask for."""

    class State(models.TextChoices):
        TESTING = "testing", "Testing: may come back to this machine without https"
        LIVE = "live", "Live"
        DISABLED = "disabled", "Disabled: nothing of it works"

    client_id = models.CharField("client ID", max_length=255, default=generate_client_id, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.TESTING)
    scopes = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    pkce_optional = models.BooleanField("PKCE is optional", default=False)
    is_for_all_tenants = models.BooleanField("for every tenant of this installation", default=False)
    is_copy = models.BooleanField(default=False, editable=False)
    requests_per_minute = models.PositiveIntegerField(default=1000)

    objects: ClassVar[TenantManager[Any]] = TenantManager()

    def get_absolute_url(self) -> str:
        """The library's own page is not served: the admin's is."""
        return reverse("admin:accounts_oauthapplication_change", args=[self.pk])

    class Meta(AbstractApplication.Meta):
        verbose_name = "OAuth application"
        constraints = [
            models.UniqueConstraint(fields=["client_id"], condition=Q(is_copy=False), name="oauth_client_unique"),
            models.UniqueConstraint(fields=["tenant", "client_id"], name="oauth_client_of_tenant"),
        ]

    def get_allowed_schemes(self) -> list[str]:
        return ["https", "http"] if self.state == self.State.TESTING else ["https"]

    def is_usable(self, request: Any) -> bool:
        return self.state != self.State.DISABLED

    def may_return_to(self, uri: str) -> bool:
        """Https, or while it is tested plain http on the user's own machine; no fragment, no credentials."""
        try:
            parts = urlsplit(uri)
            port_is_a_number = parts.port is None or parts.port > 0
        except ValueError:
            return False
        if not parts.hostname or parts.fragment or "#" in uri or "@" in parts.netloc or not port_is_a_number:
            return False
        is_local = self.state == self.State.TESTING and parts.scheme == "http" and parts.hostname in LOOPBACK
        return is_local or parts.scheme == "https"


class OAuthConsent(TenantModel):
    """A member of staff lets an application act for them in this tenant; it ends with either of them."""

    application = TenantForeignKey(OAuthApplication, on_delete=models.CASCADE, related_name="oauthconsents")
    membership = TenantForeignKey("accounts.Membership", on_delete=models.CASCADE, related_name="+")
    scopes = ArrayField(models.CharField(max_length=60), default=list)
    given_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "connected application"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "application", "membership"], condition=Q(ended_at=None), name="oauth_consent_current"
            )
        ]

    def __str__(self) -> str:
        return f"{self.application} for {self.membership}"


class OAuthGrant(AbstractGrant, TenantModel):
    """An authorization code on its way back to the application."""

    class Meta(AbstractGrant.Meta):
        verbose_name = "OAuth grant"


class OAuthIDToken(AbstractIDToken, TenantModel):
    """Asked for by the library; OpenID Connect is switched off."""

    class Meta(AbstractIDToken.Meta):
        verbose_name = "OAuth ID token"


class OAuthAccessToken(AbstractAccessToken, TenantModel):
    """What an application shows to act for a tenant; stored as a digest."""

    class Meta(AbstractAccessToken.Meta):
        verbose_name = "OAuth access token"


class OAuthRefreshToken(AbstractRefreshToken, TenantModel):
    """What an application exchanges for its next pair of tokens; stored as a digest."""

    class Meta(AbstractRefreshToken.Meta):
        verbose_name = "OAuth refresh token"


class OAuthDeviceGrant(AbstractDeviceGrant, TenantModel):
    """Asked for by the library; the device flow is switched off."""

    class Meta(AbstractDeviceGrant.Meta):
        verbose_name = "OAuth device grant"
        constraints = [models.UniqueConstraint(fields=["device_code"], name="accounts_device_code_unique")]
