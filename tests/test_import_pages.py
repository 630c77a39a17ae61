"""The pages of an import: who may open them, what is uploaded, said, shown, downloaded and applied."""

import csv
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import load_workbook

from accesscontrol.people.models import Person
from accesscontrol.visits import batches
from accesscontrol.visits.importing import checking, columns, files
from accesscontrol.visits.models import Import, ImportPart
from accounts.models import AuditEvent, Membership
from accounts.rights import StaffRole
from tests import world
from tests.world import NOW

PAGES = "/admin/visits/import/"
LIST = "Vorname;Nachname;E-Mail;PIN\nAnn;Archer;ann@example.com;1234\n;Nobody;;\nBob;Builder;nonsense;\n"


@pytest.fixture
def manager(acme):
    return world.signed_in(world.a_member(StaffRole.MANAGER).user)


def send(client, content=LIST, name="people.csv"):
    content = content if isinstance(content, bytes) else content.encode("cp1252")
    return client.post(f"{PAGES}add/", {"file": SimpleUploadedFile(name, content)})


def said(*named, **values):
    return (
        {"has_headings": "on", "adds_people": "on", "day_first": "yes"}
        | values
        | {f"column_{number}": name for number, name in enumerate(named)}
    )


def text_of(response):
    return b"".join(response.streaming_content).decode("utf-8-sig")


def test_a_file_is_uploaded_named_checked_and_applied(manager):
    answer = send(manager)
    [source] = Import.objects.all()
    page = f"{PAGES}{source.pk}/"
    assert answer.url == f"{page}columns/"
    form = manager.get(answer.url).content.decode()
    assert "PINs are not taken from files" in form
    assert "Such as: Ann · Bob" in form
    assert 'value="first_name" selected' in form
    assert "1234" not in form
    answer = manager.post(f"{page}columns/", said("first_name", "last_name", "email", ""))
    assert answer.url == f"{page}change/"
    assert 'data-state="Running"' in manager.get(f"{page}progress/").content.decode()
    while checking.work(NOW):
        pass
    assert not Person.objects.exists()
    shown = manager.get(f"{page}change/").content.decode()
    for words in ("Ann Archer", "First name:</span> The first name is missing.", "This is no e-mail address."):
        assert words in shown
    refused = manager.get(f"{page}change/?fate=refused").content.decode()
    assert "Ann Archer" not in refused
    path, member = f"{page}rows.csv?fate=refused", Membership.objects.get(user__email="manager@acme.example")
    world.a_staff_pin(member)
    assert "Your PIN" in manager.get(path).content.decode()
    world.confirm(manager, member)
    rows = list(csv.reader(io.StringIO(text_of(manager.get(path)))))
    assert rows == [
        ["Row", "Fate", "Field", "Reason", "Changed", "Vorname", "Nachname", "E-Mail", "PIN"],
        ["3", "Refused", "First name", "The first name is missing.", "", "", "Nobody"],
        ["4", "Refused", "E-mail address", "This is no e-mail address.", "", "Bob", "Builder", "nonsense"],
    ]
    manager.post(f"{page}apply/")
    while batches.work(NOW):
        pass
    assert Person.objects.get().name == "Ann Archer"
    shown = manager.get(f"{page}change/").content.decode()
    assert "1 of 1" in shown
    assert "Applied" in shown
    assert not ImportPart.objects.exists()
    for step in ("columns", "apply", "discard"):
        assert manager.get(f"{page}{step}/").status_code == 404
    assert "nonsense" not in text_of(manager.get(f"{page}rows.csv"))
    assert "people.csv" in manager.get(PAGES).content.decode()
    assert AuditEvent.objects.filter(verb="export", subject_type="import").count() == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "submitted file is empty"),
        (b"\n\n", "There is nobody in this file."),
        (b"PK\x03\x04 no archive", "cannot be read"),
        (b"\xd0\xcf\x11\xe0 old excel", "Save it as Excel workbook"),
    ],
)
def test_what_cannot_be_read_is_told_beside_the_field(manager, content, words):
    answer = send(manager, content)
    assert words in answer.content.decode()
    assert not Import.objects.exists()


def test_columns_that_make_no_sense_are_told(manager):
    send(manager)
    page = f"{PAGES}{Import.objects.get().pk}/columns/"
    assert "Two columns are said to be" in manager.post(page, said("email", "email", "", "")).content.decode()
    assert "Say which column" in manager.post(page, said("", "notes", "", "")).content.decode()
    wrong = manager.post(page, said("first_name", "", "", "", country_code="49")).content.decode()
    assert "such as +49" in wrong
    assert Import.objects.get().state == "uploaded"


def test_a_file_is_discarded(manager):
    send(manager)
    manager.post(f"{PAGES}{Import.objects.get().pk}/discard/")
    assert not Import.objects.exists()
    assert AuditEvent.objects.filter(verb="discard", subject_type="import").count() == 1


def test_who_may_not_import_sees_nothing_of_it(acme, manager):
    send(manager)
    page = f"{PAGES}{Import.objects.get().pk}/"
    site = world.a_site()
    limited = world.signed_in(world.a_member(StaffRole.MANAGER, "limited@acme.example", sites=[site]).user)
    for client in (limited, world.signed_in(world.a_member(StaffRole.AUDITOR).user)):
        assert "/visits/import/" not in client.get("/admin/").content.decode()
        for path in ("", "add/", "template.csv", "template.xlsx"):
            assert client.get(f"{PAGES}{path}").status_code == 403, path
        for path in ("change/", "progress/", "rows.csv", "columns/"):
            assert client.get(f"{page}{path}").status_code in (403, 404), path


def test_the_front_desk_creates_no_groups(manager):
    send(manager)
    page = f"{PAGES}{Import.objects.get().pk}/columns/"
    desk = world.signed_in(world.a_member(StaffRole.FRONT_DESK).user)
    assert "creates_groups" not in desk.get(page).content.decode()
    desk.post(page, said("first_name", "", "", "", creates_groups="on"))
    assert Import.objects.get().plan["creates_groups"] is False
    assert "creates_groups" in manager.get(page).content.decode()


def test_empty_lists_are_understood_when_they_come_back(manager):
    content = manager.get(f"{PAGES}template.xlsx").content
    sheet = load_workbook(io.BytesIO(content)).active
    # Numbers of cards and telephones keep their zeros and their plus.
    assert sheet.column_dimensions["F"].number_format == "@"
    headings = [cell.value for cell in sheet[1]]
    assert manager.get(f"{PAGES}template.csv").content.decode("utf-8-sig").strip().split(",") == headings
    assert all(columns.guess(headings))
    send(manager, content, "people.xlsx")
    assert files.head(Import.objects.get())[0][1] == headings


def test_pages_of_rows_are_turned(manager):
    send(manager, "Vorname\n" + "\n".join(f"P{number}" for number in range(60)))
    source = Import.objects.get()
    page = f"{PAGES}{source.pk}/"
    manager.post(f"{page}columns/", said("first_name"))
    while checking.work(NOW):
        pass
    first = manager.get(f"{page}change/").content.decode()
    assert "Row 51" in first
    assert "Row 52" not in first
    second = manager.get(f"{page}change/?page=2").content.decode()
    assert "Row 52" in second
    assert "Row 61" in second
    for wrong in ("page=0", "page=x", "page=999999", "fate=other"):
        assert manager.get(f"{page}change/?{wrong}").status_code == 200, wrong
