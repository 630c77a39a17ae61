"""Data protection: what is erased when, what is left of a person anywhere, and what one file tells of them."""

import io
import json
import os
import zipfile
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection, connections
from django.utils import timezone

from accesscontrol.access import attempts, commands, partitions
from accesscontrol.access.models import Alarm, Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.overview import erasing, retention
from accesscontrol.overview.tasks import erase_due
from accesscontrol.people.models import Person, PersonWord
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import batches, belonging, changing, gatherings, leaving
from accesscontrol.visits.guests import Guest
from accesscontrol.visits.models import BatchItem
from accesscontrol.webhooks import subscribing
from accesscontrol.webhooks.models import Dispatch, Try
from accounts.models import AuditEvent, IdempotentAnswer, Tenant
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from tests import world
from tests.conftest import _admin
from tests.world import BY, NOW

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
    for session in Session.objects.all():
        yield "django_session", json.dumps(session.get_decoded())


def found():
    return {(table, row[:300]) for table, row in anywhere() for canary in CANARIES if canary in row.lower()}


def tables_with_canaries():
    return {table for table, _ in found()}


@pytest.fixture
def house(live):
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


def test_nothing_names_an_erased_person_anywhere(house):
    person_id = through_the_interfaces(house)
    held = {
        "people_person", "people_personword", "reservations_reservation", "reservations_groupvisit",
        "deliveries_delivery", "accounts_idempotentanswer", "access_channelcommand", "access_alarm",
        "visits_batchitem", "webhooks_try",
    }  # fmt: skip
    assert tables_with_canaries() >= held
    page = house["client"].get(f"/admin/people/person/{person_id}/erase/")
    assert "Erase Kea Kanarie for good?" in page.content.decode()
    assert "Tick the box" in house["client"].post(f"/admin/people/person/{person_id}/erase/").content.decode()
    answer = house["client"].post(f"/admin/people/person/{person_id}/erase/", {"sure": "1"}, follow=True)
    assert answer.status_code == 200
    assert "anarie" not in answer.content.decode().replace("Kit Kanarie", "").replace("Kaj Kanarie", "").replace(
        "Family Kanarie", ""
    )
    # Those who came with her are other people, until they are erased too.
    with tenant_transaction(house["tenant"].pk):
        family = Person.objects.filter(last_name="Kanarie") | Person.objects.filter(first_name="Family Kanarie")
        for person in family:
            erasing.erase(person, by=BY, now=house["now"])
    assert found() == set()

    with tenant_transaction(house["tenant"].pk):
        kea = Person.objects.get(pk=person_id)
        assert (kea.name, kea.email, kea.birthday, kea.deleted_at is None) == ("Erased person", "", None, False)
        # What happened stays.
        assert Event.objects.filter(person=kea).count() == 1
        assert Reservation.objects.filter(person=kea, cancelled_at__isnull=False).count() == 2
        assert not Credential.objects.filter(person=kea).exclude(sealed=None)
        assert not Delivery.objects.about("person", [person_id]).exclude(content=None)
        assert Delivery.objects.about("person", [person_id]).filter(address="").count() == 1
        verbs = set(
            AuditEvent.objects.filter(subject_type="person", subject_id=str(person_id)).values_list("verb", flat=True)
        )
        assert {"create", "change", "delete", "erase"} <= verbs
        before = AuditEvent.objects.count()
        erasing.erase(kea, by=BY, now=house["now"])
        assert AuditEvent.objects.count() == before
    api = world.api(house["key"])
    assert api.get(f"/api/3/people/{person_id}").status_code == 404
    assert house["client"].get(f"/admin/people/person/{person_id}/erase/").status_code == 404
    assert house["client"].get("/admin/access/event/").status_code == 200


def test_a_request_whose_answer_was_erased_is_not_carried_out_again(house):
    api = world.api(house["key"])

    def create():
        headers = {"Idempotency-Key": "once"}
        return api.post("/api/3/people", KANARIE, content_type="application/json", headers=headers)

    person_id = create().json()["id"]
    assert create().json()["id"] == person_id
    api.post("/api/3/people", {"first_name": "Otto"}, content_type="application/json", headers={"Idempotency-Key": "o"})
    with tenant_transaction(house["tenant"].pk):
        erasing.erase(Person.objects.get(pk=person_id), by=BY, now=house["now"])
        assert IdempotentAnswer.objects.exclude(body=None).count() == 1
    answer = create()
    assert (answer.status_code, answer.json()["code"]) == (410, "answer_erased")
    with tenant_transaction(house["tenant"].pk):
        assert Person.objects.count() == 2


