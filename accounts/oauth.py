"""The OAuth library's models with a tenant: an application, and every token, belongs to exactly one."""

from django.db import models
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)

from accounts.tenancy import TenantModel


class OAuthApplication(AbstractApplication, TenantModel):
    """Another program that asks a tenant's staff for access."""

    class Meta(AbstractApplication.Meta):
        verbose_name = "OAuth application"


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
