"""The one small world of the tests: plain functions, committed or not by whoever calls them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import set_token_value

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.models import Channel, ReaderChannel, Role
from accesscontrol.people import records
from accesscontrol.people.models import Group, Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import belonging, issuing, reserving
from accounts import applications, grants, keys, tenants
from accounts.audit import Actor
from accounts.models import ApiKey, Membership, OAuthAccessToken, Site, Tenant, User
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.signin import pin as signin
from pins.signin.account import of_member, of_subscriber
from pins.signin.models import Subscriber
from pins.signin.staff import sessions
from pins.signin.staff.models import StaffSession

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
BY = Actor("test")
PASSWORD = "correct horse battery staple"


@dataclass
class World:
    """Two tenants and what was made in them."""

    acme: Tenant
    globex: Tenant


def tenants_named(*names: str, now: datetime = NOW) -> list[Tenant]:
    return [tenants.found(name, now=now, time_zone="Europe/Berlin") for name in names]


def live() -> World:
    acme, globex = tenants_named("Acme", "Globex")
    return World(acme, globex)


def a_site(name: str = "Head Office", **values: Any) -> Site:
    return Site.objects.create(name=name, time_zone=values.pop("time_zone", "Europe/Berlin"), **values)


def a_door(name: str = "Front Door", *, site: Site | None = None, **values: Any) -> Channel:
    site = site or Site.objects.first() or a_site()
    return Channel.objects.create(name=name, site=site, **values)


def a_person(first_name: str = "Ann", *, now: datetime = NOW, **values: Any) -> Person:
    return records.create({"first_name": first_name, **values}, by=BY, now=now)


def a_pin(person: Person, value: str = "******", *, now: datetime = NOW, **values: Any) -> issuing.Issued:
    return issuing.issue(person, CredentialType.PIN, value, by=BY, now=now, **values)


def a_card(person: Person, value: str, *, now: datetime = NOW) -> Credential:
    return issuing.issue(person, CredentialType.CARD, value, by=BY, now=now).credential


def a_reservation(
    person: Person,
    *channels: Channel,
    start: datetime = NOW,
    hours: float = 2,
    now: datetime = NOW,
    **values: Any,
) -> Reservation:
    return reserving.reserve(
        person,
        channels=channels or None,
        start_time=start,
        end_time=start + timedelta(hours=hours),
        by=BY,
        now=now,
        **values,
    )


def a_role(name: str, *channels: Channel, shift: Any = None, now: datetime = NOW) -> Role:
    role = Role.objects.create(name=name, shift=shift)
    granting.set_channels(role, channels, by=BY, now=now)
    return role


def a_group(name: str, *roles: Role, now: datetime = NOW) -> Group:
    group = Group.objects.create(name=name)
    belonging.set_group_roles(group, roles, by=BY, now=now)
    return group


def an_api_key(*scopes: str, sites: Any = None, now: datetime = NOW) -> str:
    scopes = scopes or (
        "account.person",
        "account.reservation",
        "account.channel.readonly",
        "account.event.access.readonly",
    )
    return keys.mint("test", kind=ApiKey.Kind.API, scopes=scopes, sites=sites, by=BY, now=now).value


def a_reader_key(*channels: Channel, now: datetime = NOW) -> keys.MintedKey:
    minted = keys.mint("reader", kind=ApiKey.Kind.READER, by=BY, now=now)
    ReaderChannel.objects.bulk_create(ReaderChannel(api_key=minted.api_key, channel=channel) for channel in channels)
    return minted


def a_token(membership: Membership, *scopes: str, now: datetime = NOW) -> str:
    """An access token that acts for this member of staff, as at the end of the OAuth flow; it lives an hour."""
    made = applications.register(
        "App", redirect_uris=["https://app.example/back"], scopes=scopes, by=BY, now=now, state="live"
    )
    applications.consent(made.application, membership.pk, scopes, by=BY, now=now)
    token = OAuthAccessToken(
        user=membership.user, application=made.application, scope=" ".join(scopes), expires=now + timedelta(hours=1)
    )
    value = grants.access_token(None)
    set_token_value(token, value)
    token.save()
    return value


def a_member(role: StaffRole, email: str = "", *, sites: Any = None, now: datetime = NOW) -> Membership:
    user = tenants.user_of(email or f"{role}@acme.example", password=PASSWORD, now=now)
    return tenants.join(user, role, by=BY, now=now, sites=sites)


def a_subscriber(name: str = "ann", *, pin: str = "", now: datetime = NOW, **values: Any) -> Subscriber:
    subscriber = Subscriber.objects.create(
        email=values.pop("email", f"{name}@app.example"),
        password=make_password(PASSWORD),
        password_set_at=now,
        created_at=now,
        changed_at=now,
        **values,
    )
    if pin:
        signin.set_pin(of_subscriber(subscriber.pk), pin, by=BY, now=now)
    return subscriber


def signed_in(user: User) -> Client:
    """A browser whose session was opened by a password just now."""
    client = Client()
    client.force_login(user)
    open_screen(client, user)
    return client


def open_screen(client: Client, user: User, *, now: datetime | None = None) -> StaffSession:
    now, key = now or timezone.now(), client.session.session_key
    if sessions.BROWSER_COOKIE not in client.cookies:
        client.cookies[sessions.BROWSER_COOKIE] = keys.random_token()
    digest = keys.digest(client.cookies[sessions.BROWSER_COOKIE].value)
    return StaffSession.objects.create(session_id=key, user=user, browser_digest=digest, opened_at=now, seen_at=now)


def confirm(client: Client, membership: Membership) -> None:
    """As if the member had just typed their PIN again."""
    row = StaffSession.objects.filter(session_id=client.session.session_key)
    row.update(confirmed_at=timezone.now(), confirmed_membership_id=membership.pk)


def a_staff_pin(membership: Membership, value: str = "805294", *, now: datetime = NOW) -> str:
    signin.set_pin(of_member(membership.pk), value, by=BY, now=now)
    return value


def api(key: str, **headers: str) -> Client:
    """A client of the API that shows this key."""
    return Client(headers={"Authorization": f"Bearer {key}", **headers})


def committed(tenant: Tenant, make: Any, *args: Any, **values: Any) -> Any:
    """Call a function of this module in a transaction of its own for a tenant."""
    with tenant_transaction(tenant.pk):
        return make(*args, **values)
