"""Erasing and export proven over every column that the database has: a marker in each, and none is left or missing."""

import io
import json
import os
import zipfile
from datetime import timedelta
from time import monotonic

from django.utils import timezone

from accesscontrol.access import commands
from accesscontrol.access.models import Alarm
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import ChannelState, Role, Shift
from accesscontrol.overview import erasing, exporting, mentions
from accesscontrol.people.models import Group, Person
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits import batches, gatherings
from accesscontrol.visits.guests import Guest
from accesscontrol.visits.importing import checking, files
from accesscontrol.visits.importing.plans import Plan
from accesscontrol.visits.models import BatchItem, Import
from accounts.models import Site
from accounts.rls import GLOBAL_TABLES
from accounts.tenancy import tenant_transaction
from pins.vault import resealing
from tests import world
from tests.conftest import _admin
from tests.kanarie import anywhere, columns, house_fixture, through_the_interfaces  # noqa: F401
from tests.personal_columns import FREE, NEVER, NOT_IN_THE_FILE, SEALED, named, of_hers
from tests.world import BY

NAME = "Keamarker Kanariemarker"
SPELLINGS = (
    NAME,
    "KANARIEMARKER, Keamarker",
    "keamarker_kanariemarker",
    "Keamarker  Kanariemarker",
    "kea.marker@kanarie.example",
    "+4915155598765",
)


def test_what_each_column_says_of_a_person_is_written_down(django_db_setup):
    found = {
        f"{table}.{column}"
        for table, column in columns("varchar", "text", "bpchar", "json", "jsonb", "bytea", "citext", "inet")
        if table not in GLOBAL_TABLES
    }
    never = [named(tables) for tables in NEVER.values()]
    known = {*of_hers()}.union(named(FREE), named(SEALED), *never)
    assert found == known
    sure = [named(SEALED), *never]
    assert sum(map(len, sure)) == len(set().union(*sure)), "a column stands in two lists"
    assert not set().union(*sure) & (named(FREE) | {*of_hers()})
    assert set(NOT_IN_THE_FILE) <= {*of_hers()}
    cut = {f"{model._meta.db_table}.{name}" for model, names in mentions.FREE for name in names}
    assert cut == named(FREE)
    assert {f"{one.table}.{one.column}" for one in resealing.columns()} <= named(SEALED)


def mark(admin, person_id):
    """A marker of its own in every column of her rows; returns them by column."""
    marks = {}
    generated = {"people_person.lower_email"}
    for number, (name, rows) in enumerate(sorted(of_hers().items())):
        table, column = name.split(".")
        marker = f"kanarie{number:03}"
        value = marker
        if table == "accounts_idempotentanswer":
            value = json.dumps({"person_id": person_id, "note": marker})
        if name not in generated:
            hers = rows % {"id": person_id}
            if column in ("external_id", "word"):
                hers = f"id = (SELECT max(id) FROM {table} WHERE {hers})"
            done = admin.execute(f"UPDATE {table} SET {column} = %s WHERE {hers}", [value])
            assert done.rowcount, name
            marks[name] = marker
    return marks


def mention(tenant, front, now):
    """Rows about others in which somebody wrote her down, one way or another, in each column of free text."""
    with tenant_transaction(tenant.pk):
        otto = world.a_person("Otto", now=now)
        visit = world.a_reservation(otto, front, start=now, now=now)
        shift = Shift.objects.create(name="Nights")
        granting.set_times(shift, [Stretch(0, now.time(), now.time())], by=BY, now=now)
        Group.objects.create(name="Staff")
        world.a_role("Doors", front, shift=shift)
        gatherings.issue_group(
            [Guest("Otto", "Other")], name="Others", shared=True, start_time=now, end_time=now + timedelta(hours=1),
            by=BY, now=now,
        )  # fmt: skip
        Alarm.objects.create(
            kind="silence", site=front.site, channel=front, raised_at=now, acknowledged_at=now, acknowledged_reason="-"
        )
        commands.admit(front, by=BY, now=now)
        ChannelState.objects.create(channel=front, state="lockdown", started_at=now, ended_at=now, actor_kind="staff")
        source = files.upload("others.csv", b"First name\nOtto", by=BY, now=now)
        files.check(source, Plan(columns=["first_name"]), by=BY, now=now)
        while checking.work(now):
            pass
        batches.choose("issue", Person.objects.filter(pk=otto.pk), by=BY, now=now)
        hers = Person.objects.exclude(pk=otto.pk).values("pk")
        rows = {
            Person: Person.objects.filter(pk=otto.pk),
            Reservation: Reservation.objects.filter(pk=visit.pk),
            BatchItem: BatchItem.objects.filter(person=otto),
            Alarm: Alarm.objects.filter(person=None),
            Import: Import.objects.filter(pk=source.pk),
            GroupVisit: GroupVisit.objects.filter(name="Others"),
            Site: Site.objects.all(),
            Role: Role.objects.all(),
        }
        for number, (model, names) in enumerate(mentions.FREE):
            found = rows.get(model, model.objects.all())
            if any(field.name == "person" for field in model._meta.fields):
                found = found.exclude(person__in=hers)
            for place, name in enumerate(names):
                text = f"before {SPELLINGS[(number + place) % len(SPELLINGS)]} after"
                done = found.update(**{name: text})
                if not done:
                    one = model.objects.order_by("-pk").first()
                    done = model.objects.filter(pk=one.pk).update(**{name: text}) if one else 0
                assert done, (model, name)
        shared = GroupVisit.objects.get(name__startswith="before")
        Person.objects.filter(pk=shared.shared_person_id).update(first_name=shared.name)
    return otto


