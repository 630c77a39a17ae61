"""The first page of the admin: every number is that of the list it leads to, for whoever looks."""

from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import pairwise
from re import DOTALL, findall, search
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from accesscontrol.access import attempts, counting
from accesscontrol.access.counting import Count
from accesscontrol.access.models import Alarm, ChannelContact, Event
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.overview import hours
from accesscontrol.overview.charts import Period, chart, top_of
from accesscontrol.people.models import Person
from accesscontrol.visits import belonging, odds
from accounts.rights import StaffRole
from pins.deliveries.models import Delivery
from tests import world
from tests.world import BY

SUMMER_ENDS = datetime(2026, 10, 25, tzinfo=UTC).date()
SUMMER_BEGINS = datetime(2026, 3, 29, tzinfo=UTC).date()


def an_event(door, at, person=None, *, admitted=True):
    return Event.objects.create(
        channel=door,
        person=person,
        code=11,
        admitted=admitted,
        reason="" if admitted else "not_permitted_at_this_time",
        occurred_at=at,
    )


@pytest.fixture
def house(acme):
    """Two sites, each with a door in and out, people who came and went, and something to look at."""
    now = timezone.now()
    doors = {}
    for name, zone in (("Berlin", "Europe/Berlin"), ("Kolkata", "Asia/Kolkata")):
        site = world.a_site(name, time_zone=zone)
        doors[name] = world.a_door(f"{name} Front", site=site, is_visitor_door=True)
        doors[f"{name} Exit"] = world.a_door(f"{name} Exit", site=site, direction=Channel.Direction.OUT)
    role = world.a_role("Staff", *doors.values())
    for number in range(6):
        at = "Berlin" if number % 2 else "Kolkata"
        person = world.a_person(f"Person {number}", email=f"{number}@example.com", site=doors[at].site, now=now)
        world.a_pin(person, now=now)
        if number < 4:
            world.a_group(f"Group {number}", role)
            belonging.set_roles(person, [role], by=BY, now=now)
        else:
            world.a_reservation(person, doors[at], start=now, now=now, deliver="email")
        for ago in (0.2, 5, 30, 24 * 9, 24 * 20):
            an_event(doors[at], now - timedelta(hours=ago), person, admitted=ago != 5)
        if number == 1:
            an_event(doors["Berlin Exit"], now, person)
    for number in range(5):
        attempts.attempt(doors["Berlin"].pk, f"90{number}1", type=CredentialType.PIN, now=now)
    Event.objects.create(channel=doors["Kolkata"], code=11, admitted=True, occurred_at=now, credential_type=None)
    Alarm.objects.create(kind="duress", site=doors["Kolkata"].site, channel=doors["Kolkata"], raised_at=now)
    for door in ("Berlin", "Kolkata"):
        wrong = Alarm.Kind.WRONG_PINS
        at = {"site": doors[door].site, "channel": doors[door], "raised_at": now, "last_at": now}
        Alarm.objects.create(kind=wrong, subject=f"channel:{doors[door].pk}", **at)
    ChannelContact.objects.create(channel=doors["Kolkata Exit"], last_contact_at=now - timedelta(hours=1))
    Delivery.objects.filter(pk=Delivery.objects.order_by("pk").first().pk).update(
        state="failed", next_attempt_at=None, failed_at=now
    )
    some = Credential.objects.order_by("pk").first()
    Credential.objects.filter(pk=some.pk).update(rotate_at=now + timedelta(days=3))
    return {"now": now, "doors": doors}


def as_(role, **values):
    return world.signed_in(world.a_member(role, **values).user)


def numbers_of(page):
    """Every number of the page with the address it leads to."""
    html = page.content.decode()
    cards = findall(r'<a href="([^"]+)" class="gh-card">.*?gh-number[^>]*>([\d,+]+)<', html, DOTALL)
    others = findall(r'<a class="underline" href="([^"]+)">([\d,]+)(?: let in| not| PINs?|)</a>', html)
    bars = findall(r'<a href="([^"]+)" tabindex="-1"><rect [^>]*><title>[^<]*: ([\d,]+) (?:not )?let in<', html)
    return [(unescape(link), int(number.replace(",", ""))) for link, number in cards + others + bars]


