"""How long 1,000,000 events as CSV take: `python -m tests.bench_export [events]`.

Through the whole application, as somebody who has entered their PIN; embedded servers in a folder that is thrown away.
Told are the time to the first byte and to the last, the processor time of this process, its statements, and the most
memory that it took before and after.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.bench_board import _EVENTS, run
from tests.bench_import import Counting, peak

EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "var", measure)


def measure() -> None:
    import psycopg
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from accounts.rights import StaffRole
    from accounts.tenancy import tenant_transaction
    from tests import world

    call_command("migrate", verbosity=0)
    settings.ALLOWED_HOSTS = ["testserver"]
    now = timezone.now()
    with tenant_transaction(world.live().acme.pk):
        member = world.a_member(StaffRole.OWNER, now=now)
        door = world.a_door()
        for number in range(100):
            world.a_person(f"First{number}", last_name="Last", now=now)
        given = {"tenant": door.tenant_id, "channel": door.pk, "now": now, "people": 100, "count": EVENTS}
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, given)
        browser = world.signed_in(member.user)
        world.confirm(browser, member)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE")
    browser.get("/admin/access/event/export/")
    print(f"{EVENTS:,} events; {peak():.0f} MB before anything is done", flush=True)
    wall, cpu = time.perf_counter(), time.process_time()
    counting = Counting()
    with connection.execute_wrapper(counting):
        answer = browser.post("/admin/access/event/export/", {"kind": "csv"})
        assert answer.streaming, answer.status_code
        pieces = iter(answer.streaming_content)
        size = len(next(pieces))
        first = time.perf_counter() - wall
        lines = 0
        for piece in pieces:
            size += len(piece)
            lines += piece.count(b"\n")
    assert lines == EVENTS, lines
    print(
        f"first byte {first:.1f} s, last {time.perf_counter() - wall:.1f} s, "
        f"processor {time.process_time() - cpu:.1f} s, {counting.statements} statements, {size / 1e6:.0f} MB, "
        f"peak {peak():.0f} MB"
    )


if __name__ == "__main__":
    main()
