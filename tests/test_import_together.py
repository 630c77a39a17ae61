"""Rows of a file written many at once: in few statements, each person whole, nobody held up by another's trouble."""

from datetime import timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialState
from accesscontrol.people import finding
from accesscontrol.people.models import Group, GroupMembership, Person, PersonState
from accesscontrol.visits import batches
from accesscontrol.visits.importing import files
from accesscontrol.visits.models import BatchItem
from accounts.models import AuditEvent
from tests import world
from tests.test_import import applied, fates, groups_of, uploaded
from tests.world import BY, NOW

# A portion of rows with groups and cards takes so many statements, however many rows there are.
NEW_ROWS, CHANGED_ROWS = 54, 33


def statements_of(deed):
    with CaptureQueriesContext(connection) as captured:
        deed()
    return len(captured)


def test_more_rows_take_no_more_statements(acme):
    world.a_group("Staff")

    def rows(first, count, last_name):
        return [
            [str(number), "P", last_name, f"p{number}@example.com", "Staff", f"C{number}"]
            for number in range(first, first + count)
        ]

    def work():
        batches.work(NOW)

    counts = []
    for first, count in ((0, 2), (100, 60)):
        for last_name in ("New", "Changed"):
            files.start(uploaded(*rows(first, count, last_name)), by=BY, now=NOW)
            counts.append(statements_of(work))
            while batches.work(NOW):
                pass
    assert counts == [NEW_ROWS, CHANGED_ROWS] * 2
    assert Person.objects.filter(last_name="Changed").count() == 62


def test_one_row_of_many_that_cannot_be_written_takes_nobody_with_it(acme, caplog):
    count = 40
    rows = [[str(number), f"P{number}", "", "", "", f"C{number}"] for number in range(count)]
    rows[17][5] = "C 3"
    # A space is no difference: the seventeenth has the card of the third, which no look at the file alone can see.
    source = uploaded(*rows)
    assert {fate for _, fate, _, _ in fates(source)} == {"new"}
    batch = applied(source)
    assert (batch.done, batch.failed) == (count - 1, 1)
    [failed] = BatchItem.objects.filter(batch=batch, state="failed").select_related("row")
    assert (failed.row.line, failed.row.person, failed.reason) == (19, None, "This value is not available.")
    assert not Person.objects.filter(system_id="17").exists()
    assert Person.objects.count() == Credential.objects.count() == count - 1
    assert not caplog.records


def test_each_new_person_is_written_whole(acme):
    world.a_group("Staff")
    applied(uploaded(["1", "Ann", "Archer", "", "Staff", "A-1"], ["2", "Bob", "", "bob@example.com", "", ""]))
    ann, bob = Person.objects.order_by("system_id")
    assert [list(finding.search(word)) for word in ("arch", "bob@")] == [[ann], [bob]]
    assert PersonState.objects.filter(ended_at=None, started_at=NOW).count() == 2
    assert {person.retention_at for person in (ann, bob)} == {NOW}
    card = Credential.objects.get(person=ann)
    assert (lifecycle.value_of(card), card.due_at, card.digits) == ("A-1", NOW, None)
    assert [state.enabled for state in CredentialState.objects.filter(credential=card)] == [True]
    told = AuditEvent.objects.filter(subject_type="person").order_by("id")
    assert [(event.verb, event.subject_id, event.fields) for event in told] == [
        ("create", str(ann.pk), ["first_name", "last_name", "system_id"]),
        ("create", str(bob.pk), ["email", "first_name", "system_id"]),
        ("change", str(ann.pk), ["groups"]),
    ]
    assert {(event.actor_kind, event.actor_id) for event in told} == {(BY.kind, BY.id)}


def test_changed_people_keep_their_periods_and_are_told_of_one_by_one(acme):
    ann, bob = (world.a_person(name, system_id=name) for name in ("Ann", "Bob"))
    columns = ["system_id", "last_name", "enabled", "notes"]
    applied(uploaded(["Ann", "Archer", "no", ""], ["Bob", "", "", "builds"], columns=columns))
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.last_name, ann.enabled, ann.notes, ann.updated_at) == ("Archer", False, "", NOW)
    assert (bob.last_name, bob.enabled, bob.notes) == ("", True, "builds")
    assert list(finding.search("archer")) == [ann]
    states = PersonState.objects.filter(person=ann).order_by("id").values_list("enabled", "ended_at")
    assert list(states) == [(True, NOW), (False, None)]
    assert PersonState.objects.filter(person=bob).count() == 1
    told = AuditEvent.objects.filter(subject_type="person", verb="change").order_by("id")
    assert [event.fields for event in told] == [["enabled", "last_name"], ["notes"]]


def test_two_rows_that_name_one_person_differently_have_a_turn_each(acme):
    ann = world.a_person("Ann", system_id="1", email="ann@example.com")
    world.a_group("Staff")
    source = uploaded(
        ["1", "", "", "", "", "C-1"],
        ["", "", "", "ann@example.com", "Staff", ""],
        ["2", "Bob", "", "", "", ""],
    )
    assert [fate for _, fate, _, _ in fates(source)] == ["changed", "changed", "new"]
    assert (applied(source).done, groups_of(ann)) == (3, {"Staff"})
    again = uploaded(["1", "", "Archer", "", "", ""], ["", "", "Baker", "ann@example.com", "", ""])
    batch = applied(again, NOW + timedelta(hours=1))
    ann.refresh_from_db()
    assert (batch.done, batch.failed, ann.last_name) == (1, 1, "Archer")


def test_a_group_is_the_one_that_a_file_means_however_it_is_written(acme):
    group = world.a_group("Straße")
    applied(uploaded(["1", "Ann", "", "", "STRASSE", ""]))
    assert [membership.group for membership in GroupMembership.objects.all()] == [group]
    assert Group.objects.count() == 1
