"""How long the front desk's pages take with 100,000 people and 1,000,000 events: `python -m tests.bench_board`.

Embedded servers in a folder that is thrown away, as the application's role under row security. 300 visits are due
today. Each page is asked for through the whole application, middleware to template. Told are the medians of wall time
and of the processor time of this process and of its database server (a busy machine blurs only the first), the
slowest, and how many statements one takes.
"""

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

PEOPLE, EVENTS, VISITS, ROUNDS = 100_000, 1_000_000, 300, 25
TICKS = os.sysconf("SC_CLK_TCK")

_EVENTS = """
INSERT INTO access_event (tenant_id, channel_id, person_id, credential_type, code, admitted, reason, occurred_at)
SELECT %(tenant)s, %(channel)s, p.first + (n %% %(people)s), 6, CASE WHEN n %% 9 = 0 THEN 24 ELSE 11 END, n %% 9 <> 0,
    CASE WHEN n %% 9 = 0 THEN 'unauthorized' ELSE '' END, %(now)s - make_interval(secs => n * 5)
FROM generate_series(1, %(count)s) n, (SELECT min(id) AS first FROM people_person) p
"""
# Every second visitor of today has come; every tenth has a host of the staff.
_VISITS = """
WITH made AS (
    INSERT INTO reservations_reservation (tenant_id, person_id, start_time, end_time, calendar_uid, calendar_sequence,
        host_name, purpose, company, grace_seconds, needs_check_in, uses, external_id, form_token, version, changed_by,
        created_by, created_at, updated_at, host_id, arrived_at)
    SELECT %(tenant)s, id, %(start)s + make_interval(days => -((number / %(a_day)s)::integer)),
        %(start)s + make_interval(days => -((number / %(a_day)s)::integer), hours => 14), gen_random_uuid(), 0,
        CASE WHEN number %% 10 = 0 THEN '' ELSE 'Host ' || number %% 40 END, '', 'Globex', 900, false, 0, '', '', 1,
        '', '', %(now)s, %(now)s, CASE WHEN number %% 10 = 0 THEN %(host)s END,
        CASE WHEN number %% 2 = 0 AND number < %(a_day)s THEN %(now)s - interval '1 minute' END
    FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM people_person) p RETURNING id)
INSERT INTO reservations_reservationchannel (tenant_id, reservation_id, channel_id, started_at)
SELECT %(tenant)s, id, %(channel)s, %(now)s FROM made
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "var", fill, measure)


def run(data: Path, *steps: Callable[[], None]) -> None:
    """Do these things with servers of their own."""
    from accesscontrol import embedded

    with embedded.servers(data, durable=False) as servers:
        os.environ["GATEHOUSE_DATA"] = str(data)
        servers.export()
        os.environ["DJANGO_SETTINGS_MODULE"] = "accesscontrol.settings"
        import django

        django.setup()
        for step in steps:
            step()


def fill() -> None:
    import psycopg
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from accesscontrol.people.models import Person
    from accounts.rights import StaffRole
    from accounts.tenancy import tenant_transaction
    from tests import world

    call_command("migrate", verbosity=0)
    now = timezone.now()
    with tenant_transaction(world.live().acme.pk):
        member = world.a_member(StaffRole.FRONT_DESK, "desk@acme.example", now=now)
        world.a_staff_pin(member, now=now)
        door = world.a_door(is_visitor_door=True)
        for number in range(4):
            world.a_door(f"Door {number}", site=door.site)
        given = {"tenant": door.tenant_id, "channel": door.pk, "now": now, "people": PEOPLE, "host": member.pk}
        morning = timezone.localtime(now, door.site.zone).replace(hour=8, minute=0, second=0, microsecond=0)
        with connection.cursor() as cursor:
            rows = (
                Person(
                    first_name=f"First{number}",
                    last_name=f"Last{number % 5000}",
                    email=f"guest{number}@example.com",
                    kind=Person.Kind.VISITOR,
                )
                for number in range(PEOPLE)
            )
            Person.objects.bulk_create(rows, batch_size=2000)
            cursor.execute(_EVENTS, given | {"count": EVENTS})
            cursor.execute(_VISITS, given | {"start": morning, "a_day": VISITS})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE")


def measure() -> None:
    from django.conf import settings
    from django.utils import timezone

    from accesscontrol.access import board
    from accesscontrol.doors.models import Channel
    from accesscontrol.reservations.models import Reservation
    from accounts.callers import places_of
    from accounts.models import Site, User
    from accounts.tenancy import tenant_transaction
    from tests import world

    settings.ALLOWED_HOSTS = ["testserver"]
    user = User.objects.get(email="desk@acme.example")
    browser = world.signed_in(user)
    tenant_id = places_of(user.pk)[0].tenant_id
    with tenant_transaction(tenant_id):
        site = Site.objects.get()
        door = Channel.objects.get(is_visitor_door=True)
        visit = Reservation.objects.filter(end_time__gt=timezone.now()).order_by("pk").first()
    assert visit is not None

    def reading(read: Callable[..., Any]) -> Callable[[], Any]:
        def within() -> Any:
            with tenant_transaction(tenant_id):
                return read(timezone.now())

        return within

    def get(path: str, expected: int = 200, **given: Any) -> Callable[[], Any]:
        def ask() -> Any:
            answer = browser.get(f"/desk/{path}", given)
            assert answer.status_code == expected, (path, answer.status_code)
            return answer

        return ask

    def day(now: Any) -> Any:
        midnight = timezone.localtime(now, site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return board.visits_of_day(site, (midnight, midnight + timedelta(days=1)), now=now)

    def seen() -> str:
        return re.findall(r'id="seen" data-seen="([^"]+)"', get("")().content.decode())[0]

    parts = re.findall(r'id="([^"]+)"[^>]* data-part="([^"]+)"', get("")().content.decode())
    have = " ".join(f"{part}:{digest}" for part, digest in parts)

    def arrives() -> None:
        """One visitor more or less is here, as of now: news for every board."""
        with tenant_transaction(tenant_id):
            came = Reservation.objects.filter(pk=visit.pk)
            came.update(arrived_at=None if came.get().arrived_at else timezone.now(), updated_at=timezone.now())

    form = {"form_id": "", "address": "", "doors": [door.pk], "period": "hour", "deliver": "none"}

    def issue() -> Any:
        token = uuid4().hex
        sent = form | {"form_id": token, "name": f"New {token}", "address": f"{token}@example.com", "deliver": "email"}
        answer = browser.post("/desk/visits/new/", sent)
        assert answer.status_code == 200, answer.status_code
        assert b"data-shown-once" in answer.content
        return answer

    asked: list[tuple[str, Callable[[], Any], Callable[[], None] | None]] = [
        ("visits of the day", reading(day), None),
        (
            "not let in",
            reading(lambda now: board.not_let_in(site, since=now - timedelta(minutes=30), now=now)),
            None,
        ),
        ("anything new?", reading(lambda now: board.cursor(site, now=now)), None),
        ("board, first load", get(""), None),
        ("poll, nothing new", lambda: get("news/", 204, seen=seen()), None),
        ("poll, one row new", get("news/", seen="", have=have), arrives),
        ("a visit", get(f"visits/{visit.pk}/"), None),
        ("issue, the form", get("visits/new/"), None),
        ("issue, as one types", get("visits/new/known/", name="first9"), None),
        ("issue, sent", issue, None),
    ]
    sys.stdout.write(f"{'':22}{'wall ms':>9}{'here':>8}{'database':>9}{'slowest':>9}{'statements':>12}\n")
    for name, ask, before in asked:
        _tell(name, ask() if name == "poll, nothing new" else ask, before)


def _tell(name: str, ask: Callable[[], Any], before: Callable[[], None] | None) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    wall, here = [], []
    backend = 0
    for round_ in range(ROUNDS + 1):
        if before is not None:
            before()
        connection.ensure_connection()
        ticks = _ticks(connection.connection.info.backend_pid)
        began, used = time.perf_counter(), time.process_time()
        ask()
        # The first one compiles templates.
        if round_:
            here.append(time.process_time() - used)
            wall.append(time.perf_counter() - began)
            backend += _ticks(connection.connection.info.backend_pid) - ticks
    if before is not None:
        before()
    with CaptureQueriesContext(connection) as captured:
        ask()
    slow = max(wall) * 1000
    there = backend / TICKS / ROUNDS * 1000
    sys.stdout.write(
        f"{name:22}{statistics.median(wall) * 1000:9.1f}{statistics.median(here) * 1000:8.1f}{there:9.1f}{slow:9.1f}"
        f"{len(captured):12}\n"
    )
    sys.stdout.flush()


def _ticks(pid: int) -> int:
    """Processor time of a process, its own and the kernel's for it."""
    values = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return int(values[11]) + int(values[12])


if __name__ == "__main__":
    main()