def test_whoever_refers_to_a_person_is_named_here():
    """A new table about people must say in overview/erasing.py what becomes of its rows."""
    references = {
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models()
        for field in model._meta.local_fields
        if field.related_model is Person
    }
    kept = {
        "access_event.person_id", "access_alarm.person_id", "access_channelcommand.person_id",
        "credentials_credential.person_id", "people_groupmembership.person_id", "people_personrole.person_id",
        "people_personstate.person_id", "reservations_reservation.person_id", "reservations_groupreservation.person_id",
        "reservations_groupvisit.shared_person_id", "visits_batchitem.person_id",
        "visits_importrow.person_id", "visits_importrow.other_id",
    }  # fmt: skip
    deleted = {"people_personword.person_id"}
    assert references == kept | deleted


def test_the_file_tells_everything_but_pins(house):
    person_id = through_the_interfaces(house)
    client = house["client"]
    page = client.get(f"/admin/people/person/{person_id}/export/")
    assert page.status_code == 200
    answer = client.post(f"/admin/people/person/{person_id}/export/")
    assert answer["Content-Type"] == "application/zip"
    assert answer["Cache-Control"].startswith("no-store")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    told, read = json.loads(archive.read("person.json")), archive.read("person.html").decode()
    assert (told["person"]["email"], told["person"]["notes"]) == (KANARIE["email"], KANARIE["notes"])
    assert {row["type"] for row in told["pins_and_cards"]} == {"PIN", "Card"}
    assert len(told["visits"]) == 2
    assert [row["name"] if "name" in row else row["door"] for row in told["visits"][0]["doors"]] == ["Front Door"]
    assert len(told["events"]) == 1
    assert told["events"][0]["admitted"] is True
    assert told["messages"][0]["address"] == KANARIE["email"]
    assert "create" in {row["verb"] for row in told["audit"]}
    with tenant_transaction(house["tenant"].pk):
        for credential in Credential.objects.filter(person_id=person_id):
            value = lifecycle.value_of(credential)
            assert value not in json.dumps({**told, "audit": [], "person": {}})
            assert f">{value}<" not in read
        assert AuditEvent.objects.filter(verb="export", subject_type="person", subject_id=str(person_id)).count() == 1
    assert "sings like a kanarie" in read


@pytest.mark.parametrize("role", [StaffRole.FRONT_DESK, StaffRole.AUDITOR, StaffRole.HOST])
@pytest.mark.parametrize("page", ["export", "erase"])
def test_only_managers_export_and_erase(acme, role, page):
    now = timezone.now()
    member, ann = world.a_member(role, now=now), world.a_person("Ann", now=now)
    client = world.signed_in(member.user)
    world.confirm(client, member)
    for answer in (client.get, client.post):
        assert answer(f"/admin/people/person/{ann.pk}/{page}/", {"sure": "1"}).status_code == 403
    assert client.get("/admin/data-protection/").status_code == 403
    ann.refresh_from_db()
    assert ann.deleted_at is None


def test_both_ask_for_the_pin_and_for_every_site(acme):
    now = timezone.now()
    member, ann = world.a_member(StaffRole.MANAGER, now=now), world.a_person("Ann", now=now)
    world.a_staff_pin(member, now=now)
    client = world.signed_in(member.user)
    for page in ("export", "erase"):
        answer = client.post(f"/admin/people/person/{ann.pk}/{page}/", {"sure": "1"})
        assert "Your PIN" in answer.content.decode()
    ann.refresh_from_db()
    assert ann.erased_at is None
    here = world.a_member(StaffRole.MANAGER, "here@acme.example", sites=[world.a_site()], now=now)
    client = world.signed_in(here.user)
    assert client.get(f"/admin/people/person/{ann.pk}/erase/").status_code == 403
    assert b"/erase/" not in client.get(f"/admin/people/person/{ann.pk}/change/").content


# Retention


def keeping(days):
    Tenant.objects.update(erase_people_after_days=days)


def looked_at(now):
    while retention.erase_due(now) == retention.BATCH:
        pass


def is_erased(person):
    return Person.objects.get(pk=person.pk).erased_at is not None


def test_nobody_is_erased_where_the_tenant_says_nothing(acme):
    ann = world.a_person("Ann")
    looked_at(NOW)
    looked_at(NOW + timedelta(days=4000))
    assert not is_erased(ann)
    assert Person.objects.get(pk=ann.pk).retention_at is None
    assert acme.pk not in retention.tenants_with_due(NOW + timedelta(days=4000))


def test_deleted_people_are_erased_after_thirty_days(acme):
    ann = world.a_person("Ann")
    leaving.delete_person(ann, by=BY, now=NOW)
    looked_at(NOW)
    looked_at(NOW + timedelta(days=30, seconds=-1))
    assert not is_erased(ann)
    looked_at(NOW + timedelta(days=30))
    assert is_erased(ann)
    keeping(5)
    bob = world.a_person("Bob")
    leaving.delete_person(bob, by=BY, now=NOW)
    looked_at(NOW + timedelta(days=5))
    assert is_erased(bob)


