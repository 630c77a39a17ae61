"""Every row of a file looked at before anything is written, some hundred at a time, by a tick."""

import logging
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from django.db import connection, transaction

from accesscontrol.people.sheets import Row
from accesscontrol.visits.importing import files
from accesscontrol.visits.importing.judging import Judge, Verdict
from accesscontrol.visits.importing.plans import Plan, plan_of
from accesscontrol.visits.models import Import, ImportPart, ImportRow

_log = logging.getLogger(__name__)
_Fate = ImportRow.Fate
_AT_ONCE = 5000
# Without an object for each row: there may be a hundred thousand.
_LAY_OUT = """
INSERT INTO visits_importrow (tenant_id, source_id, line, twin, fate, field, reason, changed)
SELECT %s, %s, line, twin, 'pending', '', '', '{}' FROM unnest(%s::integer[], %s::integer[]) AS n (line, twin)
"""
_WRITE = """
UPDATE visits_importrow r SET fate = n.fate, field = n.field, reason = n.reason,
    changed = string_to_array(n.changed, ' '), person_id = n.person_id, other_id = n.other_id, seen_at = n.seen_at
FROM unnest(%s::integer[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
    %s::timestamptz[]) AS n (line, fate, field, reason, changed, person_id, other_id, seen_at)
WHERE r.tenant_id = %s AND r.source_id = %s AND r.line = n.line
"""


@transaction.atomic
def work(now: datetime) -> int:
    """Look at some hundred rows of the oldest file that nobody else looks at; returns how many."""
    waiting = Import.objects.filter(state=Import.State.CHECKING).order_by("id")
    source = waiting.select_for_update(skip_locked=True, of=("self",)).first()
    if source is None:
        return 0
    plan = plan_of(source.plan or {})
    if not ImportRow.objects.filter(source=source).exists() and _lay_out(source, plan):
        return 1
    pending = ImportRow.objects.filter(source=source, fate=_Fate.PENDING).order_by("line")
    rows = list(pending.values_list("line", "twin")[: files.PART])
    if not rows:
        Import.objects.filter(pk=source.pk).update(state=Import.State.CHECKED, checked_at=now)
        return 1
    found = [
        (
            line,
            verdict.fate.value,
            verdict.field,
            verdict.reason[:250],
            " ".join(verdict.changed),
            verdict.person and verdict.person.pk,
            verdict.other_id,
            verdict.person and verdict.person.updated_at,
        )
        for line, verdict in _judged(source, plan, rows).items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [*map(list, zip(*found, strict=True)), source.tenant_id, source.pk])
    return len(rows)


def _judged(source: Import, plan: Plan, rows: list[tuple[int, int | None]]) -> dict[int, Verdict]:
    try:
        with transaction.atomic():
            cells = files.rows_of(source, [line for line, _ in rows])
            judge = Judge(plan, [(line, cells[line]) for line, _ in rows])
            return {line: judge.judge(line, twin) for line, twin in rows}
    except Exception as error:  # noqa: BLE001  # told by its kind alone: its text may hold a value
        _log.error("Rows of a file could not be checked (%s)", type(error).__name__)
        return {line: Verdict(_Fate.REFUSED, reason="Something went wrong on our side.") for line, _ in rows}


def _lay_out(source: Import, plan: Plan) -> int:
    """Write down all rows, with the earlier one that each repeats; the row of headings is none."""
    seen: dict[tuple[str, ...], tuple[int, str]] = {}
    total = 0
    rows = _all_rows(source)
    if plan.has_headings:
        next(rows, None)
    # Some thousand at a time: a worker's memory is not to grow with the file.
    while portion := list(islice(rows, _AT_ONCE)):
        lines = [line for line, _ in portion]
        twins = [_twin(seen, line, plan, cells) for line, cells in portion]
        with connection.cursor() as cursor:
            cursor.execute(_LAY_OUT, [source.tenant_id, source.pk, lines, twins])
        total += len(portion)
    Import.objects.filter(pk=source.pk).update(total=total)
    return total


def _all_rows(source: Import) -> Iterator[Row]:
    numbers = ImportPart.objects.filter(source=source).order_by("first_line").values_list("pk", flat=True)
    for number in list(numbers):
        yield from files.opened(ImportPart.objects.get(pk=number))


def _twin(seen: dict[tuple[str, ...], tuple[int, str]], line: int, plan: Plan, cells: list[str]) -> int | None:
    """The earlier row that this one repeats; an address that two ids share means two people."""
    found = plan.cells_of(cells)
    number, mail, card = found.get("system_id", ""), found.get("email", "").lower(), found.get("card", "")
    keys = [key for key in (("id", number), ("mail", mail), ("card", card.casefold())) if key[1]]
    if not number and not mail:
        name = [found.get(part, "").casefold() for part in ("name", "first_name", "last_name")]
        keys.append(("name", *name) if plan.finds_by_name else ("row", *cells))  # type: ignore[arg-type]
    twin = None
    for key in keys:
        before, other = seen.setdefault(key, (line, number))
        if before != line and not (key[0] == "mail" and number and other and number != other):
            twin = min(twin or before, before)
    return twin
