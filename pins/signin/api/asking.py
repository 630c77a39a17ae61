"""What a client asks, however it spells it: names in any case, empty for absent, tokens in header or query."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from django.http import HttpRequest

from accounts.audit import Actor
from accounts.callers import Caller, signin_key
from accounts.keys import digests
from accounts.models import ApiKey
from pins.signin import tokens
from pins.signin.api.problems import Problem
from pins.signin.identifiers import LONGEST, Identifier, Kind, typed
from pins.signin.models import Subscriber, Token

LONGEST_TEXT = 1000
_REQUIRED = {Kind.EMAIL: 1032, Kind.USER_NAME: 1075, Kind.PHONE: 1076}


class Ask:
    """One request of a tenant's application; `values` are what its address names."""

    def __init__(self, request: HttpRequest, caller: Caller, now: datetime, values: Mapping[str, str]) -> None:
        self._request, self.caller, self.now, self.values = request, caller, now, values

    @property
    def by(self) -> Actor:
        return self.caller.actor

    @property
    def apikey(self) -> str:
        return signin_key(self._request) or ""

    @cached_property
    def _query(self) -> dict[str, str]:
        return query_of(self._request)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object that was sent, its names in lower case."""
        raw = self._request.body
        kind = self._request.content_type
        if raw and kind and kind != "application/json" and not kind.endswith("+json"):
            raise Problem(965, "Send JSON, with Content-Type application/json.")
        try:
            found = json.loads(raw or b"{}")
            json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise Problem(965) from None
        if not isinstance(found, dict):
            raise Problem(965, "Send a JSON object.")
        return {name.lower(): value for name, value in found.items()}

    def query(self, name: str) -> str:
        """A value of the query, "" where there is none."""
        value = self._query.get(name.lower(), "")
        if "\x00" in value or len(value) > LONGEST_TEXT:
            raise Problem(908, f"{name} cannot be read.")
        return value

    def text(self, *names: str) -> str:
        """A text of the body under one of these names, "" where there is none."""
        return text_in(self.body, *names)

    def needed(self, name: str) -> str:
        """A text of the body that must be there."""
        found = self.text(name)
        if not found:
            raise Problem(908, f"{name} is required.")
        return found

    def part(self, *names: str) -> dict[str, Any] | None:
        """An object of the body with its names in lower case, None where there is none."""
        for name in names:
            found = self.body.get(name.lower())
            if isinstance(found, dict):
                return {str(key).lower(): value for key, value in found.items()}
            if found not in (None, "", [], {}):
                raise Problem(908, f"{name} must be an object.")
        return None

    def texts(self, *names: str) -> dict[str, str]:
        """An object of texts, such as answers by question."""
        found = self.part(*names) or {}
        return {name: text_in(found, name) for name in found}

    @property
    def pin(self) -> str:
        return self.text("PIN")

    def flag(self, name: str) -> bool:
        """A yes or no of the query."""
        return self.query(name).lower() in ("true", "1")

    def identifier(self, kind: Kind, *names: str) -> Identifier:
        """Who somebody says they are, from the body."""
        return _identified(kind, self.text(*names))

    def identifier_in_query(self, kind: Kind, name: str) -> Identifier:
        """The same from the query, in which one client leaves a plus as it is: it arrives as a space."""
        text = self._query.get(name.lower(), "")
        if kind == Kind.PHONE and text.startswith(" "):
            text = "+" + text[1:]
        if kind == Kind.EMAIL:
            text = text.strip().replace(" ", "+")
        return _identified(kind, text)

    def token(self, kind: Token.Kind, value: str, *, invalid: int, expired: int, locks: bool = False) -> Token:
        """A live token of this kind; the numbers say what else it may be."""
        token = tokens.find(kind, value, locks=locks) if value else None
        if token is None or token.revoked_at is not None or token.used_at is not None:
            raise Problem(invalid)
        if self.now >= token.expires_at:
            raise Problem(expired)
        return token

    @property
    def access_value(self) -> str:
        """The access token that was shown, in the header or in the query."""
        scheme, _, rest = self._request.headers.get("Authorization", "").partition(" ")
        return rest.strip() if scheme.lower() == "bearer" and rest.strip() else self.query("access_token")

    def access(self) -> Token:
        """Whose access token it is; refuses none, unknown ones and those that are over."""
        if not self.access_value:
            raise Problem(1060)
        return self.token(Token.Kind.ACCESS, self.access_value, invalid=905, expired=906)

    def session(self) -> tuple[Token, str]:
        """The PIN session that was shown."""
        value = self.query("session_token") or self.text("session_token")
        return self.token(Token.Kind.SESSION, value, invalid=1245, expired=1246), value

    def header(self, name: str) -> str:
        return self._request.headers.get(name, "")

    def refuse_without_secret(self) -> None:
        """Let only a server of the tenant go on: it shows the pair's secret beside the key."""
        secret = self.header("X-LoginRadius-ApiSecret") or self.query("apisecret")
        if not secret:
            raise Problem(923)
        pair = ApiKey.objects.filter(id=self.by.id or 0, secret_digest__in=digests(secret[:LONGEST_TEXT]))
        if not pair.exists():
            raise Problem(902)

    def subscriber(self) -> Subscriber:
        """The account that the address or the query names by its uid."""
        text = self.values.get("uid") or self.query("uid")
        if not text:
            raise Problem(908, "uid is required.")
        return by_uid(text)


def by_uid(text: str) -> Subscriber:
    """An account by its uid in any spelling; refuses what is none and what is somebody else's alike."""
    compact = text.replace("-", "").lower()
    if len(compact) == 32 and all(digit in "0123456789abcdef" for digit in compact):
        found = Subscriber.objects.filter(uid=compact).first()
        if found is not None:
            return found
    raise Problem(938)


def text_in(found: Mapping[str, Any], *names: str) -> str:
    """A text under one of these names, "" where there is none; a PIN that is a number has lost its zeros."""
    for name in names:
        value = found.get(name.lower())
        if value in (None, ""):
            continue
        if not isinstance(value, str):
            raise Problem(1234 if name.lower().endswith("pin") else 908, f"Send {name} as text.")
        if "\x00" in value or len(value) > LONGEST_TEXT:
            raise Problem(908, f"{name} cannot be read.")
        return value
    return ""


def query_of(request: HttpRequest) -> dict[str, str]:
    """The query with its names in lower case; of two with one name the first counts."""
    try:
        pairs = parse_qsl(request.META.get("QUERY_STRING", ""), max_num_fields=100)
    except ValueError:
        raise Problem(908, "The query has too many parameters.") from None
    return {name.lower(): value for name, value in reversed(pairs)}


def _identified(kind: Kind, text: str) -> Identifier:
    if not text.strip():
        raise Problem(_REQUIRED[kind])
    if "\x00" in text or len(text) > LONGEST:
        raise Problem(908, "This identifier cannot be read.")
    return typed(kind, text)
