"""The desk's pages without a browser: who may, what is asked of the database, what is never told."""

import io
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from openpyxl import Workbook

from accesscontrol.desk import guest_list
from accesscontrol.desk.addresses import as_mobile, split_name
from accesscontrol.desk.periods import period_of
from accesscontrol.reservations.models import Reservation
from accounts.rights import StaffRole
from tests import world

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=BERLIN)


def closing(moment):
    closes = moment.astimezone(BERLIN).replace(hour=18, minute=0)
    return closes if closes > moment else closes + timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("closing", datetime(2026, 7, 1, 18, 0, tzinfo=BERLIN)),
        ("hour", datetime(2026, 7, 1, 13, 0, tzinfo=BERLIN)),
        ("today", datetime(2026, 7, 2, 0, 0, tzinfo=BERLIN)),
        ("three_days", datetime(2026, 7, 3, 18, 0, tzinfo=BERLIN)),
        ("week", datetime(2026, 7, 7, 18, 0, tzinfo=BERLIN)),
    ],
)
def test_periods_of_one_click(name, ends):
    assert period_of(name, NOON, BERLIN, closing) == (NOON, ends)


def test_after_closing_the_day_ends_at_midnight():
    late = NOON.replace(hour=19)
    midnight = datetime(2026, 7, 2, 0, 0, tzinfo=BERLIN)
    assert period_of("closing", late, BERLIN, closing)[1] == midnight
    assert period_of("closing", late, BERLIN, lambda moment: None)[1] == midnight


def test_the_day_on_which_the_clocks_change_is_a_whole_day():
    before = datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN)
    start, end = period_of("today", before, BERLIN, closing)
    assert end == datetime.combine(datetime(2026, 10, 26).date(), time(), BERLIN)
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=24, minutes=30)


def test_names_and_numbers_are_read_as_they_are_typed():
    assert split_name("  Ann  Marie Arbor ") == ("Ann", "Marie Arbor")
    assert as_mobile("030 23125000", "Europe/Berlin") == "+493023125000"
    assert as_mobile("+1 212 555 0100", "Europe/Berlin") == "+12125550100"
    assert as_mobile("hello", "Europe/Berlin") is None
    assert as_mobile("030 23125000", "UTC") is None


def workbook(*rows):
    book, content = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return SimpleUploadedFile("guests.xlsx", content.getvalue())


def test_lists_come_as_csv_and_as_workbook():
    assert guest_list.lines_of(workbook(["Ann Arbor", "ann@example.com"], ["Bo", None])).splitlines() == [
        "Ann Arbor\tann@example.com",
        "Bo",
    ]
    for content in ("Ann Arbor;ann@example.com\r\nBo;\r\n", "﻿Ann Arbor;ann@example.com\nBo;\n"):
        file = SimpleUploadedFile("guests.csv", content.encode())
        assert guest_list.lines_of(file).splitlines()[0] == "Ann Arbor\tann@example.com"


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"a\x00b"])
def test_what_is_no_list_is_refused(content):
    with pytest.raises(guest_list.UnreadableFile):
        guest_list.lines_of(SimpleUploadedFile("guests.csv", content))


def test_a_list_that_is_too_large_is_refused():
    with pytest.raises(guest_list.TooLarge):
        guest_list.lines_of(SimpleUploadedFile("guests.csv", b"x" * (guest_list.MOST_BYTES + 1)))
    with pytest.raises(guest_list.TooLarge):
        guest_list.lines_of(SimpleUploadedFile("guests.csv", b"Ann\n" * (guest_list.MOST + 1)))


@pytest.fixture
def front(acme):
    return world.a_door("Front Door", is_visitor_door=True)


@pytest.fixture
def at_desk(acme, front):
    now = timezone.now()

    def sit(role=StaffRole.FRONT_DESK, **values):
        member = world.a_member(role, now=now, **values)
        world.a_staff_pin(member)
        return world.signed_in(member.user)

    return sit


def test_who_has_no_place_at_the_desk_is_told_so(acme, at_desk):
    assert at_desk(StaffRole.AUDITOR).get("/desk/").status_code == 403
    host = at_desk(StaffRole.HOST)
    assert host.get("/desk/").status_code == 200
    for path in ("people/", "emergency/", "inside/", "visits/new/known/?name=an"):
        assert host.get(f"/desk/{path}").status_code == 403, path


def test_a_visit_is_issued_once_however_often_the_form_is_sent(acme, front, at_desk):
    client = at_desk()
    form = {"form_id": "f1", "name": "Ann Arbor", "address": "", "doors": [front.pk], "period": "hour"}
    first = client.post("/desk/visits/new/", form)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "no-store"
    assert "unsafe" not in first.headers["Content-Security-Policy"]
    assert b"data-shown-once" in first.content
    again = client.post("/desk/visits/new/", form)
    visit = Reservation.objects.get()
    assert (again.status_code, again.url) == (302, f"/desk/visits/{visit.pk}/")
    assert b"data-shown-once" not in client.get(again.url).content


def test_what_is_missing_is_said_beside_its_field(acme, at_desk):
    answer = at_desk().post("/desk/visits/new/", {"form_id": "f1", "address": "nobody@", "period": "other"})
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"name", "address", "doors", "start", "end"}
    assert not Reservation.objects.exists()


def test_nothing_new_is_answered_with_nothing(acme, front, at_desk):
    client, now = at_desk(), timezone.now()
    for number in range(3):
        world.a_reservation(world.a_person(f"Guest{number}", now=now), front, start=now, now=now)
    page = client.get("/desk/")
    with CaptureQueriesContext(
        connection,
    ) as asked:
        answer = client.get("/desk/news/", {"seen": page.context["seen"]})
    assert answer.status_code == 204
    few = len(asked)
    assert few <= 14, few
    world.a_reservation(world.a_person("New", now=now), front, start=now, now=timezone.now())
    assert client.get("/desk/news/", {"seen": page.context["seen"]}).status_code == 200


def test_the_board_asks_as_much_for_many_visits_as_for_few(acme, front, at_desk):
    client, now = at_desk(), timezone.now()
    # The first page notes that the screen is at the desk.
    client.get("/desk/")
    counts = []
    for number in range(12):
        world.a_reservation(world.a_person(f"Guest{number}", now=now), front, start=now, now=now)
        if number in (1, 11):
            with CaptureQueriesContext(connection) as asked:
                assert client.get("/desk/").status_code == 200
            counts.append(len(asked))
    assert counts[0] == counts[1]
