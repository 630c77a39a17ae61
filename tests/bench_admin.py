"""How long the admin takes with 100,000 people and 1,000,000 events: `python -m tests.bench_admin`.

Embedded servers in a folder that is thrown away, as the application's role under row security. Twelve sites with forty
doors, two months of events, 20,000 visits, an owner who looks. Told are the median of repeated readings through the
test client (middleware, queries and rendering: the time of the server, without the network): the processor's time in
this process and in PostgreSQL's, which other work on the machine does not lengthen, and the time that passed.
"""

import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

PEOPLE, EVENTS, VISITS, ROUNDS = 100_000, 1_000_000, 20_000, 3
SITES, DOORS = 12, 40

_PINS = """
INSERT INTO credentials_credential (tenant_id, public_id, person_id, type, sealed, digits, enabled, rotate_at,
                                    created_at, updated_at, revoked_at)
SELECT %(tenant)s, 'cred_bench' || p.id, p.id, 6, CASE WHEN p.id %% 7 = 0 THEN NULL ELSE '\\x00'::bytea END, 6,
    p.id %% 11 <> 0, CASE WHEN p.id %% 50 = 0 THEN %(now)s + make_interval(days => (p.id %% 60)::integer) END,
    %(now)s - make_interval(days => 90), %(now)s - make_interval(days => 90),
    CASE WHEN p.id %% 7 = 0 THEN %(now)s END
FROM people_person p WHERE p.tenant_id = %(tenant)s
"""
_WORDS = """
INSERT INTO people_personword (tenant_id, person_id, word)
SELECT tenant_id, id, lower(first_name) FROM people_person
UNION SELECT tenant_id, id, lower(last_name) FROM people_person
"""
_MEMBERS = """
INSERT INTO people_groupmembership (tenant_id, person_id, group_id, started_at)
SELECT %(tenant)s, p.id, (%(groups)s::bigint[])[1 + p.id %% %(number)s], %(now)s - make_interval(days => 90)
FROM people_person p
"""
_EVENTS = """
INSERT INTO access_event (tenant_id, channel_id, person_id, credential_id, credential_type, code, admitted, reason,
                          occurred_at)
SELECT %(tenant)s, (%(doors)s::bigint[])[1 + (n::bigint * 7919) %% %(number)s],
    p.first + (n::bigint * 104729) %% %(people)s,
    c.first + (n::bigint * 104729) %% %(people)s, 6,
    CASE WHEN n %% 9 = 0 THEN 24 ELSE 11 END, n %% 9 <> 0,
    CASE WHEN n %% 90000 = 0 THEN 'lockdown' WHEN n %% 9 = 0 THEN 'unauthorized' ELSE '' END,
    %(now)s - make_interval(secs => n * 5)
FROM generate_series(1, %(count)s) n, (SELECT min(id) AS first FROM people_person) p,
    (SELECT min(id) AS first FROM credentials_credential) c
"""
_VISITS = """
WITH made AS (
    INSERT INTO reservations_reservation (tenant_id, person_id, start_time, end_time, calendar_uid, calendar_sequence,
        host_name, purpose, company, grace_seconds, needs_check_in, uses, external_id, form_token, version, changed_by,
        created_by, created_at, updated_at)
    SELECT %(tenant)s, id, %(start)s + make_interval(days => 7 - (number / 300)::integer),
        %(start)s + make_interval(days => 7 - (number / 300)::integer, hours => 6), gen_random_uuid(), 0,
        '', '', '', 900, false, 0, '', '', 1, '', '', %(now)s, %(now)s
    FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM people_person LIMIT %(count)s) p RETURNING id)
INSERT INTO reservations_reservationchannel (tenant_id, reservation_id, channel_id, started_at)
SELECT %(tenant)s, id, (%(doors)s::bigint[])[1 + id %% %(number)s], %(now)s FROM made
"""
_MESSAGES = """
WITH made AS (
    INSERT INTO deliveries_delivery (tenant_id, medium, address, template, language, state, attempts, message_id,
        queued_at, sent_at, failed_at, last_error)
    SELECT %(tenant)s, 'email', 'p' || n || '@example.com', 'visit', 'en',
        CASE WHEN n %% 500 = 0 THEN 'failed' ELSE 'sent' END,
        1, 'bench' || n, %(now)s - make_interval(mins => n), %(now)s - make_interval(mins => n),
        CASE WHEN n %% 500 = 0 THEN %(now)s - make_interval(mins => n) END, ''
    FROM generate_series(1, 50000) n RETURNING id)
INSERT INTO deliveries_deliverysubject (tenant_id, delivery_id, kind, object_id)
SELECT %(tenant)s, id, 'person', (SELECT min(id) FROM people_person) + id %% %(people)s FROM made
"""
_AUDIT = """
INSERT INTO accounts_auditevent (tenant_id, actor_kind, actor_id, verb, subject_type, subject_id, fields, occurred_at)
SELECT %(tenant)s, 'staff', 1, CASE WHEN n %% 3 = 0 THEN 'change' ELSE 'create' END, 'person',
    ((SELECT min(id) FROM people_person) + n %% %(people)s)::text, '{}', %(now)s - make_interval(secs => n * 20)
FROM generate_series(1, 100000) n
"""


