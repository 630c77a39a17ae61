"""Another PIN key, for credentials: the value is sealed anew, and every fingerprint gets its successor.

Only a value that opens for its row and has the digest that stands beside it is touched. Anything else was changed
or exchanged in the database: it is reported by id and left as it was found.
"""

import hmac
from typing import Any

from django.db import connection

from accesscontrol.credentials.models import Credential, CredentialType
from accounts.tenancy import current_tenant_id
from pins.policy import duress
from pins.vault import fingerprints, resealing
from pins.vault.models import Fingerprint
from pins.vault.resealing import Batch
from pins.vault.sealing import Tampered

TABLE = Credential._meta.db_table
_PRINTS = Fingerprint._meta.db_table

_SUCCESSOR = (
    f"SELECT FROM {_PRINTS} s WHERE s.tenant_id = f.tenant_id AND s.holder_id = f.holder_id AND s.kind = f.kind "
    "AND s.key_version = %(version)s"
)
# One probe by holder for each row: asked for the version too, the planner may read all rows of a key each time.
_LACKS_SUCCESSOR = (
    f"EXISTS (SELECT FROM {_PRINTS} f WHERE f.tenant_id = c.tenant_id AND f.holder_id = c.id "
    "GROUP BY f.kind HAVING NOT bool_or(f.key_version = %(version)s))"
)
# Two rows that hold one value would collide under the old key already: whatever conflicts here is no issued value.
_ADD = f"""
    INSERT INTO {_PRINTS} (tenant_id, key_version, digest, kind, holder_id)
    SELECT %(tenant)s, %(version)s, n.digest, n.kind, n.holder_id
    FROM unnest(%(digests)s::bytea[], %(kinds)s::text[], %(holders)s::bigint[]) AS n (digest, kind, holder_id)
    ON CONFLICT DO NOTHING RETURNING holder_id, kind
"""
_RETIRED = f"{_PRINTS} f WHERE f.tenant_id = %(tenant)s AND f.key_version <> %(version)s AND EXISTS ({_SUCCESSOR})"
_DROP = f"""
    DELETE FROM {_PRINTS} WHERE tenant_id = %(tenant)s
    AND id = ANY (ARRAY(SELECT f.id FROM {_RETIRED} LIMIT %(limit)s)) RETURNING key_version
"""


def reseal(version: int, *, after: int) -> Batch:
    """Bring up to 200 credentials past `after` under this, the current key."""
    batch = Batch()
    rows = resealing.lock_behind(TABLE, "sealed", needs_more=_LACKS_SUCCESSOR, after=after, version=version)
    ids = [row_id for row_id, _ in rows]
    types = dict(Credential.objects.filter(pk__in=ids).values_list("pk", "type"))
    held: dict[int, list[Fingerprint]] = {row_id: [] for row_id in ids}
    for print_ in Fingerprint.objects.filter(holder_id__in=ids):
        held[print_.holder_id].append(print_)
    anew: dict[int, bytes] = {}
    missing: dict[tuple[int, str], bytes] = {}
    for row_id, sealed in rows:
        batch.last_id = row_id
        try:
            value, resealed = resealing.reopened(sealed or b"", table=TABLE, row_id=row_id)
        except Tampered as fault:
            batch.faults[row_id] = str(fault)
            continue
        successors = _successors(value, CredentialType(types[row_id]).slug, held[row_id], version)
        if successors is None:
            batch.faults[row_id] = "its fingerprint stands for another value"
            continue
        missing |= {(row_id, kind): digest for kind, digest in successors.items()}
        if resealed:
            anew[row_id] = resealed
    resealing.write(TABLE, "sealed", anew)
    for row_id, _ in missing.keys() - _add(missing, version):
        batch.faults[row_id] = "another credential has the fingerprint of its value"
    batch.done = len(ids) - len(batch.faults)
    return batch


def _successors(value: str, type: str, held: list[Fingerprint], version: int) -> dict[str, bytes] | None:
    """The digests that are missing under this key, by kind; None where a digest is not that of the value."""
    by_kind = {
        kind: fingerprints.digests(text, type=type)
        for kind, text in _values(value).items()
        if any(one.kind == kind for one in held)
    }
    for one in held:
        if one.kind not in by_kind:
            return None
        known = by_kind[one.kind].get(one.key_version)
        # A version that is no longer live cannot be compared.
        if known is not None and not hmac.compare_digest(known, bytes(one.digest)):
            return None
    there = {one.kind for one in held if one.key_version == version}
    return {kind: digests[version] for kind, digests in by_kind.items() if kind not in there}


def _values(value: str) -> dict[str, str]:
    """What a credential holds under each kind: its value, and under duress the one with the last digit plus one."""
    values: dict[str, str] = {Fingerprint.Kind.PLAIN: value}
    if value[-1:].isdigit():
        values[Fingerprint.Kind.DURESS] = duress(value)
    return values


def _add(missing: dict[tuple[int, str], bytes], version: int) -> set[tuple[int, str]]:
    if not missing:
        return set()
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "version": version,
        "digests": list(missing.values()),
        "kinds": [str(kind) for _, kind in missing],
        "holders": [row_id for row_id, _ in missing],
    }
    with connection.cursor() as cursor:
        cursor.execute(_ADD, values)
        return set(cursor.fetchall())


def count_behind(version: int) -> int:
    """How many credentials of the current tenant this key does not seal yet, or lack a successor under it."""
    sql = (
        f"SELECT count(*) FROM {TABLE} c WHERE c.tenant_id = %(tenant)s "
        f"AND ({resealing.is_behind('c.sealed')} OR {_LACKS_SUCCESSOR})"
    )
    values: dict[str, Any] = {"tenant": current_tenant_id(), "version": version, "head": resealing.head_of(version)}
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.fetchone()[0])


def count_retired(version: int) -> int:
    """How many fingerprints of the current tenant `drop_retired` would delete."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {_RETIRED}", {"tenant": current_tenant_id(), "version": version})
        return int(cursor.fetchone()[0])


def drop_retired(version: int) -> set[int]:
    """Delete up to 2,000 fingerprints of other keys than the only live one; returns their versions.

    Those without a successor stay: they are all that is left of a value.
    """
    values = {"tenant": current_tenant_id(), "version": version, "limit": 10 * resealing.BATCH}
    with connection.cursor() as cursor:
        cursor.execute(_DROP, values)
        return {version for (version,) in cursor.fetchall()}


def count_by_version() -> dict[int, int]:
    """How many credentials of the current tenant each key seals."""
    return resealing.count_by_version(TABLE, "sealed")


def count_fingerprints() -> dict[int, int]:
    """How many fingerprints of the current tenant each key has."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT key_version, count(*) FROM {_PRINTS} WHERE tenant_id = %s GROUP BY 1", [current_tenant_id()]
        )
        return dict(cursor.fetchall())