def test_whoever_had_no_right_for_so_long_is_erased_to_the_day(acme):
    keeping(10)
    door = world.a_door(is_visitor_door=True)
    group = world.a_group("Staff", world.a_role("Doors", door))
    visitor, never, member = world.a_person("Vera"), world.a_person("Nora"), world.a_person("Max")
    soon = world.a_person("Sam")
    world.a_reservation(visitor, door, start=NOW + timedelta(days=2), hours=24)
    belonging.set_groups(member, [group], by=BY, now=NOW)
    # A visit that is called off ends the right earlier than it would have.
    visit = world.a_reservation(soon, door, start=NOW + timedelta(days=20), hours=24)
    end_of_visit = NOW + timedelta(days=3)
    for day in range(60):
        now = NOW + timedelta(days=day, minutes=1)
        if day == 7:
            changing.end(Reservation.objects.get(pk=visit.pk), by=BY, now=now)
        if day == 25:
            belonging.set_groups(member, [], by=BY, now=now)
        looked_at(now)
        expected = {
            never.pk: day >= 10,
            visitor.pk: now >= end_of_visit + timedelta(days=10),
            soon.pk: day >= 17,
            member.pk: day >= 35,
        }
        erased = dict(Person.objects.in_bulk(list(expected)).items())
        assert {pk: person.erased_at is not None for pk, person in erased.items()} == expected, day


def test_another_number_of_days_holds_at_once_and_a_second_look_changes_nothing(acme):
    keeping(365)
    ann = world.a_person("Ann")
    later = NOW + timedelta(days=100)
    looked_at(NOW)
    looked_at(later)
    assert not is_erased(ann)
    keeping(50)
    assert acme.pk in retention.tenants_with_due(later)
    looked_at(later)
    assert is_erased(ann)
    audited = AuditEvent.objects.count()
    looked_at(later)
    assert AuditEvent.objects.count() == audited
    assert acme.pk not in retention.tenants_with_due(later)


def test_whoever_is_no_longer_valid_has_no_right(acme):
    keeping(10)
    group = world.a_group("Staff")
    ann = world.a_person("Ann", valid_to=NOW + timedelta(days=5))
    belonging.set_groups(ann, [group], by=BY, now=NOW)
    for day, expected in ((0, False), (5, False), (14, False), (15, True)):
        looked_at(NOW + timedelta(days=day))
        assert is_erased(ann) is expected, day


def test_a_look_asks_for_due_rows_alone(acme, django_assert_max_num_queries):
    keeping(10)
    for number in range(30):
        world.a_person(f"Person {number}")
    looked_at(NOW)
    with django_assert_max_num_queries(6):
        assert retention.erase_due(NOW + timedelta(days=1)) == 0
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM people_person WHERE retention_at <= now() ORDER BY retention_at LIMIT 200"
        )
        assert "person_retention_due" in str(cursor.fetchall())


def test_the_tick_erases_in_every_tenant(live):
    now = timezone.now()
    people = []
    for tenant in (live.acme, live.globex):
        with tenant_transaction(tenant.pk):
            person = world.a_person("Ann", now=now - timedelta(days=40))
            leaving.delete_person(person, by=BY, now=now - timedelta(days=31))
            people.append((tenant, person))
    connections.close_all()
    erase_due()
    erase_due()
    for tenant, person in people:
        with tenant_transaction(tenant.pk):
            assert is_erased(person)
            assert not PersonWord.objects.filter(person=person).exists()


# Events by months


def test_old_months_are_dropped_whole_and_young_ones_never(live):
    today = timezone.now().date()
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        for months in (0, 1, 5, 14):
            moment = timezone.now().replace(day=1) - timedelta(days=30 * months)
            partitions.make(moment.date(), 1)
            Event.objects.create(channel=door, code=20, admitted=False, reason="invalid_pin", occurred_at=moment)

    def left():
        with tenant_transaction(live.acme.pk):
            return Event.objects.count()

    assert partitions.drop(24, today) == 0
    assert partitions.drop(12, today) == 1
    assert left() == 3
    # However few months are asked for, this one and the last one stay.
    assert partitions.drop(-5, today) >= 1
    assert left() == 2
    assert partitions.drop(-5, today) == 0


def test_events_of_no_partition_are_erased_by_their_age(live):
    old = timezone.now() - timedelta(days=900)
    with tenant_transaction(live.acme.pk):
        Event.objects.create(channel=world.a_door(), code=20, admitted=False, reason="invalid_pin", occurred_at=old)
    partitions.drop(12, timezone.now().date())
    with tenant_transaction(live.acme.pk):
        assert Event.objects.count() == 0