def main() -> None:
    from accesscontrol import embedded

    with tempfile.TemporaryDirectory() as folder, embedded.servers(Path(folder) / "var", durable=False) as servers:
        os.environ["GATEHOUSE_DATA"] = str(Path(folder) / "var")
        servers.export()
        os.environ |= {"DJANGO_SETTINGS_MODULE": "accesscontrol.settings", "ALLOWED_HOSTS": "testserver"}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        _measure()


def _measure() -> None:
    import psycopg
    from django.utils import timezone

    from accounts.rights import StaffRole
    from accounts.tenancy import tenant_transaction
    from tests import world

    now = timezone.now()
    tenant = world.live().acme
    filled = time.perf_counter()
    with tenant_transaction(tenant.pk):
        ids = _fill(tenant, now)
        owner = world.a_member(StaffRole.OWNER).user
        limited = world.a_member(StaffRole.MANAGER, "one@acme.example", sites=[ids["a_site"]]).user
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
    from accesscontrol.access.tasks import count_events

    started = time.perf_counter()
    count_events()
    sys.stdout.write(f"filled in {started - filled:.0f} s; counted once in {time.perf_counter() - started:.1f} s\n")
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
    pages = _pages(ids)
    _tell(world.signed_in(owner), pages)
    _tell(world.signed_in(limited), {"of one site: dashboard": "/admin/"} | _of_limited(ids))


def _tell(client, pages):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for name, address in pages.items():
        walls, own, backend = [], [], []
        client.get(address)
        for _ in range(ROUNDS):
            with CaptureQueriesContext(connection) as captured:
                of_backend = _seconds_of(connection.connection.info.backend_pid)
                before, of_process = time.perf_counter(), time.process_time()
                page = client.get(address)
                walls.append(time.perf_counter() - before)
                own.append(time.process_time() - of_process)
                backend.append(_seconds_of(connection.connection.info.backend_pid) - of_backend)
        wall, mine, its = (statistics.median(each) * 1000 for each in (walls, own, backend))
        sys.stdout.write(
            f"{name:32} {page.status_code} {mine + its:7.1f} ms of processor: {mine:6.1f} here, {its:6.1f} PostgreSQL; "
            f"{wall:7.1f} ms passed, {len(captured)} statements\n"
        )
        sys.stdout.flush()


