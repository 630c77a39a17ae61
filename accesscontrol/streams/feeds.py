"""One poll a second for a tenant and a source, however many follow it; none while nobody does.

Everything here runs in one event loop; only the jobs that ask the database run in a few threads. Whoever joins with
an earlier position reads from there up to the feed's position, and the feed brings what comes after it: the two
meet exactly, so nothing is lost or repeated.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from django.db import close_old_connections
from django.utils import timezone

from accesscontrol.access.following import Position
from accesscontrol.streams.sources import Item, Source
from accounts.callers import Caller
from accounts.callers import still_live as still_live_callers
from accounts.tenancy import tenant_transaction

THREADS: Final = 4
# Of these, for what is long past: whoever reads a year of events holds up no door's commands.
THREADS_FOR_EARLIER: Final = 2
POLL_SECONDS: Final = 1.0
# So long a follower waits for the database before it is told to come again.
START_SECONDS: Final = 10.0
# How long a revoked key goes on receiving, at most.
RECHECK: Final = timedelta(seconds=3)
MOST_AT_ONCE: Final = 500
# Whoever is so far behind is cut off, and goes on from the last id that it got.
MOST_WAITING: Final = 1000
MOST_PER_CALLER: Final = 50
MOST_TOGETHER: Final = 5000

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class TooMany(Exception):
    """This caller, or the process, holds as many connections as it may."""


class Ended(Exception):
    """The follower is cut off; `why` is a code."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True)
class Wanted:
    """What a follower asked for; None is everything that the caller may see."""

    channel_ids: frozenset[int] | None = None
    site_ids: frozenset[int] | None = None
    person_ids: frozenset[int] | None = None

    def takes(self, item: Item, caller: Caller) -> bool:
        """Whether an item is for this follower; a caller of some sites gets nothing of others."""
        if caller.site_ids is not None and item.site_id not in caller.site_ids:
            return False
        return (
            (self.channel_ids is None or item.channel_id in self.channel_ids)
            and (self.site_ids is None or item.site_id in self.site_ids)
            and (self.person_ids is None or item.person_id in self.person_ids)
        )


@dataclass(eq=False)
class Follower:
    """Somebody who holds a connection open."""

    caller: Caller
    wanted: Wanted
    waiting: asyncio.Queue[Item] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    earlier: AsyncIterator[Item] | None = None
    end: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def give(self, item: Item) -> None:
        try:
            self.waiting.put_nowait(item)
        except asyncio.QueueFull:
            self.cut_off("too_slow")

    def cut_off(self, why: str) -> None:
        if not self.end.done():
            self.end.set_result(why)

    async def next(self, seconds: float) -> Item | None:
        """The next item, or None when there was none for so long; raises Ended once it is cut off."""
        if self.earlier is not None:
            async for item in self.earlier:
                if self.end.done():
                    raise Ended(self.end.result())
                return item
            self.earlier = None
        if self.end.done():
            raise Ended(self.end.result())
        if not self.waiting.empty():
            return self.waiting.get_nowait()
        coming = asyncio.ensure_future(self.waiting.get())
        either: set[asyncio.Future[Any]] = {coming, self.end}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            coming.cancel()
        if coming.done() and not coming.cancelled():
            return coming.result()
        if self.end.done():
            raise Ended(self.end.result())
        return None


