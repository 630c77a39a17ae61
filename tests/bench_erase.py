"""How long it takes to erase somebody among 100,000 people and 1,000,000 events: `python -m tests.bench_erase`.

Embedded servers in a folder that is thrown away, as the application's role under row security. Every second person
has notes, every third visit a purpose, and both free text that is long. Told are wall time, the processor time of this
process and of its database server, and the statements that took longest.
"""

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.bench_board import TICKS, _ticks, fill, run

_WORDS = "Delivers on Mondays and rings twice; the parcels go to the store on the second floor. "


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "var", fill, measure)


class Timed:
    """The statements by their beginnings: how often, and how many seconds in all."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = defaultdict(list)

    def __call__(self, execute: Any, sql: str, *given: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, *given)
        finally:
            self.found[" ".join(sql.split())[:90]].append(time.perf_counter() - began)


def measure() -> None:
    import os

    import psycopg
    from django.db import connection
    from django.utils import timezone

    from accesscontrol.overview import erasing
    from accesscontrol.people.models import Person
    from accounts.tenancy import tenant_transaction
    from tests import world

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        [tenant_id] = owner.execute("SELECT tenant_id FROM people_person LIMIT 1").fetchone() or [0]
        owner.execute("UPDATE people_person SET notes = repeat(%s, 3) WHERE id %% 2 = 0", [_WORDS])
        owner.execute("UPDATE reservations_reservation SET purpose = %s WHERE id %% 3 = 0", [_WORDS])
        owner.execute("VACUUM ANALYZE")
    for number in range(4):
        timed = Timed()
        with tenant_transaction(tenant_id), connection.execute_wrapper(timed):
            person = Person.objects.filter(erased_at=None).order_by("pk")[number * 20_000]
            pid = connection.connection.info.backend_pid
            ticks, wall, here = _ticks(pid), time.perf_counter(), time.process_time()
            erasing.erase(person, by=world.BY, now=timezone.now())
            sys.stdout.write(
                f"{time.perf_counter() - wall:.2f} s, here {time.process_time() - here:.2f} s, "
                f"database {(_ticks(pid) - ticks) / TICKS:.2f} s, {sum(map(len, timed.found.values()))} statements\n"
            )
        for sql, seconds in sorted(timed.found.items(), key=lambda each: -sum(each[1]))[:8]:
            sys.stdout.write(f"    {sum(seconds):6.2f} s  {len(seconds):2}  {sql}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
