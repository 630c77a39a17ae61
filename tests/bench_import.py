"""How long a file of 100,000 people takes, upload to last row: `python -m tests.bench_import [rows [applied]]`.

Embedded servers in a folder that is thrown away, as the application's role under row security; one worker. Told are the
seconds of wall time, the processor time of this process (a busy machine blurs only the first), its statements for 1,000
rows, and the most memory that it ever took.
"""

import io
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench_board import run

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
# So many rows of the file are written, if not all.
APPLIED = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS
COLUMNS = ["system_id", "first_name", "last_name", "email", "mobile", "department", "groups", "card"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "var", measure)


def rows() -> Iterator[list[str]]:
    yield COLUMNS
    for number in range(ROWS):
        yield [
            f"{number}",
            f"First{number}",
            f"Last{number}",
            f"person{number}@example.com",
            f"+4930{1_000_000 + number}",
            f"Department {number % 50}",
            f"Group {number % 20}",
            f"C{number}",
        ]


class Counting:
    def __init__(self) -> None:
        self.statements = 0

    def __call__(self, execute: Any, *given: Any) -> Any:
        self.statements += 1
        return execute(*given)


def peak() -> float:
    """The most memory this process took so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(what: str, number: int, deed: Callable[[], Any]) -> Any:
    from django.db import connection

    counting = Counting()
    wall, cpu = time.perf_counter(), time.process_time()
    with connection.execute_wrapper(counting):
        result = deed()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    each = counting.statements / number * 1000
    print(
        f"{what}: {wall:.1f} s, processor {cpu:.1f} s, {each:,.1f} statements for 1,000 rows, peak {peak():.0f} MB",
        flush=True,
    )
    return result


def measure() -> None:
    from django.core.management import call_command
    from django.utils import timezone
    from openpyxl import Workbook

    from accesscontrol.people import sheets
    from accesscontrol.visits import batches
    from accesscontrol.visits.importing import checking, files
    from accesscontrol.visits.importing.plans import Plan
    from accesscontrol.visits.models import Batch, Import
    from accounts.tenancy import tenant_transaction
    from tests import world

    call_command("migrate", verbosity=0)
    [acme] = world.tenants_named("Acme")
    now = timezone.now()
    text = "\n".join(",".join(row) for row in rows()).encode()
    print(f"{ROWS:,} rows; CSV {len(text) / 1e6:.1f} MB; {peak():.0f} MB before anything is done", flush=True)

    def inside(deed: Callable[[], Any]) -> Any:
        with tenant_transaction(acme.pk):
            return deed()

    def check() -> None:
        while inside(lambda: checking.work(timezone.now())):
            pass

    def apply() -> None:
        while inside(lambda: batches.work(timezone.now())):
            if inside(lambda: Batch.objects.get().worked_off) >= APPLIED:
                return

    source = timed("upload the CSV", ROWS, lambda: inside(lambda: files.upload("a.csv", text, by=world.BY, now=now)))
    plan = Plan(columns=COLUMNS, creates_groups=True)
    inside(lambda: files.check(source, plan, by=world.BY, now=now))
    timed("check every row", ROWS, check)
    source = inside(Import.objects.get)
    timed("start", ROWS, lambda: inside(lambda: files.start(source, by=world.BY, now=now)))
    most = min(APPLIED, ROWS)
    timed(f"apply {most:,} rows", most, apply)
    least = min(ROWS, files.LIMITS.most_rows_of_workbook - 1)
    book, packed = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet()
    for row, _ in zip(rows(), range(least + 1), strict=False):
        sheet.append(row)
    book.save(packed)
    content = packed.getvalue()
    timed(f"read a workbook of {least:,} rows", least, lambda: sheets.read(content, files.LIMITS))


if __name__ == "__main__":
    main()
