"""People, groups and cards from a file: what each row would do, and that exactly this is done, once."""

import signal
import subprocess
import sys
import time
from datetime import UTC, date
from zoneinfo import ZoneInfo

import pytest
from django.db import connections

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.overview import erasing
from accesscontrol.people import finding, records
from accesscontrol.people.models import Group, GroupMembership, Person
from accesscontrol.visits import batches, belonging, issuing, leaving
from accesscontrol.visits.importing import applying, cells, checking, columns, files
from accesscontrol.visits.importing.plans import ColumnsMissing, ColumnTwice, Plan
from accesscontrol.visits.models import Batch, BatchItem, Import, ImportPart, ImportRow
from accesscontrol.visits.tasks import work_off
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from tests import world
from tests.rotating import PROJECT, environment
from tests.test_races import at_once
from tests.world import BY, NOW

FULL = ["system_id", "first_name", "last_name", "email", "groups", "card"]


def uploaded(*rows, columns=FULL, **how):
    text = "\n".join(";".join(row) for row in [columns, *rows])
    source = files.upload("people.csv", text.encode(), by=BY, now=NOW)
    files.check(source, Plan(columns=list(columns), **how), by=BY, now=NOW)
    while checking.work(NOW):
        pass
    source.refresh_from_db()
    assert source.state == Import.State.CHECKED
    return source


def fates(source):
    return [
        (row.line, row.fate, row.field or row.changed, row.reason)
        for row in ImportRow.objects.filter(source=source).order_by("line")
    ]


def applied(source, now=NOW):
    batch = files.start(source, by=BY, now=now)
    while batches.work(now):
        pass
    batch.refresh_from_db()
    source.refresh_from_db()
    return batch


def groups_of(person):
    rows = GroupMembership.objects.filter(person=person, ended_at=None)
    return set(rows.values_list("group__name", flat=True))


def test_every_row_has_its_fate_before_anything_is_written(acme):
    staff = world.a_group("Staff")
    ann = world.a_person("Ann", last_name="Archer", email="Ann@example.com", system_id="1")
    belonging.set_groups(ann, [staff], by=BY, now=NOW)
    bob = world.a_person("Bob", last_name="Builder", email="bob@example.com")
    world.a_card(bob, "B-1")
    source = uploaded(
        ["1", "Ann", "Archer", "Ann@example.com", "staff", ""],
        ["1x", "Bob", "Baker", "BOB@example.com", "", "B-1"],
        ["3", "Cy", "Cole", "cy@example.com", "Staff", "C-1"],
        ["4", "", "Doe", "", "", ""],
        ["5", "Ed", "Eden", "no address", "", ""],
        ["6", "Flo", "Ford", "", "Cleaning", ""],
        ["3", "Cy", "Again", "", "", ""],
        ["9", "Hal", "Hunt", "bob@EXAMPLE.org", "", "B-1"],
        ["10", "Ida", "Ives", "", "", "not a card!"],
        ["11", "Jo", "Jones", "Ann@example.com", "", ""],
    )
    twin = "Row {} of this file is about the same person or card."
    assert fates(source) == [
        (2, "unchanged", [], ""),
        (3, "changed", ["system_id", "last_name", "email"], ""),
        (4, "new", ["system_id", "first_name", "last_name", "email", "groups", "card"], ""),
        (5, "refused", "first_name", "The first name is missing."),
        (6, "refused", "email", "This is no e-mail address."),
        (7, "refused", "groups", "There is no group “Cleaning”."),
        (8, "refused", [], twin.format(4)),
        (9, "refused", [], twin.format(3)),
        (10, "refused", "card", "A card number has 1 to 64 letters and digits."),
        (11, "refused", "email", "Somebody with another id has this e-mail address"),
    ]
    assert ImportRow.objects.get(source=source, line=11).other == ann
    assert (source.total, Person.objects.count(), Credential.objects.count()) == (10, 2, 1)


