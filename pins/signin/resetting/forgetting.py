"""Somebody forgot their PIN. The request is noted, known or not; a tick finds the account and sends a link or a code.

So the answer takes the same time and says the same for everybody. How often one identifier may ask in a day is
capped, nobody's identifiers too.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings as installation
from django.db import connection
from django.urls import reverse

from accounts import audit
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.codes import addresses
from pins.codes.addresses import AddressLimitExceeded, Receiver
from pins.deliveries import queueing
from pins.signin import tokens
from pins.signin.identifiers import Identifier, Kind
from pins.signin.models import ForgottenPin, SignInSettings, Subscriber, Token
from pins.signin.resetting import codes
from pins.signin.subscribers.signing_in import refuse_where_off
from pins.vault.sealing import Tampered, open_json, seal_json

BATCH: Final = 50
# What a link of the contract's clients says it is for.
VTYPE: Final = "resetpin"


@dataclass(frozen=True)
class Asked:
    """What was asked for: by which identifier, and where a link should lead."""

    kind: str
    value: str
    url: str = ""


class UrlNotAllowed(Refusal):
    code = "url_not_allowed"
    field = "resetPINUrl"
    text = "This address is not on the list of pages for a new PIN."


def ask(identifier: Identifier, *, url: str = "", by: audit.Actor, now: datetime) -> None:
    """Note that somebody with this identifier forgot their PIN; refuses foreign pages, and too many in a day."""
    settings = SignInSettings.of_tenant()
    refuse_where_off(settings)
    if url and not _is_allowed(url, settings):
        raise UrlNotAllowed
    medium = medium_of(identifier.kind)
    queueing.refuse_unreachable(medium, identifier.value)
    asking = medium if identifier.kind != Kind.USER_NAME else identifier.kind
    addresses.count(Receiver(medium=asking, address=identifier.value), by=by, now=now)
    number = _next_id()
    ForgottenPin.objects.create(
        id=number, sealed=_seal(asdict(Asked(identifier.kind, identifier.value, url)), number), asked_at=now
    )


def medium_of(kind: Kind) -> str:
    """How somebody who is known by this is reached."""
    return "sms" if kind == Kind.PHONE else "email"


def work_off(*, by: audit.Actor, now: datetime) -> int:
    """Send what the current tenant's people asked for, up to 50 at once; returns how many were looked at."""
    rows = list(ForgottenPin.objects.select_for_update(skip_locked=True).order_by("asked_at", "pk")[:BATCH])
    settings = SignInSettings.of_tenant()
    for row in rows:
        try:
            asked = Asked(**open_json(bytes(row.sealed), **_row(row.pk)))
        except Tampered:
            continue
        identifier = Identifier(Kind(asked.kind), asked.value)
        subscriber = identifier.holder()
        if subscriber is not None and subscriber.blocked_at is None and settings.is_on:
            _tell(subscriber, identifier, asked.url, settings, by=by, now=now)
    ForgottenPin.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def open_link(subscriber: Subscriber, settings: SignInSettings, *, now: datetime) -> tuple[str, datetime]:
    """A token that resets the PIN once; those before it end."""
    tokens.revoke(subscriber.pk, [Token.Kind.RESET], now=now)
    opened = tokens.open_token(Token.Kind.RESET, subscriber.pk, life=settings.reset_link_life, now=now)
    return opened.value.replace("-", ""), opened.token.expires_at


def _tell(
    subscriber: Subscriber,
    identifier: Identifier,
    url: str,
    settings: SignInSettings,
    *,
    by: audit.Actor,
    now: datetime,
) -> None:
    medium = medium_of(identifier.kind)
    address = (subscriber.phone if medium == "sms" else subscriber.email) or ""
    if not address:
        return
    if identifier.kind == Kind.USER_NAME:
        try:
            addresses.count(Receiver(medium=medium, address=address), by=by, now=now)
        except AddressLimitExceeded:
            return
    tenant = Tenant.objects.get(pk=current_tenant_id())
    shown: dict[str, Any] = {"tenant_name": tenant.name, "colour": tenant.colour}
    if medium == "sms" or settings.reset_email_carries == SignInSettings.Carries.OTP:
        value, _ = codes.issue(subscriber, medium, settings, now=now)
        template, shown = "pin_reset_code", shown | {"code": value, "minutes": settings.otp_minutes}
    else:
        token, _ = open_link(subscriber, settings, now=now)
        template, shown = (
            "pin_reset_link",
            shown | {"link": link_to(token, url), "minutes": settings.reset_link_minutes},
        )
    # What is still unsent of an earlier one is void already.
    queueing.cancel("subscriber", [subscriber.pk], now=now)
    queueing.queue(
        medium=medium,
        address=address,
        template=template,
        language=subscriber.language,
        context=shown,
        about=[("subscriber", subscriber.pk)],
        now=now,
    )
    audit.record("tell_reset", "subscriber", subscriber.pk, by=by, now=now)


def link_to(token: str, url: str) -> str:
    """The tenant's own page with the token, or the page of this installation."""
    if not url:
        return str(installation.PUBLIC_URL) + reverse("signin:reset", args=[token])
    parts = urlsplit(url)
    query = "&".join(text for text in (parts.query, urlencode({"vtype": VTYPE, "vtoken": token})) if text)
    return urlunsplit(parts._replace(query=query))


def _is_allowed(url: str, settings: SignInSettings) -> bool:
    """Whether the address without its query is one that the tenant listed; no address that begins like one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    bare = urlunsplit(parts._replace(query="", fragment=""))
    allowed = {address.rstrip("/") for address in settings.allowed_reset_urls}
    return url.isprintable() and not parts.fragment and bare.rstrip("/") in allowed


def _next_id() -> int:
    # The content is sealed for its row, so the row's number must be known before it is written.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [ForgottenPin._meta.db_table])
        return int(cursor.fetchone()[0])


def _seal(value: Mapping[str, Any], number: int) -> bytes:
    return seal_json(dict(value), **_row(number))


def _row(number: int) -> dict[str, Any]:
    return {"tenant_id": current_tenant_id(), "table": ForgottenPin._meta.db_table, "row_id": number}
