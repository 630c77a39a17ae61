"""Who is calling: a session, an API key, an OAuth token, a reader key -> Caller. The only gate, the one middleware.

The tenant comes from the caller, never from what was sent. One transaction covers the request and the rendering
of its answer; 4xx answers commit (a counted attempt and its audit stay), 5xx answers leave nothing.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from accounts import keys
from accounts.audit import Actor
from accounts.models import (
    ApiKey,
    ApiKeySite,
    Membership,
    MembershipSite,
    OAuthAccessToken,
    OAuthApplication,
    OAuthConsent,
    Tenant,
)
from accounts.rights import OF_ROLE, Right, StaffRole, rights_of_scopes
from accounts.tenancy import current_tenant_id, remembered_tenant

OF_KIND: dict[str, frozenset[Right]] = {
    ApiKey.Kind.READER: frozenset({Right.DECIDE}),
    ApiKey.Kind.GENERATOR: frozenset({Right.GENERATE}),
    # An application's own accounts are reached by this pair, never the tenant's people.
    ApiKey.Kind.SIGNIN: frozenset({Right.SIGN_IN}),
    # What access codes, locks and events need; its clients know no scopes.
    ApiKey.Kind.SEAM: frozenset(
        {
            Right.ACCOUNT_READ,
            Right.PEOPLE_READ,
            Right.PEOPLE_WRITE,
            Right.PINS_READ,
            Right.VISITS_READ,
            Right.VISITS_WRITE,
            Right.CHANNELS_READ,
            Right.CHANNELS_ADMIT,
            Right.EVENTS_READ,
        }
    ),
}

# Where an application's accounts sign in: neither a staff session nor another kind of key says who asks.
SIGNIN_PATHS = ("/identity/v2", "/ciam/")


@dataclass(frozen=True)
class Caller:
    """Somebody or something that acts for one tenant; `site_ids` None means every site."""

    tenant_id: int
    actor: Actor
    rights: frozenset[Right]
    site_ids: frozenset[int] | None = None
    staff_role: StaffRole | None = None
    user_id: int | None = None
    requests_per_minute: int | None = None

    def may(self, right: Right) -> bool:
        return right in self.rights

    @property
    def is_machine(self) -> bool:
        return self.user_id is None


@dataclass(frozen=True)
class Place:
    """One membership of a user, as the tenant switcher shows it."""

    tenant_id: int
    tenant_name: str
    membership_id: int
    staff_role: StaffRole
    site_ids: frozenset[int] | None = field(default=None)


class CallerMiddleware:
    """Resolves the caller, opens the request's one transaction and sets its tenant."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with transaction.atomic():
            caller = _find(request)
            request.caller = caller  # type: ignore[attr-defined]
            with remembered_tenant(caller.tenant_id) if caller else nullcontext():
                response = self.get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
        if caller is not None:
            # A cache on the way knows an answer by its address: the next key would be told this one's.
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def presented_key(request: HttpRequest) -> str | None:
    """The key in `Authorization: Bearer`, as Basic user name, or in `X-API-Key`; None when there is none."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest
    if scheme.lower() == "token":
        return rest.removeprefix("token=").strip('"')
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return request.headers.get("X-API-Key")


def signin_key(request: HttpRequest) -> str | None:
    """The key of a sign-in pair, `apiKey` in the query in any case, or in its header; None when there is none.

    `Authorization` carries the token of an account there, and no key.
    """
    with suppress(ValueError):
        for name, value in parse_qsl(request.META.get("QUERY_STRING", ""), max_num_fields=100):
            if name.lower() == "apikey":
                return value or None
    return request.headers.get("X-LoginRadius-ApiKey")


def _find(request: HttpRequest) -> Caller | None:
    if request.path_info.lower().startswith(SIGNIN_PATHS):
        return caller_of_key(signin_key(request) or "")
    key = presented_key(request)
    if key is not None:
        return caller_of_key(key)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    places = places_of(user.pk)
    request.places = places  # type: ignore[attr-defined]
    chosen = request.session.get("tenant_id")
    place = next((place for place in places if place.tenant_id == chosen), places[0] if places else None)
    return enter(place, user.pk) if place else None


def caller_of_key(key: str) -> Caller | None:
    """One round trip: finds the key and tells PostgreSQL its tenant for this transaction."""
    if not key or len(key) > 200 or "\x00" in key:
        return None
    if key.startswith("gho_"):
        return _caller_of_token(key)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM finder.caller_by_key(%s, %s)", [keys.digests(key), timezone.now()])
        row = cursor.fetchone()
    if row is None:
        return None
    key_id, tenant_id, kind, scopes, all_sites, site_ids, requests_per_minute = row
    return Caller(
        tenant_id=tenant_id,
        actor=Actor("api" if kind == ApiKey.Kind.API else kind, key_id),
        rights=rights_of_scopes(scopes) if kind == ApiKey.Kind.API else OF_KIND[kind],
        site_ids=None if all_sites else frozenset(site_ids),
        requests_per_minute=requests_per_minute,
    )


def _caller_of_token(token: str) -> Caller | None:
    """Likewise for what an application holds: its scopes, and no more than the member who consented may do."""
    with connection.cursor() as cursor:
        checksum = hashlib.sha256(token.encode()).hexdigest()
        cursor.execute("SELECT * FROM finder.caller_by_token(%s, %s)", [checksum, timezone.now()])
        row = cursor.fetchone()
    if row is None:
        return None
    consent_id, tenant_id, scope, role, all_sites, site_ids, requests_per_minute = row
    return Caller(
        tenant_id=tenant_id,
        actor=Actor("token", consent_id),
        rights=rights_of_scopes(scope.split()) & OF_ROLE[StaffRole(role)],
        site_ids=None if all_sites else frozenset(site_ids),
        requests_per_minute=requests_per_minute,
    )


def still_live(callers: Iterable[Caller], now: datetime) -> set[Caller]:
    """Which of these machines of the current tenant may go on: for connections that outlive a request."""
    if Tenant.objects.filter(pk=current_tenant_id()).exclude(suspended_at=None).exists():
        return set()
    by_token = {caller for caller in callers if caller.actor.kind == "token"}
    by_key = set(callers) - by_token
    live: set[Caller] = set()
    if by_key:
        held = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
        places = _places_of(held.filter(pk__in=_ids(by_key)), ApiKeySite, "api_key_id")
        live |= {caller for caller in by_key if _is_within(caller, places)}
    if by_token:
        unexpired = OAuthAccessToken.objects.filter(
            application=OuterRef("application"), user=OuterRef("membership__user"), expires__gt=now
        )
        consents = OAuthConsent.objects.filter(
            Exists(unexpired), pk__in=_ids(by_token), ended_at=None, membership__ended_at=None
        )
        consents = consents.filter(membership__user__is_active=True).exclude(
            application__state=OAuthApplication.State.DISABLED
        )
        members = dict(consents.values_list("pk", "membership_id"))
        roles = dict(consents.values_list("pk", "membership__role"))
        of_members = _places_of(Membership.objects.filter(pk__in=members.values()), MembershipSite, "membership_id")
        places = {pk: of_members[member] for pk, member in members.items()}
        live |= {
            caller
            for caller in by_token
            if _is_within(caller, places) and caller.rights <= OF_ROLE[StaffRole(roles[caller.actor.id or 0])]
        }
    return live


def _places_of(holders: QuerySet[Any], through: Any, column: str) -> dict[int, frozenset[int] | None]:
    """The sites of keys or members by their id; None is every site."""
    sites: dict[int, set[int]] = {}
    for holder_id, site_id in through.objects.filter(**{f"{column}__in": holders}).values_list(column, "site_id"):
        sites.setdefault(holder_id, set()).add(site_id)
    rows = holders.values_list("pk", "all_sites")
    return {pk: None if all_sites else frozenset(sites.get(pk, ())) for pk, all_sites in rows}


def _is_within(caller: Caller, places: dict[int, frozenset[int] | None]) -> bool:
    """Whether somebody has still all the sites that they began with."""
    if caller.actor.id not in places:
        return False
    sites = places[caller.actor.id]
    return sites is None or (caller.site_ids is not None and caller.site_ids <= sites)


def _ids(callers: Iterable[Caller]) -> list[int]:
    return [caller.actor.id for caller in callers if caller.actor.id is not None]


def places_of(user_id: int) -> list[Place]:
    """The live memberships of a user in tenants that are not suspended, by tenant name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM finder.places_of_user(%s)", [user_id])
        return [
            Place(tenant_id, name, membership_id, StaffRole(role), None if all_sites else frozenset(site_ids))
            for tenant_id, name, membership_id, role, all_sites, site_ids in cursor.fetchall()
        ]


def enter(place: Place, user_id: int) -> Caller:
    """Act in this place for the rest of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(place.tenant_id)])
    return Caller(
        tenant_id=place.tenant_id,
        actor=Actor("staff", place.membership_id),
        rights=OF_ROLE[place.staff_role],
        site_ids=place.site_ids,
        staff_role=place.staff_role,
        user_id=user_id,
    )
