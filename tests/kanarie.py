"""Kea Kanarie, everywhere where somebody can be written down, and a look into every table for what is left of her."""

import json
import os
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from accesscontrol.access import attempts, commands
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits import batches, gatherings
from accesscontrol.visits.guests import Guest
from accesscontrol.visits.importing import checking, files
from accesscontrol.visits.importing.plans import Plan
from accesscontrol.visits.models import BatchItem, ImportRow
from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Dispatch, Try
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.vault import resealing
from pins.vault.sealing import open_sealed
from tests import world
from tests.conftest import _admin
from tests.world import BY

CANARIES = ("kanarie", "15155598765")
KANARIE = {
    "kind": "visitor",
    "first_name": "Kea",
    "last_name": "Kanarie",
    "salutation": "Dr. Kanarie",
    "job_title": "Kanarie keeper",
    "department": "Kanaries",
    "email": "kea@kanarie.example",
    "mobile": "+4915155598765",
    "telephone": "030 15155598765",
    "notes": "sings like a kanarie",
    "system_id": "kanarie-1",
    "barcode": "KANARIE",
    **{f"custom_{number}": f"kanarie {number}" for number in range(1, 6)},
}


def anywhere():
    """Every row of every table, as the superuser reads it, and every session as Django opens it."""
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        tables = admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition"
        ).fetchall()
        for (table,) in tables:
            for (row,) in admin.execute(f'SELECT to_jsonb(t)::text FROM "{table}" t').fetchall():
                yield table, row
        for table, column in columns("bytea"):
            for (row,) in admin.execute(f"SELECT encode({column}, 'escape') FROM \"{table}\"").fetchall():
                yield table, row or ""
        for one in resealing.columns():
            rows = admin.execute(f"SELECT tenant_id, id, {one.column} FROM {one.table} WHERE {one.column} IS NOT NULL")
            for tenant_id, row_id, sealed in rows.fetchall():
                yield one.table, open_sealed(bytes(sealed), tenant_id=tenant_id, table=one.table, row_id=row_id)
    for session in Session.objects.all():
        yield "django_session", json.dumps(session.get_decoded())


def columns(*kinds):
    """Every column of every table that is one of these, or an array of them."""
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        return admin.execute(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
            "AND a.attnum > 0 AND NOT a.attisdropped AND coalesce(e.typname, t.typname) = ANY (%s)",
            [list(kinds)],
        ).fetchall()


def found():
    return {(table, row[:300]) for table, row in anywhere() for canary in CANARIES if canary in row.lower()}


def tables_with_canaries():
    return {table for table, _ in found()}


@pytest.fixture(name="house")
def house_fixture(live):
    """A member of staff in the browser, a key of the API, two doors and a webhook."""
    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        member = world.a_member(StaffRole.MANAGER, now=now)
        front = world.a_door("Front Door", is_visitor_door=True)
        hook = subscribing.subscribe(
            "Hook", "https://a.example", kinds=["person", "access"], form="standard", by=BY, now=now
        )
        key = world.an_api_key("account.person", "account.reservation", "account.channel.admit.person", now=now)
    client = world.signed_in(member.user)
    world.confirm(client, member)
    return {"tenant": live.acme, "front": front, "key": key, "client": client, "hook": hook.subscription, "now": now}


def through_the_interfaces(house):
    """Kea everywhere where somebody can be written down; returns her id."""
    api, client, now = world.api(house["key"]), house["client"], house["now"]

    def send(method, path, body, number):
        headers = {"Idempotency-Key": f"key-{number}"}
        answer = getattr(api, method)(f"/api/3/{path}", body, content_type="application/json", headers=headers)
        assert answer.status_code in (200, 201), answer.content
        return answer.json()

    # She is added under a name that she changes at once: the answer to that is kept, too.
    earlier = KANARIE | {"first_name": "Kanarie-Maria", "email": "old@kanarie.example"}
    person_id = send("post", "people", earlier, 1)["id"]
    send("put", f"people/{person_id}", KANARIE, 2)
    period = {
        "start_time": (now - timedelta(minutes=1)).isoformat(),
        "end_time": (now + timedelta(hours=2)).isoformat(),
        "channel_ids": [house["front"].pk],
    }
    send("post", "reservations", {"person_id": person_id, **period}, 3)
    again = {"first_name": "Kea", "last_name": "Kanarie", "email": KANARIE["email"]}
    texts = {"company": "Kanarie & Sons", "purpose": "kanarie show"}
    booked = send("put", "visits/kanarie-booking", {**again, **texts, **period, "deliver": "email"}, 4)
    assert booked["person_id"] == person_id
    client.get("/desk/people/?q=kanarie")
    assert client.post(f"/admin/people/person/{person_id}/issue-card/", {"value": "4711"}).status_code == 302
    with tenant_transaction(house["tenant"].pk):
        kea = Person.objects.get(pk=person_id)
        for name, guests, shared in (
            ("Family Kanarie", [Guest("Kit", "Kanarie"), Guest("Kaj", "Kanarie")], True),
            ("Board", [Guest("Otto", "Other")], False),
        ):
            period = {"start_time": now, "end_time": now + timedelta(hours=1), "by": BY, "now": now}
            gatherings.issue_group(guests, name=name, shared=shared, host_name="Kea Kanarie", **period)
        attempts.attempt(house["front"].pk, "4711", type=CredentialType.CARD, now=now)
        commands.admit_person(house["front"], kea, reason="Kanarie rang", by=BY, now=now)
        Alarm.objects.create(
            kind="duress", site=house["front"].site, person=kea, raised_at=now, acknowledged_at=now,
            acknowledged_reason="rang Kanarie",
        )  # fmt: skip
        content = "First name,Last name,E-mail\nKea,Kanarie,kea@kanarie.example\nOtto,Other,\n"
        source = files.upload("list of Kea_Kanarie.csv", content.encode(), by=BY, now=now)
        files.check(source, Plan(columns=["first_name", "last_name", "email"]), by=BY, now=now)
        while checking.work(now):
            pass
        ImportRow.objects.filter(person=kea).update(reason="Kanarie is known already.")
        batch = batches.choose("issue", Person.objects.filter(pk=kea.pk), by=BY, now=now)
        batches.start(batch, by=BY, now=now)
        batches.work(now)
        BatchItem.objects.update(reason="Kanarie has one already.")
        dispatch = Dispatch.objects.create(
            subscription=house["hook"], message_id="m", type="person.changed", subject=f"person:{kea.pk}", body="{}",
            state="sent", settled_at=now, occurred_at=now, collected_at=now,
        )  # fmt: skip
        Try.objects.create(dispatch=dispatch, number=1, answer="Hello Kanarie", milliseconds=1, tried_at=now)
    return person_id