def _seconds_of(pid: int) -> float:
    """The processor's time that a process has had, so that other work on the machine does not count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _fill(tenant, now):
    from django.db import connection

    from accesscontrol.credentials.models import Credential
    from accesscontrol.people.models import Person
    from accesscontrol.visits import belonging
    from tests import world

    sites = [world.a_site(f"Site {number:02}") for number in range(SITES)]
    doors = [
        world.a_door(f"Door {number:02}", site=sites[number % SITES], direction="out" if number % 10 == 9 else "in")
        for number in range(DOORS)
    ]
    groups = []
    for number in range(20):
        role = world.a_role(f"Level {number}", *doors[number * 2 : number * 2 + 6])
        group = world.a_group(f"Group {number}")
        belonging.set_group_roles(group, [role], by=world.BY, now=now - timedelta(days=90))
        groups.append(group.pk)
    Person.objects.bulk_create(
        (
            Person(
                first_name=f"First{number % 300}",
                last_name=f"Last{number % 5000}",
                kind=Person.Kind.VISITOR if number % 3 == 0 else Person.Kind.PERSON,
                site=sites[number % SITES] if number % 2 else None,
            )
            for number in range(PEOPLE)
        ),
        batch_size=2000,
    )
    given = {"tenant": tenant.pk, "now": now, "people": PEOPLE, "doors": [door.pk for door in doors], "number": DOORS}
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_WORDS)
        cursor.execute(_PINS, given)
        cursor.execute(_MEMBERS, given | {"groups": groups, "number": len(groups)})
        cursor.execute(_EVENTS, given | {"count": EVENTS})
        cursor.execute(_VISITS, given | {"start": midnight + timedelta(hours=8), "count": VISITS})
        cursor.execute(_MESSAGES, given)
        cursor.execute(_AUDIT, given)
    person = Person.objects.order_by("pk")[50]
    return {
        "person": person.pk,
        "credential": Credential.objects.get(person=person).pk,
        "door": doors[0].pk,
        "site": sites[0].pk,
        "a_site": sites[0],
        "group": groups[0],
    }


def _pages(ids):
    events, people, pins = "/admin/access/event/", "/admin/people/person/", "/admin/credentials/credential/"
    visits, messages, doors = "/admin/reservations/reservation/", "/admin/deliveries/delivery/", "/admin/doors/channel/"
    return {
        "dashboard": "/admin/",
        "dashboard, 30 days": "/admin/?days=30&hours=today",
        "dashboard, one site": f"/admin/?site={ids['site']}",
        "events": events,
        "events, page 200": f"{events}?p=200",
        "events, not let in": f"{events}?decision=not",
        "events, not let in, page 200": f"{events}?decision=not&p=200",
        "events, a rare reason": f"{events}?reason=lockdown",
        "events, a reason that never was": f"{events}?reason=not_checked_in",
        "events, one door": f"{events}?door={ids['door']}",
        "events, one site": f"{events}?site={ids['site']}",
        "events, one person": f"{events}?person__id__exact={ids['person']}",
        "events, a name": f"{events}?q=last7",
        "events, 31 days, not, page 100": f"{events}?period=31&decision=not&p=100",
        "people": people,
        "people, page 200": f"{people}?p=200",
        "people, a name": f"{people}?q=last42",
        "people, a group": f"{people}?group={ids['group']}",
        "people, without a PIN": f"{people}?pin=no",
        "people, with a PIN, page 200": f"{people}?pin=yes&p=200",
        "people, disabled": f"{people}?state=disabled",
        "people, one site": f"{people}?site={ids['site']}",
        "people, inside": f"{people}?inside=yes",
        "people, who open a door": f"{people}?opens={ids['door']}",
        "PINs": pins,
        "PINs, page 200": f"{pins}?p=200",
        "PINs, live": f"{pins}?state=live",
        "PINs, expired": f"{pins}?state=expired",
        "PINs, disabled": f"{pins}?state=disabled",
        "PINs, of visitors": f"{pins}?holder=visitor",
        "PINs, due for rotation": f"{pins}?rotation=due",
        "PINs, one site": f"{pins}?site={ids['site']}",
        "visits": visits,
        "visits, today": f"{visits}?when=today",
        "visits, cancelled": f"{visits}?when=cancelled",
        "visits, one site": f"{visits}?site={ids['site']}",
        "visits, one door": f"{visits}?door={ids['door']}",
        "messages": messages,
        "messages, failed": f"{messages}?state__exact=failed",
        "messages, one site": f"{messages}?site={ids['site']}",
        "doors": doors,
        "audit": "/admin/accounts/auditevent/",
        "audit, a verb that never was": "/admin/accounts/auditevent/?verb=lift",
        "groups": "/admin/people/group/",
        "alarms": "/admin/access/alarm/",
        "the story of a person": f"{people}{ids['person']}/change/",
        "the story of a PIN": f"{pins}{ids['credential']}/change/",
        "the story of a door": f"{doors}{ids['door']}/change/",
    }


def _of_limited(ids):
    return {
        "  of one site: events": "/admin/access/event/",
        "  of one site: people": "/admin/people/person/",
        "  of one site: visits": "/admin/reservations/reservation/",
        "  of one site: messages": "/admin/deliveries/delivery/",
        "  of one site: failed messages": "/admin/deliveries/delivery/?state__exact=failed",
        "  of one site: a door": f"/admin/doors/channel/{ids['door']}/change/",
    }


if __name__ == "__main__":
    main()