class Feed:
    """What followers of one tenant and source share: the position, and the poll."""

    def __init__(self, tenant_id: int, source: Source, hub: "Hub") -> None:
        self.tenant_id, self.source, self.hub = tenant_id, source, hub
        self.followers: set[Follower] = set()
        self.task = asyncio.create_task(self._run())
        self.started: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self.position: Position = (0, 0)
        self._checked_at = monotonic()

    async def _run(self) -> None:
        while True:
            began = monotonic()
            is_full = False
            try:
                if not self.started.done():
                    self.position = await self.hub.work(self.tenant_id, self.source.start)
                    self.started.set_result(self.position)
                is_full = await self._poll()
            except Exception as error:  # noqa: BLE001  # the database comes back, and the position stands
                _log.warning("Following %s is held up: %s", self.source.name, type(error).__name__)
            if not is_full:
                await asyncio.sleep(max(0.0, self.hub.poll_seconds - (monotonic() - began)))

    async def _poll(self) -> bool:
        """One transaction for everybody; says whether there may be more at once."""
        callers: set[Caller] = set()
        if monotonic() - self._checked_at >= RECHECK.total_seconds():
            callers = {follower.caller for follower in self.followers}
        position = self.position

        def job() -> tuple[list[Item], set[Caller]]:
            items = list(self.source.read(position, MOST_AT_ONCE))
            return items, still_live_callers(callers, timezone.now()) if callers else set()

        items, live = await self.hub.work(self.tenant_id, job)
        self.hub.polls += 1
        if callers:
            self._checked_at = monotonic()
            for follower in self.followers:
                if follower.caller in callers - live:
                    follower.cut_off("key_ended")
        for item in items:
            self.position = item.position
            for follower in self.followers:
                if follower.wanted.takes(item, follower.caller):
                    follower.give(item)
        return len(items) == MOST_AT_ONCE


class Hub:
    """All feeds of this process."""

    def __init__(self, *, poll_seconds: float = POLL_SECONDS, most_per_caller: int = MOST_PER_CALLER) -> None:
        self.poll_seconds, self.most_per_caller = poll_seconds, most_per_caller
        self.polls = 0
        self._feeds: dict[tuple[int, str], Feed] = {}
        self._held: Counter[tuple[int, str]] = Counter()
        self._earlier = asyncio.Semaphore(THREADS_FOR_EARLIER)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="streams")

    async def work(self, tenant_id: int | None, job: Callable[[], _T]) -> _T:
        """Run a database job in one of the few threads, in a transaction of the tenant where one is named."""

        def run() -> _T:
            close_old_connections()
            try:
                if tenant_id is None:
                    return job()
                with tenant_transaction(tenant_id):
                    return job()
            finally:
                close_old_connections()

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    @asynccontextmanager
    async def follow(
        self, caller: Caller, source: Source, wanted: Wanted, position: Position | None
    ) -> AsyncIterator[Follower]:
        """Follow a source from a position, or from now; raises TooMany."""
        held = (caller.tenant_id, str(caller.actor))
        if self._held[held] >= self.most_per_caller or self._held.total() >= MOST_TOGETHER:
            raise TooMany
        self._held[held] += 1
        key = (caller.tenant_id, source.name)
        follower = Follower(caller, wanted)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(caller.tenant_id, source, self)
        # From here on the feed brings everything past this position.
        joined_at = feed.position if feed.started.done() else None
        feed.followers.add(follower)
        try:
            if joined_at is None:
                joined_at = await asyncio.wait_for(asyncio.shield(feed.started), START_SECONDS)
            if position is not None and position < joined_at:
                follower.earlier = self._catch_up(follower, source, position, joined_at)
            yield follower
        finally:
            feed.followers.discard(follower)
            self._held[held] -= 1
            if not self._held[held]:
                del self._held[held]
            if not feed.followers:
                feed.task.cancel()
                del self._feeds[key]

    async def _catch_up(
        self, follower: Follower, source: Source, position: Position, end: Position
    ) -> AsyncIterator[Item]:
        """What happened between the follower's position and the one at which it joined the feed."""
        while position < end:
            read = partial(source.read, position, MOST_AT_ONCE)
            async with self._earlier:
                items = await self.work(follower.caller.tenant_id, read)
            for item in _up_to(items, end):
                if follower.wanted.takes(item, follower.caller):
                    yield item
            if len(items) < MOST_AT_ONCE:
                return
            position = items[-1].position


def _up_to(items: Iterable[Item], end: Position) -> Iterable[Item]:
    return (item for item in items if item.position <= end)