def test_what_was_announced_is_done_once_and_the_content_is_erased(acme):
    world.a_group("Staff")
    bob = world.a_person("Bob", email="bob@example.com")
    source = uploaded(
        ["7", "Bob", "Builder", "bob@example.com", "", "B-7"],
        ["8", "Zoë", "Müller", "zoe@example.com", "Staff, Night shift", "Z-8"],
        ["9", "", "", "", "", ""],
        creates_groups=True,
    )
    batch = applied(source)
    assert (batch.total, batch.done, batch.failed) == (2, 2, 0)
    bob.refresh_from_db()
    assert (bob.system_id, bob.last_name) == ("7", "Builder")
    zoe = Person.objects.get(system_id="8")
    assert list(finding.search("muell")) == [zoe]
    assert groups_of(zoe) == {"Staff", "Night shift"}
    assert Credential.objects.filter(type=CredentialType.CARD, revoked_at=None).count() == 2
    assert source.state == Import.State.FINISHED
    assert not ImportPart.objects.exists()
    assert ImportRow.objects.get(source=source, line=3).person == zoe
    with pytest.raises(files.StartedAlready):
        files.start(source, by=BY, now=NOW)
    verbs = AuditEvent.objects.filter(subject_type="import").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["upload", "check", "apply"]


def test_the_file_is_sealed_while_it_waits(acme):
    source = files.upload("people.csv", b"Name\nKanarienvogel", by=BY, now=NOW)
    [part] = ImportPart.objects.filter(source=source)
    assert b"Kanarienvogel" not in bytes(part.sealed)
    assert files.head(source) == [(1, ["Name"]), (2, ["Kanarienvogel"])]


def test_whoever_was_changed_since_the_check_is_left_as_they_are(acme):
    ann, bob = (world.a_person(name, system_id=name) for name in ("Ann", "Bob"))
    gone = world.a_person("Gone", system_id="Gone")
    rows = [[number, "", "Imported", "", "", ""] for number in ("Ann", "Bob", "Gone")]
    source = uploaded(*rows, ["Cy", "Cy", "Imported", "", "", ""])
    records.change(ann, {"last_name": "By Hand"}, by=BY, now=NOW.replace(hour=10))
    leaving.delete_person(gone, by=BY, now=NOW.replace(hour=10))
    world.a_person("Cy", system_id="Cy")
    batch = applied(source)
    assert (batch.done, batch.failed) == (1, 3)
    assert {person.first_name: person.last_name for person in Person.objects.all()} == {
        "Ann": "By Hand",
        "Bob": "Imported",
        "Gone": "",
        "Cy": "",
    }
    reasons = BatchItem.objects.filter(batch=batch, state="failed").values_list("reason", flat=True)
    assert any("changed after the file was checked" in reason for reason in reasons)
    bob.refresh_from_db()
    assert bob.last_name == "Imported"


def test_a_card_that_is_given_away_meanwhile_stops_nobody_else(acme):
    source = uploaded(["1", "Ann", "", "", "", "C-1"], ["2", "Bob", "", "", "", "C-2"])
    world.a_card(world.a_person("Cy"), "C-1")
    batch = applied(source)
    assert (batch.done, batch.failed) == (1, 1)
    assert not Person.objects.filter(first_name="Ann").exists()


def test_cards_are_replaced_where_that_is_asked_for(acme):
    ann = world.a_person("Ann", system_id="1")
    old = world.a_card(ann, "OLD")
    row = ["1", "", "", "", "", "NEW"]
    assert fates(uploaded(row))[0][1:3] == ("refused", "card")
    source = uploaded(row, replaces_cards=True)
    assert fates(source)[0][1:3] == ("changed", ["card"])
    applied(source)
    old.refresh_from_db()
    assert old.revoked_at == NOW
    assert Credential.objects.filter(person=ann, revoked_at=None).count() == 1
    assert fates(uploaded(["1", "", "", "", "", "NEW"]))[0][1] == "unchanged"


def test_groups_are_added_to_or_replaced(acme):
    ann = world.a_person("Ann", system_id="1")
    belonging.set_groups(ann, [world.a_group("Old"), world.a_group("Both")], by=BY, now=NOW)
    world.a_group("New")
    row = ["1", "", "", "", "New, both", ""]
    applied(uploaded(row))
    assert groups_of(ann) == {"Old", "Both", "New"}
    applied(uploaded(row, replaces_groups=True))
    assert groups_of(ann) == {"Both", "New"}
    assert fates(uploaded(row))[0][1] == "unchanged"