def test_no_column_of_any_table_names_an_erased_person(house):
    now = timezone.now()
    person_id = through_the_interfaces(house)
    mention(house["tenant"], house["front"], now)
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        marks = mark(admin, person_id)
        first, last = NAME.split()
        admin.execute(
            "UPDATE people_person SET first_name = %s, last_name = %s, email = %s, mobile = %s WHERE id = %s",
            [first, last, SPELLINGS[4], SPELLINGS[5], person_id],
        )
    needles = [*marks.values(), *(spelling.lower() for spelling in SPELLINGS), "keamarker", "kanariemarker"]
    told = [(table, text.lower()) for table, text in anywhere()]
    for needle in (marks["access_alarm.acknowledged_reason"], marks["webhooks_try.answer"], *needles[-2:]):
        assert any(needle in text for _, text in told), needle
    for table in {name.split(".")[0] for name in named(FREE)}:
        assert any("before" in text for where, text in told if where == table), table
    with tenant_transaction(house["tenant"].pk):
        erasing.erase(Person.objects.get(pk=person_id), by=BY, now=timezone.now())
    left = {(table, needle) for table, text in anywhere() for needle in needles if needle in text.lower()}
    assert left == set()
    # What others wrote beside her name is theirs, and stays.
    after = [(table, text) for table, text in anywhere() if "before … after" in text]
    assert {table for table, _ in after} == {name.split(".")[0] for name in named(FREE)}
    with tenant_transaction(house["tenant"].pk):
        otto = Person.objects.get(first_name="Otto", notes__startswith="before")
        assert otto.updated_at >= now
        assert Person.objects.filter(kind="shared", first_name="before … after").exists()


def test_a_name_within_another_word_stays(acme):
    now = timezone.now()
    ann, otto = world.a_person("Ann", last_name="Li", now=now), world.a_person("Otto", now=now)
    kept = "Joann Lindner, Ann, Li and Hann Li"
    Person.objects.filter(pk=otto.pk).update(notes=f"{kept}; Ann Li", custom_1="(ann li)")
    erasing.erase(ann, by=BY, now=now)
    otto.refresh_from_db()
    assert (otto.notes, otto.custom_1) == (f"{kept.replace('Ann, Li', '…')}; …", "(…)")


def test_a_name_of_dots_is_looked_for_in_no_time(acme):
    now = timezone.now()
    world.a_door(is_visitor_door=True)
    guests = [Guest(". " * 8 + "Kea", "Kanarie"), Guest("Otto", "Other")]
    period = {"start_time": now, "end_time": now + timedelta(hours=1), "by": BY, "now": now}
    group = gatherings.issue_group(guests, name="." * 119, **period).group
    Person.objects.filter(first_name="Otto").update(notes="Kea Kanarie.")
    began = monotonic()
    erasing.erase(Person.objects.get(last_name="Kanarie"), by=BY, now=now)
    assert monotonic() - began < 30
    group.refresh_from_db()
    assert group.name == "." * 119
    assert Person.objects.get(first_name="Otto").notes == "…."


def test_a_part_of_a_name_goes_only_where_they_came_themselves(acme):
    now = timezone.now()
    world.a_door(is_visitor_door=True)
    period = {"start_time": now, "end_time": now + timedelta(hours=1), "by": BY, "now": now}
    hers = gatherings.issue_group(
        [Guest("Kea", "Kanarie"), Guest("Otto", "Other")], name="Kanarie and friend", **period
    ).group
    other = gatherings.issue_group([Guest("Otto", "Other")], name="Kanarie show", **period).group
    kea = Person.objects.get(first_name="Kea")
    erasing.erase(kea, by=BY, now=now)
    assert list(
        GroupVisit.objects.filter(pk__in=[hers.pk, other.pk]).order_by("pk").values_list("name", flat=True)
    ) == [
        "… and friend",
        "Kanarie show",
    ]


def test_the_file_holds_everything_that_is_theirs(house):
    person_id = through_the_interfaces(house)
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        marks = mark(admin, person_id)
    with tenant_transaction(house["tenant"].pk):
        content = exporting.export(Person.objects.get(pk=person_id), by=BY, now=timezone.now())
    archive = zipfile.ZipFile(io.BytesIO(content))
    told, read = archive.read("person.json").decode(), archive.read("person.html").decode()
    missing = {name for name, marker in marks.items() if marker not in told}
    assert missing == set(NOT_IN_THE_FILE) & set(marks)
    assert {name for name, marker in marks.items() if marker not in read} == missing
    parts = json.loads(told)
    assert "Kanarie" in parts["files_they_stood_in"][0]["file"]
    assert parts["told_to_other_systems"][0]["system"] == "Hook"
