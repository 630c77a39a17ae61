"""Who is erased when, tenant by tenant, and months of events that are dropped whole."""

import logging
import os
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from accesscontrol.access import partitions
from accesscontrol.access.models import Event
from accesscontrol.access.tasks import drop_partitions
from accesscontrol.overview import figures, retention
from accesscontrol.overview.tasks import erase_due
from accesscontrol.people.models import Person, PersonWord
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import belonging, changing, leaving
from accesscontrol.visits.importing import checking, files
from accesscontrol.visits.importing.plans import Plan
from accesscontrol.visits.models import ImportPart
from accounts.models import AuditEvent, Tenant, TenantFigures
from accounts.tenancy import tenant_transaction
from tests import world
from tests.conftest import _admin
from tests.plans import plan_with
from tests.world import BY, NOW

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
    asked = "SELECT id FROM people_person WHERE retention_at <= now() ORDER BY retention_at LIMIT 200"
    plan = plan_with("person_retention_due", asked)
    assert "person_retention_due" in plan, plan
    assert "Sort" not in plan, plan


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


def test_what_fails_in_one_tenant_or_for_one_person_stops_no_others(live, caplog):
    now = timezone.now()
    people = {}
    for tenant in (live.acme, live.globex):
        with tenant_transaction(tenant.pk):
            world.a_site()
            for name in ("Ann", "Bea"):
                person = world.a_person(name, email=f"{name}@example.com", now=now - timedelta(days=40))
                people[tenant.slug, name] = person.pk
            # A waiting file in which Ann stands, as somebody has spoilt it.
            source = files.upload("file.csv", b"E-mail,Name\nAnn@example.com,Ann", by=BY, now=now)
            files.check(source, Plan(columns=["email", "first_name"]), by=BY, now=now)
            while checking.work(now):
                pass
            for name in ("Ann", "Bea"):
                found = Person.objects.get(pk=people[tenant.slug, name])
                leaving.delete_person(found, by=BY, now=now - timedelta(days=31))
            if tenant == live.acme:
                ImportPart.objects.update(sealed=b"spoilt")
    with caplog.at_level(logging.ERROR):
        erase_due()
    assert "Ann" not in caplog.text
    assert f"person {people[live.acme.slug, 'Ann']}" in caplog.text
    for tenant in (live.acme, live.globex):
        with tenant_transaction(tenant.pk):
            erased = {name: is_erased(Person(pk=people[tenant.slug, name])) for name in ("Ann", "Bea")}
            assert erased == {"Ann": tenant == live.globex, "Bea": True}
            # The platform owner sees that something waits there.
            figures.count(now + timedelta(hours=2))
            waits = TenantFigures.objects.get().oldest_undone_at
            assert (waits is not None) is (tenant == live.acme)


# Events by months


@pytest.fixture
def keep():
    """What the owner tells the database; all months again afterwards."""

    def told(months):
        with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
            admin.execute(partitions.KEPT.format(months))

    yield told
    told(0)


def test_old_months_are_dropped_whole_and_young_ones_never(live, keep):
    now = timezone.now()
    today = now.date()
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        for months in (0, 1, 5, 14):
            year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
            moment = now.replace(year=year, month=month + 1, day=1)
            partitions.make(moment.date(), 1)
            Event.objects.create(channel=door, code=20, admitted=False, reason="invalid_pin", occurred_at=moment)

    def left():
        with tenant_transaction(live.acme.pk):
            return Event.objects.count()

    # Nothing goes where the owner named no number, whatever the application asks for.
    for months in (24, 12, 1, -5):
        assert partitions.drop(months, today) == 0
    keep(12)
    assert partitions.drop(24, today) == 0
    assert partitions.drop(12, today) == 1
    assert left() == 3
    assert partitions.drop(-5, today) == 0
    keep(1)
    assert partitions.drop(-5, today) >= 1
    assert left() == 2
    assert partitions.drop(-5, today) == 0


def test_the_application_cannot_say_itself_what_is_kept(live, keep):
    keep(12)
    for statement in (
        partitions.KEPT.format(1),
        "ALTER FUNCTION events_kept_months() RENAME TO other",
        "DROP FUNCTION events_kept_months()",
        "CREATE FUNCTION pg_temp.events_kept_months() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TEMPORARY TABLE access_event (id integer)",
    ):
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute(statement, None)
    assert partitions.kept() == 12


def test_migrate_tells_the_database_what_the_installation_keeps(live, keep, settings):
    assert partitions.kept() == 0
    settings.EVENTS_KEPT_MONTHS = 18
    call_command("migrate", verbosity=0)
    assert partitions.kept() == 18
    drop_partitions()


def test_events_of_no_partition_are_erased_by_their_age(live, keep):
    keep(12)
    old = timezone.now() - timedelta(days=900)
    with tenant_transaction(live.acme.pk):
        Event.objects.create(channel=world.a_door(), code=20, admitted=False, reason="invalid_pin", occurred_at=old)
    partitions.drop(12, timezone.now().date())
    with tenant_transaction(live.acme.pk):
        assert Event.objects.count() == 0