@pytest.mark.parametrize(
    ("query", "counted"), [("", True), ("hours=today&days=30", False), ("site=Kolkata&days=30", True)]
)
def test_every_number_is_that_of_its_list(house, query, counted):
    if counted:
        while counting.count_new(house["now"]):
            pass
    for name in ("Berlin", "Kolkata"):
        query = query.replace(name, str(house["doors"][name].site_id))
    client = as_(StaffRole.OWNER)
    numbers = numbers_of(client.get(f"/admin/?{query}"))
    assert len(numbers) > 40
    for link, number in numbers:
        listed = client.get(link)
        assert listed.status_code == 200, link
        assert listed.context["cl"].result_count == number, link
        if "site=" in query and "period=" not in link and "opens=" not in link:
            assert "site=" in link


@pytest.mark.parametrize("role", [StaffRole.AUDITOR, StaffRole.MANAGER])
def test_a_member_of_one_site_sees_the_numbers_of_it_alone(house, role):
    berlin = house["doors"]["Berlin"].site
    client = as_(role, email="limited@acme.example", sites=[berlin])
    page = client.get(f"/admin/?site={house['doors']['Kolkata'].site_id}")
    html = page.content.decode()
    assert "Kolkata" not in html
    assert "dashboard-site" not in html
    for link, number in numbers_of(page):
        listed = client.get(link)
        assert listed.status_code == 200, link
        assert listed.context["cl"].result_count == number, link
    whole = as_(StaffRole.OWNER).get("/admin/")
    # Whatever the hour: two bars may lead to one list.
    here, everywhere = (
        sum(number for link, number in dict(numbers_of(each)).items() if "period=" in link) for each in (page, whole)
    )
    assert here < everywhere


def test_what_is_counted_is_what_there_is(house):
    page = as_(StaffRole.OWNER).get("/admin/")
    shown = {card.title: card.number for card in page.context["cards"]}
    assert shown["Possibly inside"] == "5"
    assert shown["Visits today"] == "2"
    assert shown["Open alarms"] == "1"
    assert shown["Suspicious patterns"] == "2"
    assert shown["Failed messages"] == "1"
    assert shown["Guessed at"] == "1"
    assert shown["Out of contact"] == "1"
    assert shown["PINs to rotate"] == "1"
    assert shown["Let in"] == str(
        Event.objects.filter(admitted=True, occurred_at__gt=house["now"] - timedelta(hours=23)).count()
    )
    [front] = [one for one in page.context["odds"] if one.door.name == "Berlin Front"]
    assert front.odds.count == odds.of_channels([front.door.pk], house["now"])[front.door.pk].count == 5


def test_nothing_is_shown_of_pages_that_are_closed(house):
    page = as_(StaffRole.FRONT_DESK).get("/admin/")
    assert "Webhooks paused" not in {card.title for card in page.context["cards"]}
    assert as_(StaffRole.HOST).get("/admin/").status_code == 403


def test_a_new_tenant_sees_first_steps_and_quiet_charts(acme):
    client = as_(StaffRole.OWNER)
    assert "First steps" in client.get("/admin/").content.decode()
    door = world.a_door()
    html = client.get("/admin/").content.decode()
    assert html.count("Nobody has tried a door in th") == 3
    assert door.name in html


@pytest.mark.parametrize("query", ["site=x", "site=99999999999999999999", "hours=x&days=7", "days=99", "e=1"])
def test_strange_queries_are_answered(house, query):
    assert as_(StaffRole.OWNER).get(f"/admin/?{query}").status_code == 200


def test_the_queries_are_the_same_however_many_doors_and_events(house, django_assert_num_queries):
    client = as_(StaffRole.OWNER)
    # The first page of a session writes down that its screen is used.
    client.get("/admin/access/alarm/")
    with django_assert_num_queries(QUERIES):
        client.get("/admin/")
    site = world.a_site("Third")
    for number in range(4):
        attempts.attempt(
            world.a_door(f"Door {number}", site=site).pk, "4711", type=CredentialType.PIN, now=house["now"]
        )
        world.a_person(f"More {number}", kind=Person.Kind.VISITOR, now=house["now"])
    with django_assert_num_queries(QUERIES):
        client.get("/admin/")


