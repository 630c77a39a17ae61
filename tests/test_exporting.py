"""Lists as files: for whom, after which question, with what in them, and nothing that a spreadsheet would run."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from openpyxl import load_workbook

from accesscontrol.access import attempts
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import CredentialType
from accesscontrol.visits import issuing
from accounts.admin import exporting
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from tests import world

CANARY, CARD = "48151623", "CARDKANARIE"
LISTS = {
    "people/person": "person",
    "credentials/credential": "credential",
    "reservations/reservation": "reservation",
    "access/event": "event",
    "accounts/auditevent": "auditevent",
}


@pytest.fixture
def house(acme):
    now = timezone.now()
    front = world.a_door("Front Door", is_visitor_door=True)
    ann = world.a_person(
        "Ann", last_name="=cmd|' /C calc'!A0", email="ann@example.com", mobile="+493012345678", now=now
    )
    world.a_person("Bob", last_name="Builder", now=now)
    world.a_pin(ann, CANARY, now=now)
    issuing.issue(ann, CredentialType.CARD, CARD, by=world.BY, now=now)
    world.a_reservation(ann, front, start=now - timedelta(hours=1), hours=5, now=now)
    attempts.attempt(front.pk, CANARY, type=CredentialType.PIN, now=now)
    return ann


def as_(role, *, confirmed=True, **values):
    member = world.a_member(role, **values)
    world.a_staff_pin(member)
    client = world.signed_in(member.user)
    if confirmed:
        world.confirm(client, member)
    return client


def sent(client, page, kind="csv", query=""):
    response = client.post(f"/admin/{page}/export/{query}", {"kind": kind})
    assert response.status_code == 200, response
    assert "attachment" in response["Content-Disposition"]
    assert "no-store" in response["Cache-Control"]
    content = b"".join(response.streaming_content)
    if kind == "csv":
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    return [[cell.value for cell in row] for row in load_workbook(io.BytesIO(content)).active]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("page", LISTS)
def test_every_list_is_a_file_without_any_pin(house, page, kind):
    rows = sent(as_(StaffRole.MANAGER), page, kind)
    assert len(rows) > 1
    everything = str(rows)
    for secret in (CANARY, CARD):
        assert secret not in everything
    [event] = AuditEvent.objects.filter(verb="export")
    assert (event.subject_type, event.subject_id) == (LISTS[page], "list")
    assert event.fields == sorted([kind, f"{len(rows) - 1} rows"])


def test_a_list_is_a_file_as_it_is_filtered(house):
    manager = as_(StaffRole.MANAGER)
    titles, *rows = sent(manager, "people/person", query="?q=builder")
    assert [row[titles.index("First name")] for row in rows] == ["Bob"]
    assert [row[1] for row in sent(manager, "people/person")[1:]] == ["Ann", "Bob"]
    assert sent(manager, "reservations/reservation", query="?when=over")[1:] == []
    page = manager.get("/admin/people/person/export/?q=builder").content.decode()
    assert "One row of the list" in page
    assert "Europe/Berlin" in page
    assert "/admin/people/person/export/?q=builder" in manager.get("/admin/people/person/?q=builder").content.decode()


def test_times_name_their_zone(house):
    manager = as_(StaffRole.MANAGER)
    titles, row = sent(manager, "access/event")
    here, there = (row[titles.index(title)] for title in ("When (Europe/Berlin)", "When (UTC)"))
    assert here != there
    titles, row = sent(manager, "reservations/reservation", "xlsx")
    assert row[titles.index("From (Europe/Berlin)")].tzinfo is None


def test_no_cell_is_a_formula(house):
    manager = as_(StaffRole.MANAGER)
    titles, ann, _ = sent(manager, "people/person")
    assert ann[titles.index("Last name")].startswith("'=cmd")
    assert ann[titles.index("Mobile number")] == "+493012345678"
    response = manager.post("/admin/people/person/export/", {"kind": "xlsx"})
    content = b"".join(response.streaming_content)
    cell = load_workbook(io.BytesIO(content)).active.cell(2, titles.index("Last name") + 1)
    assert (cell.data_type, cell.value[:4]) == ("s", "=cmd")


@pytest.mark.parametrize("text", ["=1+1", "+1+cmd", "-2+3", "@SUM(A1)", "+49 30 1"])
def test_what_is_harmful_is_kept_from_it(text):
    assert exporting.harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ann;=A1", "Ann;'=A1"),
        ("Ann; @SUM(A1)", "Ann;' @SUM(A1)"),
        ("Ann\n=A1", "Ann\n'=A1"),
        ("＝A1", "'＝A1"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
    ],
)
def test_where_another_spreadsheet_splits_a_line_no_formula_begins(text, shown):
    assert exporting.harmless(text) == shown


@pytest.mark.parametrize("text", ["", "Ann", "+493012345678", "-12.5", "a=b", "2026-07-01", "Sales; Support"])
def test_what_is_harmless_stays(text):
    assert exporting.harmless(text) == text


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_pin_of_the_member_is_asked_first(house, method):
    client = as_(StaffRole.MANAGER, confirmed=False)
    page = getattr(client, method)("/admin/people/person/export/", {"kind": "csv"})
    assert "Your PIN" in page.content.decode()
    assert not AuditEvent.objects.filter(verb="export").exists()


def test_who_may_not_take_lists_away(house):
    for role in (StaffRole.FRONT_DESK, StaffRole.HOST):
        client = as_(role)
        for page in LISTS:
            assert client.post(f"/admin/{page}/export/", {"kind": "csv"}).status_code == 403, (role, page)
    assert (
        "/export/"
        not in as_(StaffRole.FRONT_DESK, email="d@acme.example").get("/admin/people/person/").content.decode()
    )
    auditor = as_(StaffRole.AUDITOR)
    assert len(sent(auditor, "access/event")) == 2


def test_members_of_some_sites_export_theirs(house):
    north = world.a_site("North")
    world.a_person("Noa", site=north)
    world.a_person("Sue", site=world.a_site("South"))
    gate = world.a_door("Gate", site=north)
    attempts.attempt(gate.pk, "00000000", type=CredentialType.PIN, now=timezone.now())
    limited = as_(StaffRole.MANAGER, sites=[north])
    names = [row[1] for row in sent(limited, "people/person")[1:]]
    assert "Noa" in names
    assert "Sue" not in names
    assert [row[3] for row in sent(limited, "access/event")[1:]] == ["Gate"]
    assert limited.post("/admin/accounts/auditevent/export/", {"kind": "csv"}).status_code == 403


def test_a_list_that_is_too_long_is_refused_in_words(house, monkeypatch):
    manager = as_(StaffRole.MANAGER)
    monkeypatch.setattr(exporting, "MOST_IN_WORKBOOK", 1)
    page = manager.post("/admin/people/person/export/", {"kind": "xlsx"})
    assert "narrow the list" in page.content.decode()
    assert len(sent(manager, "people/person")) == 3


def test_a_long_list_is_read_on_from_where_its_last_portion_ended(house, monkeypatch):
    monkeypatch.setattr(exporting, "_PORTION", 2)
    now = timezone.now().replace(microsecond=0)
    north = world.a_door("=North", site=world.a_site("North"))
    # Three at one instant: a portion ends among them.
    for minutes in (5, 4, 4, 4, 3, 0):
        attempts.attempt(north.pk, "00000000", type=CredentialType.CARD, now=now - timedelta(minutes=minutes))
    manager = as_(StaffRole.MANAGER)
    titles, *rows = sent(manager, "access/event")
    expected = Event.objects.order_by("-occurred_at", "-id").values_list("pk", flat=True)
    assert [int(row[0]) for row in rows] == list(expected)
    assert {row[titles.index("Door")] for row in rows} == {"'=North", "Front Door"}
    assert [row[titles.index("Who")] for row in rows if row[titles.index("Door")] == "Front Door"] == [house.name]
    of_north = sent(manager, "access/event", query=f"?door={north.pk}")
    assert [row[0] for row in of_north[1:]] == [row[0] for row in rows if row[titles.index("Site")] == "North"]
    _, *audited = sent(manager, "accounts/auditevent")
    # The record of this file comes after it.
    assert len(audited) == AuditEvent.objects.count() - 1
    assert [row[1] for row in audited] == sorted((row[1] for row in audited), reverse=True)


def test_a_file_begins_before_its_rows_are_read(house):
    manager = as_(StaffRole.MANAGER)
    answer = manager.post("/admin/access/event/export/", {"kind": "csv"})
    pieces = iter(answer.streaming_content)
    with CaptureQueriesContext(connection) as captured:
        assert next(pieces).decode().startswith("\ufeffId,When")
        assert not captured
        assert next(pieces).count(b"\n") == 1
    assert sum("access_event" in query["sql"] for query in captured) == 1


def test_queries_do_not_grow_with_the_rows(house, django_assert_max_num_queries):
    manager = as_(StaffRole.MANAGER)
    for number in range(20):
        world.a_reservation(world.a_person(f"P{number}", site=world.a_site(f"S{number}")))
    for page in LISTS:
        with django_assert_max_num_queries(26):
            sent(manager, page)