def test_people_are_found_by_name_where_that_is_asked_for(acme):
    world.a_person("Ann", last_name="Archer")
    for _ in range(2):
        world.a_person("Bob", last_name="Builder")
    rows = [["Ann Archer", "Porter"], ["Builder, Bob", "Porter"], ["Cy Cole", "Porter"]]
    source = uploaded(*rows, columns=["name", "job_title"], finds_by_name=True, adds_people=False)
    assert [fate for _, fate, _, _ in fates(source)] == ["changed", "refused", "refused"]
    assert fates(source)[1][3].startswith("2 people are called this")
    assert [fate for _, fate, _, _ in fates(uploaded(*rows, columns=["name", "job_title"]))] == ["new"] * 3


def test_a_shared_person_and_other_tenants_are_never_meant(acme):
    world.a_person("Party", email="p@example.com", kind=Person.Kind.SHARED)
    source = uploaded(["", "Party", "", "p@example.com", "", ""])
    assert fates(source)[0][1] == "new"


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("mobile", "0171 1234567", "+491711234567"),
        ("mobile", "0049 (0)171/12345-67", "+491711234567"),
        ("mobile", "+44 7700 900123", "+447700900123"),
        ("birthday", "31.7.1990", date(1990, 7, 31)),
        ("birthday", "1990-07-31", date(1990, 7, 31)),
        ("birthday", "31/07/1990", date(1990, 7, 31)),
        ("enabled", "Ja", True),
        ("enabled", "inactive", False),
        ("kind", "Besucher", "visitor"),
        ("language", "Deutsch", "de"),
        ("card", "12 34-A", "1234-A"),
        ("valid_from", "2026-07-31", "2026-07-30T22:00:00+00:00"),
        ("valid_to", "31.07.2026", "2026-07-31T22:00:00+00:00"),
        ("valid_to", "2026-07-31 17:30", "2026-07-31T15:30:00+00:00"),
    ],
)
def test_cells_say_what_people_mean(name, cell, value):
    manner = cells.Manner(True, "+49", ZoneInfo("Europe/Berlin"))
    found = cells.value_of(name, cell, manner)
    assert (found.astimezone(UTC).isoformat() if name.startswith("valid") else found) == value


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("birthday", "31.13.1990"),
        ("birthday", "1.1.90"),
        ("birthday", "yesterday"),
        ("enabled", "maybe"),
        ("kind", "shared"),
        ("mobile", "171"),
        ("first_name", "A" * 121),
        ("first_name", "A\nB"),
        ("valid_to", "2026-07-31 25:00"),
        ("language", "Klingon"),
    ],
)
def test_cells_that_say_nothing_name_their_field(name, cell):
    with pytest.raises(cells.Unfit) as unfit:
        cells.value_of(name, cell, cells.Manner(True, "", ZoneInfo("Europe/Berlin")))
    assert unfit.value.field == name
    assert cell not in unfit.value.reason


@pytest.mark.parametrize(
    ("headings", "meant"),
    [
        (["Vorname", "Nachname", "E-Mail", "Handy"], ["first_name", "last_name", "email", "mobile"]),
        (["Nombre", "Apellidos", "Correo electrónico"], ["first_name", "last_name", "email"]),
        (["First Name", "SURNAME", "Employee ID", "Badge no"], ["first_name", "last_name", "system_id", ""]),
        (["Gültig ab", "GUELTIG BIS", "Karten-Nr.", "PIN"], ["valid_from", "valid_to", "", ""]),
        ([column.label for column in columns.COLUMNS], [column.name for column in columns.COLUMNS]),
        (["E-mail", "Mail"], ["email", ""]),
    ],
)
def test_headings_are_guessed(headings, meant):
    assert columns.guess(headings) == meant
    assert columns.have_headings([(1, headings)])


def test_columns_must_make_sense(acme):
    source = files.upload("people.csv", b"a,b", by=BY, now=NOW)
    for wrong, refusal in (
        (["first_name", "first_name"], ColumnTwice),
        (["name", "last_name"], ColumnTwice),
        (["notes", ""], ColumnsMissing),
    ):
        with pytest.raises(refusal):
            files.check(source, Plan(columns=wrong), by=BY, now=NOW)
    with pytest.raises(files.NoRows):
        files.upload("people.csv", b"\n\n", by=BY, now=NOW)
    with pytest.raises(files.NotChecked):
        files.start(source, by=BY, now=NOW)
    checked = uploaded(["", "", "", "", "", ""], ["1", "", "", "", "", ""])
    with pytest.raises(files.NothingToDo):
        files.start(checked, by=BY, now=NOW)


