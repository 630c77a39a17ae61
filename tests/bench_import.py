"""How long a file of 100,000 people takes: `python -m tests.bench_import [rows]`.

Embedded servers in a folder that is thrown away, as the application's role under row security; one worker. Told are the
seconds of wall time, and of the processor time of this process (a busy machine blurs only the first).
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench_board import run

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
# So many rows of the file are written; the rest would take as long each.
APPLIED = 5_000
COLUMNS = ["system_id", "first_name", "last_name", "email", "mobile", "department", "groups", "card"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "var", measure)


def rows() -> list[list[str]]:
    return [COLUMNS] + [
        [
            f"{number}",
            f"First{number}",
            f"Last{number}",
            f"person{number}@example.com",
            f"+4930{1_000_000 + number}",
            f"Department {number % 50}",
            f"Group {number % 20}",
            f"C{number}",
        ]
        for number in range(ROWS)
    ]


def timed(what: str, deed: Callable[[], Any]) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    result = deed()
    print(f"{what}: {time.perf_counter() - wall:.1f} s, processor {time.process_time() - cpu:.1f} s", flush=True)
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
    book, packed = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet()
    for row in rows():
        sheet.append(row)
    book.save(packed)
    print(f"{ROWS:,} rows; CSV {len(text) / 1e6:.1f} MB, workbook {len(packed.getvalue()) / 1e6:.1f} MB")
    timed("read the workbook", lambda: sheets.read(packed.getvalue(), files.LIMITS))

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

    source = timed("upload the CSV", lambda: inside(lambda: files.upload("a.csv", text, by=world.BY, now=now)))
    plan = Plan(columns=COLUMNS, creates_groups=True)
    inside(lambda: files.check(source, plan, by=world.BY, now=now))
    timed("check every row", check)
    source = inside(Import.objects.get)
    timed("start", lambda: inside(lambda: files.start(source, by=world.BY, now=now)))
    timed(f"apply {min(APPLIED, ROWS):,} rows", apply)


if __name__ == "__main__":
    main()
