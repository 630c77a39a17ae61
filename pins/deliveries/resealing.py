"""Another PIN key, for messages that are still to be sent: failed ones are kept for days, longer than a key must be."""

from pins.deliveries.models import Delivery
from pins.vault import resealing
from pins.vault.resealing import Batch
from pins.vault.sealing import Tampered

TABLE = Delivery._meta.db_table


def reseal(version: int, *, after: int) -> Batch:
    """Seal up to 200 messages past `after` under this, the current key."""
    batch, anew = Batch(), {}
    for row_id, content in resealing.lock_behind(TABLE, "content", after=after, version=version):
        batch.last_id = row_id
        try:
            _, sealed = resealing.reopened(content or b"", table=TABLE, row_id=row_id)
        except Tampered as fault:
            batch.faults[row_id] = str(fault)
            continue
        if sealed:
            anew[row_id] = sealed
    resealing.write(TABLE, "content", anew)
    batch.done = len(anew)
    return batch


def count_behind(version: int) -> int:
    """How many messages of the current tenant another key seals."""
    return sum(count for other, count in count_by_version().items() if other != version)


def count_by_version() -> dict[int, int]:
    """How many messages of the current tenant hold content under each key."""
    return resealing.count_by_version(TABLE, "content")
