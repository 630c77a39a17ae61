"""Applications that ask staff for access by OAuth: registered in one tenant, connected by consent, cut off at will.

A token acts for one membership in one tenant: with its scopes, with what that member may do, and no longer than either.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from oauth2_provider.generators import generate_client_secret

from accounts import audit
from accounts.models import (
    Membership,
    OAuthAccessToken,
    OAuthApplication,
    OAuthConsent,
    OAuthGrant,
    OAuthRefreshToken,
)
from accounts.refusals import Refusal
from accounts.rights import OF_SCOPE

# What has expired is kept for so long, for whoever asks what happened.
TOKENS_KEPT: Final = timedelta(days=1)
BATCH: Final = 500
WRITABLE = ("name", "state", "redirect_uris", "scopes", "pkce_optional", "is_for_all_tenants", "requests_per_minute")
# What a copy in another tenant takes over from the application that was registered.
_COPIED = ("name", "state", "redirect_uris", "scopes", "pkce_optional", "requests_per_minute", "client_type")


@dataclass(frozen=True)
class Registered:
    """An application and, this once, its secret; a public one has none."""

    application: OAuthApplication
    secret: str | None

    def __repr__(self) -> str:
        return f"Registered({self.application.client_id})"


@dataclass(frozen=True)
class Known:
    """An application as it was registered, found before a tenant is known."""

    id: int
    tenant_id: int
    is_for_all_tenants: bool


class NoWayBack(Refusal):
    code = "required"
    field = "redirect_uris"
    text = "Write the address that the application is sent back to."


class UnsafeRedirect(Refusal):
    code = "invalid"
    field = "redirect_uris"


class UnknownScope(Refusal):
    code = "unknown_scope"
    field = "scopes"


@transaction.atomic
def register(
    name: str,
    *,
    redirect_uris: Iterable[str],
    scopes: Iterable[str],
    by: audit.Actor,
    now: datetime,
    is_public: bool = False,
    **values: Any,
) -> Registered:
    """Add an application to the current tenant; a public one (in a browser, on a telephone) can keep no secret."""
    kind = OAuthApplication.CLIENT_PUBLIC if is_public else OAuthApplication.CLIENT_CONFIDENTIAL
    application = OAuthApplication(
        client_type=kind, authorization_grant_type=OAuthApplication.GRANT_AUTHORIZATION_CODE, created=now
    )
    _write(application, {**values, "name": name, "redirect_uris": " ".join(redirect_uris), "scopes": list(scopes)})
    secret = None if is_public else generate_client_secret()
    application.client_secret = secret or ""
    application.hash_client_secret = not is_public
    application.save(force_insert=True)
    audit.record("register", "oauth_application", application.pk, by=by, now=now)
    return Registered(application, secret)


@transaction.atomic
def change(application: OAuthApplication, values: Mapping[str, Any], *, by: audit.Actor, now: datetime) -> None:
    """Write the given fields; tokens that exist keep the scopes they have."""
    application = OAuthApplication.objects.select_for_update(of=("self",)).get(pk=application.pk, is_copy=False)
    changed = [name for name in WRITABLE if name in values and getattr(application, name) != values[name]]
    if not changed:
        return
    _write(application, {name: values[name] for name in changed})
    application.save(update_fields=[*changed, "updated"])
    audit.record("change", "oauth_application", application.pk, by=by, now=now, fields=changed)


@transaction.atomic
def renew_secret(application: OAuthApplication, *, by: audit.Actor, now: datetime) -> str:
    """Give the application a new secret; the old one is dead at once, tokens live on."""
    secret: str = generate_client_secret()
    application.client_secret = secret
    application.save(update_fields=["client_secret", "updated"])
    audit.record("renew_secret", "oauth_application", application.pk, by=by, now=now)
    return secret


def _write(application: OAuthApplication, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(application, name, value)
    uris = application.redirect_uris.split()
    if not uris:
        raise NoWayBack
    for uri in uris:
        if not application.may_return_to(uri):
            raise UnsafeRedirect(
                f"“{uri}” is not possible: write https://…, or http://localhost:… while the application is in testing."
            )
    application.redirect_uris = " ".join(uris)
    if unknown := [scope for scope in application.scopes if scope not in OF_SCOPE]:
        raise UnknownScope(f"There is no scope “{unknown[0]}”.")


def known(client_id: str) -> Known | None:
    """The application with this client id that is not disabled, asked before a tenant is known."""
    if not client_id or "\x00" in client_id:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, tenant_id, is_for_all_tenants FROM finder.application_by_client_id(%s)", [client_id])
        row = cursor.fetchone()
    return Known(*row) if row else None


def tenant_of_token(checksum: str) -> int | None:
    """The tenant of an authorization code, access or refresh token, asked by its digest before a tenant is known."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenant_of_oauth_token(%s)", [checksum])
        row = cursor.fetchone()
    return row[0] if row else None