QUERIES = 33


def test_the_choice_of_a_site_keeps_the_others_and_the_other_way_round(house):
    site = house["doors"]["Kolkata"].site
    html = as_(StaffRole.OWNER).get(f"/admin/?site={site.pk}&hours=today&days=30").content.decode()
    assert f"?site={site.pk}&amp;hours=24&amp;days=30" in html
    assert f"?site={site.pk}&amp;hours=today&amp;days=14" in html
    assert '<input type="hidden" name="days" value="30">' in html
    assert "IST (Asia/Kolkata)" in html
    begins = search(r"period=(\d{4}-\d\d-\d\dT\d\d)%3A(\d\d)Z", html)
    assert begins[2] == "30"


@pytest.mark.parametrize(("day", "number"), [(SUMMER_ENDS, 25), (SUMMER_BEGINS, 23)])
def test_a_day_on_which_clocks_change_has_all_of_its_hours(day, number):
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    of_day = hours.hours_of_today(now, zone)
    assert len(of_day) == number + 1
    assert {(after - before) for before, after in pairwise(of_day)} == {timedelta(hours=1)}
    days = hours.days(now + timedelta(days=3), zone, 14)
    assert timedelta(hours=number) in {after - before for before, after in pairwise(days)}


def test_the_hour_that_comes_twice_is_two_bars_with_a_list_each(acme, time_machine):
    site = world.a_site("Berlin")
    door = world.a_door(site=site)
    twice = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
    for number, at in enumerate(twice, 1):
        for _ in range(number):
            Event.objects.create(channel=door, code=11, admitted=True, occurred_at=at)
    time_machine.move_to(datetime(2026, 10, 25, 14, tzinfo=UTC), tick=False)
    client = as_(StaffRole.OWNER)
    bars = client.get("/admin/?hours=today").context["traffic"].by_hour.bars
    assert len(bars) == 25
    at_two = [bar.period for bar in bars if bar.period.name == "02:00"]
    assert [period.count.let_in for period in at_two] == [1, 2]
    assert [period.words[-4:] for period in at_two] == ["CEST", " CET"]
    assert [client.get(period.let_in_link).context["cl"].result_count for period in at_two] == [1, 2]


def test_last_hours_of_half_hour_zones_begin_with_their_hours():
    bounds = hours.last_hours(datetime(2026, 7, 1, 9, 10, tzinfo=UTC), ZoneInfo("Asia/Kolkata"), 24)
    assert len(bounds) == 25
    assert bounds[-1] == datetime(2026, 7, 1, 9, 30, tzinfo=UTC)


def test_a_day_that_has_no_midnight_begins_when_it_begins():
    # In Beirut clocks were set from 00:00 to 01:00 on this day.
    begin = hours.midnight(datetime(2022, 3, 27, tzinfo=UTC).date(), ZoneInfo("Asia/Beirut"))
    assert begin == datetime(2022, 3, 26, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (3, 4), (9, 10), (11, 20), (21, 30), (240, 300), (999, 1000)]
)
def test_the_top_of_a_chart_is_round_and_not_below_its_bars(most, top):
    assert top_of(most) == top


def test_bars_stand_on_each_other_and_within_the_plane():
    drawn = chart([Period("1", "one", Count(30, 10), "", ""), Period("2", "two", Count(), "", "")])
    first = drawn.bars[0]
    bottom = float(first.let_in.y[:-1]) + float(first.let_in.height[:-1])
    assert bottom == pytest.approx(87, abs=0.01)
    assert float(first.not_let_in.y[:-1]) + float(first.not_let_in.height[:-1]) == pytest.approx(
        float(first.let_in.y[:-1]), abs=0.01
    )
    assert float(first.not_let_in.y[:-1]) >= 3.9
    assert drawn.total == Count(30, 10)