def test_a_file_that_nobody_applied_is_forgotten(acme):
    uploaded(["1", "Ann", "", "", "", ""])
    batches.discard_stale(NOW + files.KEEP / 2)
    assert Import.objects.exists()
    batches.discard_stale(NOW + files.KEEP)
    assert not Import.objects.exists()
    assert not ImportPart.objects.exists()


def test_a_stopped_import_erases_the_content_too(acme, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_OF_ROWS", 2)
    source = uploaded(*([str(number), f"P{number}", "", "", "", ""] for number in range(5)))
    batch = files.start(source, by=BY, now=NOW)
    batches.work(NOW)
    batches.stop(batch, by=BY, now=NOW)
    source.refresh_from_db()
    assert (source.state, ImportPart.objects.count(), Person.objects.count()) == ("finished", 0, 2)


def test_trouble_with_one_row_stops_no_other(acme, monkeypatch, caplog):
    genuine = issuing.issue_cards

    def breaks_for_one(cards, **values):
        if any(person.first_name == "Bob" for person in cards):
            raise RuntimeError("48151623")
        genuine(cards, **values)

    monkeypatch.setattr(applying.issuing, "issue_cards", breaks_for_one)
    batch = applied(
        uploaded(["1", "Ann", "", "", "", "A"], ["2", "Bob", "", "", "", "B"], ["3", "Cy", "", "", "", "C"])
    )
    assert (batch.done, batch.failed) == (2, 1)
    assert not Person.objects.filter(first_name="Bob").exists()
    assert "48151623" not in caplog.text


def many(count):
    rows = (
        [str(number), f"P{number}", "Person", f"p{number}@example.com", "Staff", f"C{number}"]
        for number in range(count)
    )
    source = uploaded(*rows, creates_groups=True)
    return files.start(source, by=BY, now=NOW)


def test_two_workers_share_the_rows(live):
    batch = world.committed(live.acme, many, 250)
    connections.close_all()
    at_once(2, lambda _: work_off())
    with tenant_transaction(live.acme.pk):
        batch.refresh_from_db()
        assert (batch.done, batch.failed) == (250, 0)
        assert Person.objects.count() == 250
        assert Credential.objects.count() == 250
        assert Group.objects.count() == 1


_WORKER = """
import django; django.setup()
from accesscontrol.visits import batches
batches.CHUNK_OF_ROWS = 10
from accesscontrol.visits.tasks import work_off
print("begin", flush=True)
work_off()
"""


def test_a_killed_worker_leaves_no_row_half_done(live):
    batch = world.committed(live.acme, many, 300)
    connections.close_all()
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WORKER],
        cwd=PROJECT,
        env={**environment(), "DJANGO_SETTINGS_MODULE": "accesscontrol.settings"},
        stdout=subprocess.PIPE,
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"begin\n"
        until, done = time.monotonic() + 180, 0
        while not done and time.monotonic() < until:
            with tenant_transaction(live.acme.pk):
                done = Batch.objects.get(pk=batch.pk).done
            time.sleep(0.01)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    with tenant_transaction(live.acme.pk):
        batch.refresh_from_db()
        assert 0 < batch.done < 300
        assert Person.objects.count() == Credential.objects.count() == batch.done
    # A run lasts half a minute: a busy machine needs more than one.
    for _ in range(20):
        work_off()
    with tenant_transaction(live.acme.pk):
        batch.refresh_from_db()
        assert (batch.done, batch.failed, batch.finished_at is not None) == (300, 0, True)
        assert Person.objects.count() == Credential.objects.count() == 300
        assert GroupMembership.objects.count() == 300


def test_whoever_is_erased_is_taken_out_of_a_file_that_waits(acme):
    ann, bob = world.a_person("Ann", system_id="1"), world.a_person("Bob", system_id="2")
    names = ["system_id", "first_name", "notes"]
    source = uploaded(["1", "Ann", "sings"], ["2", "Bob", "builds"], columns=names)
    erasing.erase(ann, by=BY, now=NOW)
    left = [cells for part in ImportPart.objects.all() for _, cells in files.opened(part)]
    assert not any("Ann" in cells or "sings" in cells for cells in left)
    assert any("builds" in cells for cells in left)
    found = dict(ImportRow.objects.filter(source=source).values_list("person_id", "fate"))
    assert found == {ann.pk: "refused", bob.pk: "changed"}
