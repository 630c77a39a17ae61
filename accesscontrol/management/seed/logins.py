"""Who may act for a demo tenant: staff with passwords, keys, an OAuth application. All new for each installation.

Only digests are kept, so what was lost is replaced, and what it replaces ends.
"""

import secrets
from datetime import datetime
from typing import Any

from accesscontrol.doors.models import Channel, ReaderChannel
from accounts import applications, keys, tenants
from accounts.audit import Actor
from accounts.callers import places_of
from accounts.models import ApiKey, Membership, OAuthApplication, Tenant, User
from accounts.rights import OF_SCOPE, StaffRole

BY = Actor("command")
READING = (
    "account.person.readonly",
    "account.reservation.readonly",
    "account.channel.readonly",
    "account.event.access.readonly",
)
_STAFF = {
    StaffRole.MANAGER: "Robin Carter",
    StaffRole.FRONT_DESK: "Alex Moreno",
    StaffRole.HOST: "Sam Rivera",
    StaffRole.AUDITOR: "Kim Larsen",
}
_NAME = "Demo"


def email_of(slug: str, role: StaffRole) -> str:
    return f"{role.value.replace('_', '.')}@{slug}.example.com"


def tenant_with(slug: str) -> int | None:
    """The tenant whose demo manager has an account here; asked before any tenant is set."""
    user = User.objects.filter(email=email_of(slug, StaffRole.MANAGER)).first()
    places = places_of(user.pk) if user else []
    return places[0].tenant_id if places else None


def give(tenant: Tenant, *, now: datetime) -> dict[str, Any]:
    """New passwords and keys for the current tenant, the former ones ended; returned this once."""
    shown: dict[str, Any] = {role.value: _login(tenant.slug, role, name, now) for role, name in _STAFF.items()}
    for key in ApiKey.objects.filter(name__startswith=_NAME, revoked_at=None):
        keys.revoke(key, by=BY, now=now)
    channels = list(Channel.objects.order_by("pk"))
    reader = _mint("reader", ApiKey.Kind.READER, now)
    ReaderChannel.objects.bulk_create(ReaderChannel(api_key=reader.api_key, channel=channel) for channel in channels)
    signin = _mint("PIN sign-in", ApiKey.Kind.SIGNIN, now)
    return shown | {
        "api_key": _mint("API key", ApiKey.Kind.API, now, *OF_SCOPE).value,
        "api_key_readonly": _mint("API key, reading only", ApiKey.Kind.API, now, *READING).value,
        "reader_key": reader.value,
        "generator_key": _mint("PIN generator", ApiKey.Kind.GENERATOR, now).value,
        "signin": {"apikey": signin.value, "apisecret": signin.secret},
        "oauth": _application(now),
        "channels": [{"id": channel.pk, "name": channel.name} for channel in channels],
    }


def _login(slug: str, role: StaffRole, name: str, now: datetime) -> dict[str, str]:
    email, password = email_of(slug, role), secrets.token_urlsafe(15)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = tenants.user_of(email, password=password, name=name, now=now)
    else:
        user.set_password(password)
        user.save(update_fields=["password"])
    if not Membership.objects.filter(user=user, ended_at=None).exists():
        tenants.join(user, role, by=BY, now=now)
    return {"email": email, "password": password}


def _mint(name: str, kind: ApiKey.Kind, now: datetime, *scopes: str) -> keys.MintedKey:
    return keys.mint(f"{_NAME} {name}", kind=kind, scopes=scopes, by=BY, now=now)


def _application(now: datetime) -> dict[str, str]:
    """An application in testing that may ask for everything, also from programs that know no PKCE."""
    name, redirect_uri = f"{_NAME} integration", "http://localhost:8400/callback"
    application = OAuthApplication.objects.filter(name=name).first()
    if application is None:
        made = applications.register(
            name, redirect_uris=[redirect_uri], scopes=OF_SCOPE, pkce_optional=True, by=BY, now=now
        )
        application, secret = made.application, made.secret or ""
    else:
        secret = applications.renew_secret(application, by=BY, now=now)
    return {"client_id": application.client_id, "client_secret": secret, "redirect_uri": redirect_uri}
