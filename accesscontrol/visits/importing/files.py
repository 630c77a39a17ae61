"""A file of people on its way: uploaded, planned, looked at again, started, discarded, and forgotten once applied.

Its rows are personal data and hold the numbers of cards: they stand sealed until then, and a day at most where nobody
starts it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Q

from accesscontrol.people import sheets
from accesscontrol.people.sheets import Row
from accesscontrol.visits.importing.plans import Plan, require_whole
from accesscontrol.visits.models import Batch, Import, ImportPart, ImportRow
from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries.nudge import nudge_task
from pins.vault.sealing import open_json, seal_json

LIMITS: Final = sheets.Limits(most_bytes=20_000_000, most_rows=100_001, most_rows_of_workbook=20_001)
KEEP: Final = timedelta(days=1)
PART = 500
TASK: Final = "accesscontrol.visits.tasks.work_off"
_TABLE = ImportPart._meta.db_table
_State = Import.State
_Fate = ImportRow.Fate


class NoRows(Refusal):
    code = "empty"
    field = "file"
    text = "There is nobody in this file."


class StartedAlready(Refusal):
    code = "started_already"
    status = 409
    text = "This file is being applied already."


class NotChecked(Refusal):
    code = "not_checked"
    status = 409
    text = "This file is still being checked."


class NothingToDo(Refusal):
    code = "nothing_to_do"
    text = "No row of this file would change anything."


@transaction.atomic
def upload(name: str, content: bytes, *, by: audit.Actor, now: datetime) -> Import:
    """Keep a file, sealed; refuses what cannot be read, is too large or empty."""
    rows = sheets.read(content, LIMITS)
    if not rows:
        raise NoRows
    source = Import.objects.create(
        name=name[-120:] or "file", total=len(rows), actor_kind=by.kind, actor_id=by.id, created_at=now
    )
    portions = list(_portions(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [_TABLE, len(portions)]
        )
        numbers = [number for (number,) in cursor.fetchall()]
    tenant_id = current_tenant_id()
    ImportPart.objects.bulk_create(
        (
            ImportPart(
                id=number,
                source=source,
                first_line=portion[0][0],
                last_line=portion[-1][0],
                sealed=seal_json(portion, tenant_id=tenant_id, table=_TABLE, row_id=number),
            )
            for number, portion in zip(numbers, portions, strict=True)
        ),
        batch_size=50,
    )
    audit.record("upload", "import", source.pk, by=by, now=now)
    return source


def _portions(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), PART):
        yield rows[start : start + PART]


def opened(part: ImportPart) -> list[Row]:
    """The rows of a part."""
    found = open_json(bytes(part.sealed or b""), tenant_id=current_tenant_id(), table=_TABLE, row_id=part.pk)
    return [(line, cells) for line, cells in found]


def rows_of(source: Import, lines: Iterable[int]) -> dict[int, list[str]]:
    """The cells of these rows, as long as they are kept; opens no part that holds none of them."""
    wanted = set(lines)
    parts = ImportPart.objects.filter(source=source).order_by("first_line")
    starts = list(parts.values_list("first_line", flat=True))
    firsts = {starts[bisect_right(starts, line) - 1] for line in wanted} if starts else set()
    found = parts.filter(first_line__in=firsts)
    return {line: cells for part in found for line, cells in opened(part) if line in wanted}


def head(source: Import, most: int = 5) -> list[Row]:
    """The first rows."""
    part = ImportPart.objects.filter(source=source).order_by("first_line").first()
    return opened(part)[:most] if part else []


@transaction.atomic
def check(source: Import, plan: Plan, *, by: audit.Actor, now: datetime) -> None:
    """Have every row looked at under this plan, in the place of what was found before; nothing is written."""
    require_whole(plan)
    held = _hold(source)
    ImportRow.objects.filter(source=held).delete()
    held.plan, held.state, held.checked_at = plan.as_json(), _State.CHECKING, None
    held.save(update_fields=["plan", "state", "checked_at"])
    audit.record("check", "import", held.pk, by=by, now=now, fields=sorted({name for name in plan.columns if name}))
    nudge_task(TASK)


@transaction.atomic
def start(source: Import, *, by: audit.Actor, now: datetime) -> Batch:
    """Have the rows that add or change somebody worked off; refuses a second time, and where there is none."""
    held = _hold(source)
    if held.state != _State.CHECKED:
        raise NotChecked
    doing = ImportRow.objects.filter(source=held, fate__in=[_Fate.NEW, _Fate.CHANGED])
    total = doing.count()
    if not total:
        raise NothingToDo
    batch = Batch.objects.create(
        kind=Batch.Kind.IMPORT,
        source=held,
        total=total,
        actor_kind=by.kind,
        actor_id=by.id,
        created_at=now,
        started_at=now,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO visits_batchitem (tenant_id, batch_id, row_id, state, reason) "
            "SELECT tenant_id, %s, id, 'pending', '' FROM visits_importrow "
            "WHERE tenant_id = %s AND source_id = %s AND fate IN ('new', 'changed') ORDER BY line",
            [batch.pk, current_tenant_id(), held.pk],
        )
    Import.objects.filter(pk=held.pk).update(state=_State.APPLYING)
    audit.record("apply", "import", held.pk, by=by, now=now)
    nudge_task(TASK)
    return batch


@transaction.atomic
def finish(source_id: int) -> None:
    """Erase the content of a file that was applied; what became of its rows stays."""
    Import.objects.filter(pk=source_id).update(state=_State.FINISHED)
    ImportPart.objects.filter(source_id=source_id).delete()


@transaction.atomic
def discard(source: Import, *, by: audit.Actor, now: datetime) -> None:
    """Forget a file that was not applied; refuses one that is."""
    held = _hold(source)
    audit.record("discard", "import", held.pk, by=by, now=now)
    _forget("id = %s", held.pk)


def forget_people(person_ids: Iterable[int]) -> None:
    """Take the rows of people who are erased out of files that still wait, and their names out of what was found."""
    ids = list(person_ids)
    ImportRow.objects.filter(Q(person_id__in=ids) | Q(other_id__in=ids)).exclude(reason="").update(reason="")
    rows = ImportRow.objects.filter(person_id__in=ids).exclude(source__state=_State.FINISHED)
    lines: dict[int, set[int]] = {}
    for source_id, line in rows.values_list("source_id", "line"):
        lines.setdefault(source_id, set()).add(line)
    for part in ImportPart.objects.filter(source_id__in=lines).exclude(sealed=None):
        gone = {line for line in lines[part.source_id] if part.first_line <= line <= part.last_line}
        if gone:
            kept = [(line, [""] * len(cells) if line in gone else cells) for line, cells in opened(part)]
            part.sealed = seal_json(kept, tenant_id=current_tenant_id(), table=_TABLE, row_id=part.pk)
            part.save(update_fields=["sealed"])
    rows.update(fate=_Fate.REFUSED, reason="This person was erased in the meantime.", changed=[])


def discard_stale(now: datetime) -> None:
    """Forget files of the current tenant that nobody applied for a day."""
    _forget("created_at <= %s AND state NOT IN ('applying', 'finished')", now - KEEP)


def _forget(condition: str, value: int | datetime) -> None:
    # Its rows go by the database's own rule: there may be a hundred thousand.
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM visits_import WHERE tenant_id = %s AND {condition}", [current_tenant_id(), value])


def _hold(source: Import) -> Import:
    held = Import.objects.select_for_update(of=("self",)).get(pk=source.pk)
    if held.state in (_State.APPLYING, _State.FINISHED):
        raise StartedAlready
    return held
