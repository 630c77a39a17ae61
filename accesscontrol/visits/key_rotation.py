"""Another PIN key for everything that is sealed, while the product serves.

A key is added, made current once every process can know it, and the old one taken away once nothing needs it. Which
step is next stands in the key file and the rows alone, so a run that was killed is gone on with by the next one.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from accesscontrol.credentials import resealing as credentials
from accounts import tenants
from accounts.audit import Actor
from accounts.refusals import Refusal
from accounts.tenancy import tenant_transaction
from pins.codes import erasing as codes
from pins.signin import rekeying as signin
from pins.signin.staff import rewrapping as apps
from pins.vault.key_file import KeyFile
from pins.vault.resealing import Batch, columns

MOST_WAITING_SECONDS = 600
_PASSED_OVER_SECONDS = 30
# The application's own role sees its other connections, behind a pooling proxy too.
_OLDER_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
    AND pid <> pg_backend_pid() AND xact_start < %s
"""

Tell = Callable[[str], None]
Show = Callable[[int, int], None]


class StillBusy(Refusal):
    code = "still_busy"
    text = "A transaction of the product has been open for 10 minutes: end it, and run this again."


@dataclass
class Outcome:
    """The current key, the ones that are gone, and what keeps the others."""

    current: int
    retired: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """How much there is under each key version, over all tenants."""

    credentials: Counter[int] = field(default_factory=Counter)
    fingerprints: Counter[int] = field(default_factory=Counter)
    others: Counter[int] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    sign_in_pins: Counter[int] = field(default_factory=Counter)


def rotate(
    file: KeyFile,
    *,
    clock: Callable[[], datetime],
    pause: float,
    tell: Tell,
    show: Show,
    forgets_pins: bool = False,
) -> Outcome:
    """Begin a rotation, or go on with the one that was begun; `pause` seconds after a change every process knows it.

    A sign-in PIN moves to the new key when it is entered; with `forgets_pins` those that were not are taken away.
    """
    # Why every collision is caught meanwhile: a value has a fingerprint under each key that whoever issued it knew.
    # Before `make_current` all know the old key, and whoever knows both writes both; so a process that does not know
    # the new key yet collides under the old one. The old one goes when each value has a fingerprint under the new
    # key, which by then everybody has known for long; so whoever still reads the old one collides under the new one.
    ring = file.ring()
    if len(ring.keys) == 1 and _count_retired(ring.current):
        tell("Deleting what an earlier run left of keys that are gone.")
        _settle(pause)
        return Outcome(ring.current, retired=_drop_retired(ring.current))
    if len(ring.keys) == 1:
        version = file.add()
        tell(f"PIN key {version} is added to {file.path}. Copy that file to where your copy of the keys is kept.")
    else:
        version = max(ring.keys)
        tell(f"Going on with PIN key {version}.")
    if file.ring().current != version:
        _settle(pause)
        file.make_current(version)
        tell(f"PIN key {version} is current.")
    # From here on nothing new appears that has no fingerprint under this key or is sealed under another.
    _settle(pause)
    outcome = Outcome(version)
    outcome.faults = [*_reseal_all(version, show), *apps.rewrap(version)]
    if forgets_pins:
        for tenant_id in tenants.all_ids():
            with tenant_transaction(tenant_id):
                signin.forget_behind(version, by=Actor("command"), now=clock())
    outcome.left = [line for tenant_id in tenants.all_ids() for line in _left(tenant_id, version, clock())]
    if behind := sum(count for other, count in apps.count_by_version().items() if other != version):
        outcome.left.append(_counted(behind, "authenticator app", "authenticator apps"))
    if outcome.faults or outcome.left:
        return outcome
    # Somebody may have read a value before it was sealed anew, and open it now.
    _settle(pause)
    file.take_away(file.ring().keys.keys() - {version})
    # Who still knows the old key writes fingerprints of it, until all have read the file again.
    _settle(pause)
    outcome.retired = sorted({*(ring.keys.keys() - {version}), *_drop_retired(version)})
    return outcome


