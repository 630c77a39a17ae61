"""How long today's board takes with 100,000 people and 1,000,000 events: `python -m tests.bench_board`.

Embedded servers in a folder that is thrown away, as the application's role under row security. 300 visits are due on
the day that is asked for. Told is the median of repeated readings, and how many statements one reading takes.
"""

import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

PEOPLE, EVENTS, VISITS, ROUNDS = 100_000, 1_000_000, 300, 15

_EVENTS = """
INSERT INTO access_event (tenant_id, channel_id, person_id, credential_type, code, admitted, reason, occurred_at)
SELECT %(tenant)s, %(channel)s, p.first + (n %% %(people)s), 6, CASE WHEN n %% 9 = 0 THEN 24 ELSE 11 END, n %% 9 <> 0,
    CASE WHEN n %% 9 = 0 THEN 'unauthorized' ELSE '' END, %(now)s - make_interval(secs => n * 5)
FROM generate_series(1, %(count)s) n, (SELECT min(id) AS first FROM people_person) p
"""
_VISITS = """
WITH made AS (
    INSERT INTO reservations_reservation (tenant_id, person_id, start_time, end_time, calendar_uid, calendar_sequence,
        host_name, purpose, company, grace_seconds, needs_check_in, uses, external_id, form_token, version, changed_by,
        created_by, created_at, updated_at)
    SELECT %(tenant)s, id, %(start)s + make_interval(days => -((number / %(a_day)s)::integer)),
        %(start)s + make_interval(days => -((number / %(a_day)s)::integer), hours => 6), gen_random_uuid(), 0,
        '', '', '',
        900, false, 0, '', '', 1, '', '', %(now)s, %(now)s
    FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM people_person) p RETURNING id)
INSERT INTO reservations_reservationchannel (tenant_id, reservation_id, channel_id, started_at)
SELECT %(tenant)s, id, %(channel)s, %(now)s FROM made
"""


def main() -> None:
    from accesscontrol import embedded

    with tempfile.TemporaryDirectory() as folder, embedded.servers(Path(folder) / "var", durable=False) as servers:
        os.environ["GATEHOUSE_DATA"] = str(Path(folder) / "var")
        servers.export()
        os.environ["DJANGO_SETTINGS_MODULE"] = "accesscontrol.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        _measure()


def _measure() -> None:
    import psycopg
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from accesscontrol.access import board
    from accesscontrol.people.models import Person
    from accounts.tenancy import tenant_transaction
    from tests import world

    tenant, now = world.live().acme, world.NOW
    with tenant_transaction(tenant.pk):
        door = world.a_door(is_visitor_door=True)
        site = door.site
        given = {"tenant": tenant.pk, "channel": door.pk, "now": now, "people": PEOPLE}
        midnight = now.replace(hour=0, minute=0)
        with connection.cursor() as cursor:
            rows = (
                Person(first_name=f"First{number}", last_name=f"Last{number % 5000}", kind=Person.Kind.VISITOR)
                for number in range(PEOPLE)
            )
            Person.objects.bulk_create(rows, batch_size=2000)
            cursor.execute(_EVENTS, given | {"count": EVENTS})
            cursor.execute(_VISITS, given | {"start": midnight + timedelta(hours=8), "a_day": VISITS})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE")
    day = (midnight, midnight + timedelta(days=1))
    asked = {
        "board": lambda: board.visits_of_day(site, day, now=now),
        "not let in": lambda: board.not_let_in(site, since=now - timedelta(minutes=30), now=now),
        "anything new?": lambda: board.cursor(site, now=now),
    }
    for name, ask in asked.items():
        seconds = []
        for _ in range(ROUNDS):
            with tenant_transaction(tenant.pk), CaptureQueriesContext(connection) as captured:
                started = time.perf_counter()
                found = ask()
                seconds.append(time.perf_counter() - started)
        size = f"{len(found)} rows" if isinstance(found, list) else ""
        sys.stdout.write(f"{name:14} {statistics.median(seconds) * 1000:7.1f} ms, {len(captured)} statements {size}\n")


if __name__ == "__main__":
    main()
