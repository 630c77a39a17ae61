"""How often somebody may ask: so many requests in a minute that begins with the first of them.

Redis counts in one step, which is exact over all threads, processes and machines. While Redis does not answer,
each process counts for itself; after one failed try nobody waits for Redis again for 10 s.
"""

import logging
import math
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network
from time import monotonic
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.retry import Retry

MINUTE: Final = timedelta(minutes=1)
PAUSE_SECONDS: Final = 10.0
_MOST_SUBJECTS: Final = 10_000

_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """What is left of a limit: `reset_at` is Unix time, `retry_after` seconds, 0 while a request is allowed."""

    limit: int
    remaining: int
    reset_at: int
    retry_after: int = 0

    @property
    def is_allowed(self) -> bool:
        return self.retry_after == 0

    @property
    def headers(self) -> dict[str, str]:
        """As the contracts spell them."""
        shown = {"Limit": self.limit, "Remaining": self.remaining, "Reset": self.reset_at}
        return {f"X-RateLimit-{name}": str(value) for name, value in shown.items()}


def take(subject: str, *, most: int, now: datetime, within: timedelta = MINUTE) -> Rate:
    """Count one request of this subject; of those `within` a minute of the first, `most` are allowed."""
    counted = _circuit.count(subject, within) or _own.count(subject, within)
    count, left = counted
    retry_after = max(1, math.ceil(left)) if count > most else 0
    return Rate(most, max(0, most - count), math.ceil(now.timestamp() + left), retry_after)


def sender(request: HttpRequest) -> str:
    """Whom a request is counted for before anybody is known: the address, of IPv6 the network that one house has.

    Behind a proxy that is what the proxy added last; what stands before it was written by whoever asks.
    """
    shown = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        shown = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or shown
    try:
        address = ip_address(shown)
    except ValueError:
        return str(shown)[:60]
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((int(address), 64), strict=False))
    return str(address)


def nothing(now: datetime) -> Rate:
    """The limit of those who may not ask at all."""
    return Rate(0, 0, math.ceil(now.timestamp()))


class _Circuit:
    """The way to Redis, closed for a while after it led nowhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paused_until = float("-inf")

    def count(self, subject: str, within: timedelta) -> tuple[int, float] | None:
        """The number of this request and the seconds that its minute has left; None while Redis is away."""
        if self._paused_until != float("-inf"):
            with self._lock:
                if monotonic() < self._paused_until:
                    return None
                # One request tries; the others must not wait with it.
                self._paused_until = monotonic() + PAUSE_SECONDS
        try:
            count, left = _script(settings.REDIS_URL)(
                keys=[f"gatehouse:rate:{subject}"], args=[round(within.total_seconds() * 1000)]
            )
        except (RedisError, OSError) as error:
            with self._lock:
                self._paused_until = monotonic() + PAUSE_SECONDS
            _log.warning("Redis does not count requests (%s); this process does.", type(error).__name__)
            return None
        self._paused_until = float("-inf")
        return int(count), max(0, int(left)) / 1000


class _Own:
    """The count of this process alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    def count(self, subject: str, within: timedelta) -> tuple[int, float]:
        moment = monotonic()
        with self._lock:
            if len(self._counts) >= _MOST_SUBJECTS:
                self._counts = {name: kept for name, kept in self._counts.items() if moment < kept[1]}
            count, until = self._counts.get(subject, (0, 0.0))
            if moment >= until:
                count, until = 0, moment + within.total_seconds()
            self._counts[subject] = (count + 1, until)
        return count + 1, until - moment


@cache
def _script(url: str) -> Any:
    patience = settings.BROKER_TIMEOUT_SECONDS
    # One retry, for a connection that Redis closed while it was idle; never one after a time-out.
    retry = Retry(NoBackoff(), 1, supported_errors=(NotConnected,))
    client = Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=patience, retry=retry)
    return client.register_script(_COUNT)


_circuit = _Circuit()
_own = _Own()