def counts(now: datetime) -> Counts:
    """What is sealed and found under each key."""
    found = Counts()
    for tenant_id in tenants.all_ids():
        with tenant_transaction(tenant_id):
            found.credentials.update(credentials.count_by_version())
            found.fingerprints.update(credentials.count_fingerprints())
            for column in columns():
                found.others.update(column.count_by_version())
            found.sign_in_pins.update(signin.count_by_version())
            found.codes.update({version: count for version, (count, _) in codes.open_by_key_version(now).items()})
    found.others.update(apps.count_by_version())
    return found


def _rooms() -> list[tuple[str, str, Any]]:
    """What is sealed: credentials, whose fingerprints need successors as well, and every other sealed column."""
    return [("credential", "credentials", credentials), *((each.name, each.plural, each) for each in columns())]


def _settle(pause: float) -> None:
    """Wait until every process has read the key file again, and whatever was begun before that has ended."""
    time.sleep(pause)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [moment] = cursor.fetchone()
        end = time.monotonic() + MOST_WAITING_SECONDS
        while True:
            cursor.execute(_OLDER_TRANSACTIONS, [moment])
            if cursor.fetchone() == (0,):
                return
            if time.monotonic() > end:
                raise StillBusy
            time.sleep(0.1)


def _reseal_all(version: int, show: Show) -> list[str]:
    tenant_ids = tenants.all_ids()
    total = done = 0
    for tenant_id in tenant_ids:
        with tenant_transaction(tenant_id):
            total += sum(room.count_behind(version) for *_, room in _rooms())
    show(0, total)
    faults: list[str] = []
    for tenant_id in tenant_ids:
        for name, _, room in _rooms():
            found: dict[int, str] = {}
            for batch in _batches(tenant_id, room.reseal, room.count_behind, version):
                done += batch.done
                found |= batch.faults
                show(done, total)
            faults += [f"{name} {row_id} of tenant {tenant_id}: {words}" for row_id, words in sorted(found.items())]
    return faults


def _batches(
    tenant_id: int, reseal: Callable[..., Batch], count_behind: Callable[[int], int], version: int
) -> Iterator[Batch]:
    """Rounds over the rows of one tenant, a transaction a batch, until only faults are behind."""
    end = time.monotonic() + _PASSED_OVER_SECONDS
    while True:
        after: int | None = 0
        faults = 0
        while after is not None:
            with tenant_transaction(tenant_id):
                batch = reseal(version, after=after)
            after = batch.last_id
            faults += len(batch.faults)
            yield batch
        with tenant_transaction(tenant_id):
            if count_behind(version) <= faults or time.monotonic() > end:
                return
        time.sleep(0.2)


def _left(tenant_id: int, version: int, now: datetime) -> Iterator[str]:
    """Why the older keys are still needed in this tenant."""
    with tenant_transaction(tenant_id):
        for name, plural, room in _rooms():
            if behind := room.count_behind(version):
                yield f"{_counted(behind, name, plural)} of tenant {tenant_id}"
        for other, count in signin.count_by_version().items():
            if other != version:
                counted = _counted(count, "sign-in PIN", "sign-in PINs")
                yield f"{counted} of tenant {tenant_id}, until entered next"
        for other, (count, last) in codes.open_by_key_version(now).items():
            if other != version:
                counted = _counted(count, "one-time code", "one-time codes")
                yield f"{counted} of tenant {tenant_id}, until {last:%Y-%m-%d %H:%M} UTC"


def _counted(count: int, name: str, plural: str) -> str:
    return f"{count} {name if count == 1 else plural}"


def _count_retired(current: int) -> int:
    total = 0
    for tenant_id in tenants.all_ids():
        with tenant_transaction(tenant_id):
            total += credentials.count_retired(current)
    return total


def _drop_retired(current: int) -> list[int]:
    """Delete the fingerprints of keys that are gone, where a successor stands; returns the versions."""
    gone: set[int] = set()
    for tenant_id in tenants.all_ids():
        while True:
            with tenant_transaction(tenant_id):
                dropped = credentials.drop_retired(current)
            if not dropped:
                break
            gone |= dropped
    return sorted(gone)
