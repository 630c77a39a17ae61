"""Every row of a file looked at before anything is written, some hundred at a time, by a tick."""

import logging
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from django.db import transaction

from accesscontrol.people.sheets import Row
from accesscontrol.visits.importing import files
from accesscontrol.visits.importing.judging import Judge, Verdict
from accesscontrol.visits.importing.plans import Plan, plan_of
from accesscontrol.visits.models import Import, ImportPart, ImportRow

_log = logging.getLogger(__name__)
_Fate = ImportRow.Fate
_AT_ONCE = 5000
_WRITTEN = ["fate", "field", "reason", "changed", "person", "other", "seen_at"]


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
    rows = list(pending[: files.PART])
    if not rows:
        Import.objects.filter(pk=source.pk).update(state=Import.State.CHECKED, checked_at=now)
        return 1
    verdicts = _judged(source, plan, rows)
    for row in rows:
        verdict = verdicts[row.line]
        row.fate, row.field, row.reason = verdict.fate, verdict.field, verdict.reason[:250]
        row.changed, row.person, row.other_id = verdict.changed, verdict.person, verdict.other_id
        row.seen_at = verdict.person.updated_at if verdict.person else None
    ImportRow.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["tenant", "source", "line"], update_fields=_WRITTEN
    )
    return len(rows)


def _judged(source: Import, plan: Plan, rows: list[ImportRow]) -> dict[int, Verdict]:
    try:
        with transaction.atomic():
            cells = files.rows_of(source, [row.line for row in rows])
            judge = Judge(plan, [(row.line, cells[row.line]) for row in rows])
            return {row.line: judge.judge(row.line, row.twin) for row in rows}
    except Exception as error:  # noqa: BLE001  # told by its kind alone: its text may hold a value
        _log.error("Rows of a file could not be checked (%s)", type(error).__name__)
        return {row.line: Verdict(_Fate.REFUSED, reason="Something went wrong on our side.") for row in rows}


def _lay_out(source: Import, plan: Plan) -> int:
    """Write down all rows, with the earlier one that each repeats; the row of headings is none."""
    seen: dict[tuple[str, ...], tuple[int, str]] = {}
    total = 0
    rows = _all_rows(source)
    if plan.has_headings:
        next(rows, None)
    # Some thousand at a time: a worker's memory is not to grow with the file.
    while portion := list(islice(rows, _AT_ONCE)):
        ImportRow.objects.bulk_create(
            ImportRow(source=source, line=line, twin=_twin(seen, line, plan, cells)) for line, cells in portion
        )
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
