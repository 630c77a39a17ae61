"""How long “who could, who did” takes with 100,000 people and 1,000,000 events: `python -m tests.bench_who_could`.

Embedded servers in a folder that is thrown away, as the application's role under row security. Every person may open
the door through one group in weekly hours, and a thousand visits are limited in uses. Told is the median of repeated
readings with their statements, and how many rows a second the file has.
"""

import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

PEOPLE, EVENTS, VISITS, ROUNDS = 100_000, 1_000_000, 1000, 3

_OF_PEOPLE = (
    """INSERT INTO people_personstate (tenant_id, person_id, enabled, started_at)
    SELECT tenant_id, id, true, %(since)s FROM people_person""",
    """INSERT INTO people_groupmembership (tenant_id, person_id, group_id, started_at)
    SELECT tenant_id, id, %(group)s, %(since)s FROM people_person""",
    """INSERT INTO credentials_credential (tenant_id, public_id, person_id, type, enabled, created_at, updated_at)
    SELECT tenant_id, 'cred_' || id, id, 6, true, %(since)s, %(since)s FROM people_person""",
    """INSERT INTO credentials_credentialstate (tenant_id, credential_id, enabled, started_at)
    SELECT tenant_id, id, true, %(since)s FROM credentials_credential""",
    """INSERT INTO access_event (tenant_id, channel_id, person_id, credential_type, code, admitted, reason, occurred_at)
    SELECT %(tenant)s, %(channel)s, p.first + (n %% %(people)s), 6, CASE WHEN n %% 9 = 0 THEN 24 ELSE 11 END,
        n %% 9 <> 0, CASE WHEN n %% 9 = 0 THEN 'unauthorized' ELSE '' END, %(now)s - make_interval(secs => n * 5)
    FROM generate_series(1, %(count)s) n, (SELECT min(id) AS first FROM people_person) p""",
)


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
    from datetime import time as clock

    import psycopg
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from accesscontrol.access import patterns
    from accesscontrol.doors import granting
    from accesscontrol.doors.hours import Stretch
    from accesscontrol.doors.models import Shift
    from accesscontrol.overview.who_could.files import INSTANT, could_rows, lines
    from accesscontrol.overview.who_could.report import Report
    from accesscontrol.people.models import Person
    from accounts.tenancy import tenant_transaction
    from tests import world

    tenant, now = world.live().acme, world.NOW
    since = now - timedelta(days=200)
    with tenant_transaction(tenant.pk):
        door = world.a_door()
        shift = Shift.objects.create(name="Hours")
        week = [Stretch(day, clock(6), clock(20)) for day in range(6)]
        granting.set_times(shift, week, by=world.BY, now=since)
        group = world.a_group("Staff", world.a_role("Staff", door, shift=shift, now=since), now=since)
        rows = (
            Person(first_name=f"First{number}", last_name=f"Last{number % 5000}", created_at=since)
            for number in range(PEOPLE)
        )
        Person.objects.bulk_create(rows, batch_size=2000)
        # Before there are PINs: these hold no value that could be read.
        for person in Person.objects.order_by("pk")[:VISITS]:
            world.a_reservation(person, door, start=now - timedelta(days=1), now=since, details={"max_uses": 3})
        given = {"tenant": tenant.pk, "channel": door.pk, "now": now, "people": PEOPLE, "count": EVENTS}
        with connection.cursor() as cursor:
            for statement in _OF_PEOPLE:
                cursor.execute(statement, given | {"since": since, "group": group.pk})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE")
    day, quarter = now - timedelta(days=1), now - timedelta(days=90)
    asked = {
        "who could, an instant": lambda: Report(door, day, day + INSTANT).could_page(1, 50),
        "who could, a day": lambda: Report(door, day, now).could_page(1, 50),
        "who could, 90 days": lambda: Report(door, quarter, now).could_page(1, 50),
        "... its last page": lambda: Report(door, quarter, now).could_page(2000, 50),
        "who did, a day": lambda: Report(door, day, now).did_page(1, 50),
        "who did, 90 days": lambda: Report(door, quarter, now).did_page(1, 50),
        "500 events of patterns": lambda: patterns.watch(now),
    }
    for name, ask in asked.items():
        seconds = []
        for _ in range(ROUNDS):
            with tenant_transaction(tenant.pk), CaptureQueriesContext(connection) as captured:
                started = time.perf_counter()
                ask()
                seconds.append(time.perf_counter() - started)
        sys.stdout.write(f"{name:24} {statistics.median(seconds) * 1000:7.0f} ms, {len(captured)} statements\n")
    started, count = time.perf_counter(), 0
    for _ in lines(could_rows(tenant.pk, [door], day, now)):
        count += 1
    sys.stdout.write(f"{'the file, a day':24} {count} lines in {time.perf_counter() - started:.1f} s\n")


if __name__ == "__main__":
    main()
