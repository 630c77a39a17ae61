"""Where requests may go: to the public internet, and to the networks that the settings name.

A name is resolved once, every address it has is judged, and the connection is made to a judged address itself: what
the name server says a moment later changes nothing. Redirects are not followed.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from django.conf import settings

from accounts.refusals import Refusal

_NAT64 = ip_network("64:ff9b::/96")
# What IANA has given out at all.
_PUBLIC_IPV6 = ip_network("2000::/3")
_LONGEST = 500


class UnusableAddress(Refusal):
    code = "unusable_address"
    field = "url"
    text = "Write a whole address, such as https://example.com/hooks."


class InternalAddress(Refusal):
    code = "internal_address"
    field = "url"
    text = "This address is inside a private network. Only public addresses are told, or those the operator allows."


class NotEncrypted(Refusal):
    code = "not_encrypted"
    field = "url"
    text = "Use https: what is sent tells who goes where."


class Unresolved(Refusal):
    code = "name_not_found"
    field = "url"
    text = "The name in this address is not known."


@dataclass(frozen=True)
class Target:
    """Where one request goes; `host` is what the certificate and the Host header name."""

    is_encrypted: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.is_encrypted else 80) else f"{name}:{self.port}"


def read(url: str) -> Target:
    """Take an address apart; refuses what is none, what carries a password, and what can be seen to be internal."""
    if len(url) > _LONGEST or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise UnusableAddress
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise UnusableAddress from None
    if parts.scheme not in ("http", "https") or not host or "%" in host or port == 0 or "\\" in url:
        raise UnusableAddress
    if parts.username is not None or parts.password is not None:
        raise UnusableAddress("Leave user name and password out of the address.")
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise UnusableAddress from None
    is_encrypted = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise UnusableAddress("Write the path in ASCII, percent-encoded.")
    target = Target(is_encrypted, host, port or (443 if is_encrypted else 80), path)
    if literal := _literal(host):
        judge(literal, is_encrypted=is_encrypted)
    elif not is_encrypted and not settings.WEBHOOK_ALLOWED_NETWORKS:
        raise NotEncrypted
    return target


def addresses_of(target: Target) -> list[str]:
    """The addresses that the name has now; refuses where any of them is internal, and where it has none."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unresolved from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        judge(ip_address(address), is_encrypted=target.is_encrypted)
    return addresses


def judge(address: IPv4Address | IPv6Address, *, is_encrypted: bool) -> None:
    """Refuse an address that is not public, and a public one without encryption; allowed networks pass."""
    allowed = [ip_network(network, strict=False) for network in settings.WEBHOOK_ALLOWED_NETWORKS]
    meant = _meant(address)
    if any(address in network or meant in network for network in allowed):
        return
    is_public = meant.is_global and not (meant.is_multicast or meant.is_reserved)
    if not is_public or (isinstance(meant, IPv6Address) and meant not in _PUBLIC_IPV6):
        raise InternalAddress
    if not is_encrypted:
        raise NotEncrypted


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one: mapped, translated, or tunnelled, it is reached all the same."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address in _NAT64 or number >> 32 == 0:
        return IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    return address


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host writes out, also as the system reads 127.1, 0x7f000001 or 2130706433."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        if host.rstrip(".").lower().rpartition(".")[2] == "localhost":
            return ip_address("127.0.0.1")
        return None
    return ip_address(str(found[0][4][0]))