def bring_up_to_date(client_id: str, tenant_id: int) -> None:
    """Make or refresh the current tenant's copy of an application that another tenant offers to all."""
    columns = (*_COPIED, "client_secret")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM finder.application_by_client_id(%s) "  # names of columns
            "WHERE tenant_id <> %s AND is_for_all_tenants",
            [client_id, tenant_id],
        )
        row = cursor.fetchone()
    if row is None:
        return
    offered = dict(zip(columns, row, strict=True))
    copy = OAuthApplication.objects.filter(client_id=client_id).first()
    if copy is None:
        copy = OAuthApplication(
            client_id=client_id, is_copy=True, authorization_grant_type=OAuthApplication.GRANT_AUTHORIZATION_CODE
        )
    elif all(getattr(copy, name) == value for name, value in offered.items()):
        return
    for name, value in offered.items():
        setattr(copy, name, value)
    # A secret of the registered application is a digest already; a public one has none to digest.
    copy.hash_client_secret = bool(copy.client_secret)
    copy.save()


@transaction.atomic
def consent(
    application: OAuthApplication, membership_id: int, scopes: Iterable[str], *, by: audit.Actor, now: datetime
) -> OAuthConsent:
    """Let an application act for this member of staff; a second time the scopes are those of the last."""
    scopes = sorted(scopes)
    given, _ = OAuthConsent.objects.update_or_create(
        application=application,
        membership_id=membership_id,
        ended_at=None,
        defaults={"scopes": scopes},
        create_defaults={"scopes": scopes, "given_at": now},
    )
    audit.record("consent", "oauth_consent", given.pk, by=by, now=now, fields=["scopes"])
    return given


def is_connected(application: OAuthApplication, user_id: int) -> bool:
    """Whether this user's consent holds and they are staff here still."""
    rows = OAuthConsent.objects.filter(application=application, ended_at=None)
    return rows.filter(
        membership__user_id=user_id, membership__ended_at=None, membership__user__is_active=True
    ).exists()


@transaction.atomic
def disconnect(given: OAuthConsent, *, by: audit.Actor, now: datetime) -> None:
    """End a consent and everything that was issued for it; a second time changes nothing."""
    if OAuthConsent.objects.filter(pk=given.pk, ended_at=None).update(ended_at=now):
        _cut_off(given, now)
        audit.record("disconnect", "oauth_consent", given.pk, by=by, now=now)


@transaction.atomic
def disconnect_all(membership: Membership, *, by: audit.Actor, now: datetime) -> None:
    """End every consent of a member of staff who leaves."""
    for given in OAuthConsent.objects.filter(membership=membership, ended_at=None).select_related("membership"):
        disconnect(given, by=by, now=now)


def _cut_off(given: OAuthConsent, now: datetime) -> None:
    issued = {"application_id": given.application_id, "user_id": given.membership.user_id}
    OAuthRefreshToken.objects.filter(revoked=None, **issued).update(revoked=now, access_token=None)
    OAuthAccessToken.objects.filter(**issued).delete()
    OAuthGrant.objects.filter(**issued).delete()


def forget_tokens(now: datetime) -> int:
    """Delete up to 500 each of codes and tokens that can do nothing any more; returns the most of one kind.

    A refresh token that was used stays for as long as a family may live without being asked for: by it a copy is
    known. An access token stays while a refresh token hangs on it, which counts its own age from there.
    """
    idle = now - timedelta(seconds=settings.OAUTH2_PROVIDER["REFRESH_TOKEN_EXPIRE_SECONDS"])
    old = now - TOKENS_KEPT
    dead = Q(revoked__lte=idle) | Q(revoked=None, access_token=None) | Q(revoked=None, access_token__expires__lte=idle)
    due = (
        OAuthRefreshToken.objects.filter(dead),
        OAuthAccessToken.objects.filter(expires__lte=old, refresh_token=None),
        OAuthGrant.objects.filter(expires__lte=old),
    )
    most = 0
    for rows in due:
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        rows.model.objects.filter(pk__in=ids).delete()
        most = max(most, len(ids))
    return most
