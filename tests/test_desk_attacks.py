"""What must not happen at the desk: somebody else's visits, markup in a name, a second click, a site without doors."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from accesscontrol.desk.periods import period_of
from accesscontrol.desk.urls import urlpatterns
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import changing, gatherings, leaving, visiting
from accounts.rights import StaffRole
from tests import world
from tests.world import BY

OF_A_VISIT = [str(pattern.pattern) for pattern in urlpatterns if "reservation_id" in pattern.pattern.converters]
NAMES = ['<script>alert(1)</script> & "Co"', "👩‍👩‍👧 Ünïcode", "李小龙", "x" * 120, "O'Hara " + "y" * 120]


@pytest.fixture
def front(acme):
    return world.a_door("Front Door", is_visitor_door=True)


@pytest.fixture
def at_desk(acme):
    def sit(role=StaffRole.FRONT_DESK, email="", **values):
        member = world.a_member(role, email, now=timezone.now(), **values)
        world.a_staff_pin(member)
        return world.signed_in(member.user)

    return sit


def a_visit(name="Ann", **values):
    now = timezone.now()
    values = {"start_time": now, "end_time": now + timedelta(hours=2), "first_name": name} | values
    return visiting.issue(by=BY, now=now, **values).reservation


@pytest.mark.parametrize("route", OF_A_VISIT)
def test_a_host_finds_no_visit_of_others(acme, front, at_desk, route):
    visit = a_visit()
    host = at_desk(StaffRole.HOST)
    path = "/desk/" + route.replace("<int:reservation_id>", str(visit.pk))
    assert host.get(path).status_code in (403, 404, 405)
    assert host.post(path, {"more": "60", "medium": "email"}).status_code in (403, 404, 405)
    before = (visit.end_time, visit.cancelled_at, visit.version)
    visit.refresh_from_db()
    assert (visit.end_time, visit.cancelled_at, visit.version) == before


@pytest.mark.parametrize("route", OF_A_VISIT)
def test_the_desk_of_another_site_finds_no_visit_here(acme, front, at_desk, route):
    visit = a_visit()
    elsewhere = at_desk(sites=[world.a_site("Elsewhere")])
    path = "/desk/" + route.replace("<int:reservation_id>", str(visit.pk))
    assert elsewhere.get(path).status_code in (403, 404, 405)
    assert elsewhere.post(path, {"more": "60", "medium": "email"}).status_code in (403, 404, 405)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_visitor_is_called_is_shown_as_it_is_called(acme, front, at_desk, name):
    client = at_desk()
    form = {"form_id": "f1", "name": name, "address": "", "doors": [front.pk], "period": "hour", "deliver": "none"}
    assert client.post("/desk/visits/new/", form).status_code == 200
    visit = Reservation.objects.select_related("person").get()
    assert visit.person.name == name
    for path in ("", f"visits/{visit.pk}/", f"visits/{visit.pk}/badge/", f"people/{visit.person_id}/", "people/?q=an"):
        page = client.get(f"/desk/{path}").content.decode()
        assert "<script>alert" not in page


@pytest.mark.parametrize("name", ["x" * 121, "Ann " + "y" * 121, "Ann\nArbor", "a\x07b", " "])
def test_what_is_no_name_is_said_beside_the_field(acme, front, at_desk, name):
    form = {"form_id": "f1", "name": name, "doors": [front.pk], "period": "hour"}
    for path in ("visits/new/", "visits/new/recurring/"):
        answer = at_desk(email=f"{len(path)}@acme.example").post(f"/desk/{path}", form)
        assert answer.status_code == 422
        assert "name" in answer.context["form"].errors
    assert not Person.objects.exists()


def test_the_second_click_does_nothing_more(acme, front, at_desk):
    client, visit = at_desk(), a_visit()
    steps = [("check-in", {}), ("extend", {"more": "60"}), ("check-out", {}), ("end", {})]
    for step, asked in steps:
        visit.refresh_from_db()
        sent = {**asked, "version": visit.version}
        assert client.post(f"/desk/visits/{visit.pk}/{step}/", sent).status_code == 302, step
        visit.refresh_from_db()
        after = (visit.version, visit.end_time, visit.checked_in_at, visit.checked_out_at)
        # The same form again: it shows what was true before, so it is refused or changes nothing.
        assert client.post(f"/desk/visits/{visit.pk}/{step}/", sent).status_code in (302, 409), step
        visit.refresh_from_db()
        assert (visit.version, visit.end_time, visit.checked_in_at, visit.checked_out_at) == after, step


def test_a_group_that_a_colleague_has_changed_is_not_changed_again_unseen(acme, front, at_desk):
    now = timezone.now()
    guests, _wrong = gatherings.parse_guests("Bea Blue\nGus Green")
    made = gatherings.issue_group(
        guests, name="Board", start_time=now, end_time=now + timedelta(hours=2), channels=[front], by=BY, now=now
    )
    client, path = at_desk(), f"/desk/groups/{made.group.pk}/"
    seen = gatherings.version_of(Reservation.objects.all())
    assert client.post(f"{path}extend/", {"more": "60", "version": seen}).status_code == 302
    ends = set(Reservation.objects.values_list("end_time", flat=True))
    for step in ("extend", "end"):
        answer = client.post(f"{path}{step}/", {"more": "120", "version": seen})
        assert answer.status_code == 409
        assert "Changed by" in answer.content.decode()
    assert set(Reservation.objects.values_list("end_time", flat=True)) == ends


def a_group(front, **values):
    now = timezone.now()
    guests, _wrong = gatherings.parse_guests("Bea Blue\nGus Green\nRay Red")
    given = {"name": "Board", "start_time": now, "end_time": now + timedelta(hours=2), "channels": [front]}
    return gatherings.issue_group(guests, by=BY, now=now, **(given | values))


def doors_of(visit):
    return set(ReservationChannel.objects.filter(OPEN, reservation=visit).values_list("channel_id", flat=True))


def test_a_group_goes_on_after_somebody_of_it_was_deleted(acme, front, at_desk):
    made, client = a_group(front), at_desk()
    leaving.delete_person(made.visits[0].person, by=BY, now=timezone.now())
    path = f"/desk/groups/{made.group.pk}/"
    for step in ("extend", "end"):
        version = client.get(path).context["version"]
        assert client.post(f"{path}{step}/", {"more": "60", "version": version}).status_code == 302, step
    assert not any(visit.end_time > timezone.now() for visit in Reservation.objects.filter(cancelled_at=None))


def test_a_visit_that_was_moved_to_another_site_is_that_sites_alone(acme, front, at_desk):
    made, other = a_group(front), world.a_door("Other", site=world.a_site("Elsewhere"))
    away = made.visits[0]
    times = {"start_time": away.start_time, "end_time": away.end_time}
    changing.move(away, **times, channels=[other], by=BY, now=timezone.now())
    client, path = at_desk(sites=[front.site]), f"/desk/groups/{made.group.pk}/"
    before = list(Reservation.objects.filter(pk=away.pk).values())
    for route in OF_A_VISIT:
        address = "/desk/" + route.replace("<int:reservation_id>", str(away.pk))
        assert client.post(address, {"more": "60", "medium": "email"}).status_code in (404, 405), route
    assert [visit.pk for visit, _state in client.get(path).context["visits"]] == [one.pk for one in made.visits[1:]]
    for step in ("extend", "end"):
        assert client.post(f"{path}{step}/", {"more": "60"}).status_code == 403, step
    assert list(Reservation.objects.filter(pk=away.pk).values()) == before


def test_moving_a_group_leaves_the_doors_that_the_form_does_not_offer(acme, front, at_desk):
    lab, side = world.a_door("Lab"), world.a_door("Side Door", is_visitor_door=True)
    host = world.a_member(StaffRole.HOST, "host@acme.example", now=timezone.now())
    world.a_staff_pin(host)
    made = a_group(front, channels=[front, lab], host=host)
    alone = made.visits[0]
    times = {"start_time": alone.start_time, "end_time": alone.end_time}
    changing.move(alone, **times, channels=[front], by=BY, now=timezone.now())
    starts = timezone.localtime()
    sent = {"start": f"{starts:%Y-%m-%dT%H:%M}", "end": f"{starts + timedelta(hours=3):%Y-%m-%dT%H:%M}"}
    path = f"/desk/groups/{made.group.pk}/move/"
    assert world.signed_in(host.user).post(path, {**sent, "doors": [side.pk]}).status_code == 302
    expected = [{side.pk}, {side.pk, lab.pk}, {side.pk, lab.pk}]
    assert [doors_of(visit) for visit in made.visits] == expected


def test_five_visits_at_once_are_all_named_before_another_is_issued(acme, front, at_desk):
    person = a_visit("Ann", email="ann@example.com").person
    for _ in range(4):
        a_visit(person=person)
    form = {"form_id": "f1", "name": "Ann", "address": "ann@example.com", "doors": [front.pk], "period": "hour"}
    client = at_desk()
    answer = client.post("/desk/visits/new/", form)
    assert answer.status_code == 409
    assert len(answer.context["overlaps"]) == 5
    assert client.post("/desk/visits/new/", form | {"overlap_seen": "1"}).status_code in (200, 302)
    assert Reservation.objects.count() == 6


def test_sites_without_visitor_doors_without_doors_and_no_site(acme, at_desk):
    owner = at_desk(StaffRole.OWNER)
    assert "No site yet" in owner.get("/desk/").content.decode()
    site = world.a_site("Empty")
    for path in ("", "visits/new/", "visits/new/group/", "visits/new/recurring/", "emergency/", "inside/"):
        assert owner.get(f"/desk/{path}").status_code == 200, path
    form = {"form_id": "f1", "name": "Ann", "period": "hour"}
    assert "doors" in owner.post("/desk/visits/new/", form).context["form"].errors
    lab = world.a_door("Lab", site=site)
    page = owner.get("/desk/visits/new/")
    assert page.context["form"]["doors"].initial == []
    assert owner.post("/desk/visits/new/", form | {"doors": [lab.pk]}).status_code == 200


@pytest.mark.parametrize(
    ("day", "lasts"), [(datetime(2026, 10, 25, 0, 30), 18.5), (datetime(2026, 3, 29, 0, 30), 16.5)]
)
def test_until_closing_on_the_nights_when_the_clocks_change(day, lasts):
    """Closing at 18:00 is 18:00 on the wall, whether the day has 25 hours or 23."""
    zone = ZoneInfo("Europe/Berlin")
    now = day.replace(tzinfo=zone)
    start, end = period_of("closing", now, zone, lambda moment: datetime.combine(day.date(), time(18), zone))
    assert end.astimezone(zone).time() == time(18)
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=lasts)
