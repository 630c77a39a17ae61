"""Pages that tell the whole story of a person, a PIN or a door: what may be seen is there, and the rest is absent."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access import attempts, roll_call
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.overview import holdings
from accesscontrol.people.models import Group, Person
from accesscontrol.visits import belonging
from accounts import audit
from accounts.rights import StaffRole
from tests import world
from tests.world import BY

CANARY = "48210973"


@pytest.fixture
def house(acme):
    now = timezone.now()
    office, annex = world.a_site("Office"), world.a_site("Annex")
    front = world.a_door("Front Door", site=office, is_visitor_door=True)
    lab, gate = world.a_door("Lab", site=office), world.a_door("Gate", site=annex)
    week = Shift.objects.create(name="Week")
    granting.set_times(
        week,
        [Stretch(day, now.replace(hour=8, minute=0).time(), now.replace(hour=18, minute=0).time()) for day in range(5)],
        by=BY,
        now=now - timedelta(days=1),
    )
    early = now - timedelta(hours=1)
    staff = world.a_role("Staff level", front, gate, shift=week, now=early)
    research = world.a_role("Research level", lab, now=early)
    people = world.a_group("Researchers", staff, now=early)
    ann = world.a_person("Ann", last_name="Archer", email="ann@example.com", now=early)
    belonging.set_groups(ann, [people], by=BY, now=early)
    belonging.set_roles(ann, [research], by=BY, now=early)
    pin = world.a_pin(ann, CANARY, now=now, deliver="email").credential
    world.a_reservation(ann, front, start=now, now=now)
    attempts.attempt(lab.pk, CANARY, type=CredentialType.PIN, now=now)
    attempts.attempt(gate.pk, "3141", type=CredentialType.PIN, now=now)
    return {"now": now, "front": front, "lab": lab, "gate": gate, "ann": ann, "pin": pin, "annex": annex}


def as_(role, **values):
    return world.signed_in(world.a_member(role, **values).user)


def pages(house):
    return {
        "person": f"/admin/people/person/{house['ann'].pk}/change/",
        "PIN": f"/admin/credentials/credential/{house['pin'].pk}/change/",
        "door": f"/admin/doors/channel/{house['lab'].pk}/change/",
    }


def titles(page):
    return [section.title for section in page.context["sections"]]


def test_a_person_has_rights_with_where_each_comes_from(house):
    html = as_(StaffRole.MANAGER).get(pages(house)["person"]).content.decode()
    for words in (
        "Research level",
        "own access level",
        "through group Researchers",
        "Front Door, Office: Monday to Friday 08:00-18:00",
        "Gate, Annex: Monday to Friday 08:00-18:00",
        "Lab, Office: At any time",
    ):
        assert words in html, words
    assert CANARY not in html
    assert "48-21-0973" not in html


def test_each_page_has_all_of_its_story(house):
    client = as_(StaffRole.MANAGER)
    shown = {name: client.get(address) for name, address in pages(house).items()}
    assert titles(shown["person"]) == ["May open", "Visits", "What happened", "Messages", "Audit"]
    assert titles(shown["PIN"]) == ["Its life", "Opens", "Visits of its person", "What happened", "Messages", "Audit"]
    assert titles(shown["door"]) == ["Opened by", "Visits, now and to come", "What happened", "Alarms", "Audit"]
    assert "Ann Archer" in shown["door"].content.decode()
    assert "Research level" in shown["door"].content.decode()
    for page in shown.values():
        assert CANARY not in page.content.decode()
        for section in page.context["sections"]:
            for _, link in section.links:
                assert client.get(link).status_code == 200, link
            for line in section.lines:
                if line.link:
                    assert client.get(line.link).status_code == 200, line


def test_the_lists_behind_hold_what_the_story_tells(house):
    client = as_(StaffRole.MANAGER)
    page = client.get(pages(house)["PIN"])
    [happened] = [section for section in page.context["sections"] if section.title == "What happened"]
    listed = client.get(happened.links[0][1]).context["cl"]
    assert listed.result_count == Event.objects.filter(credential=house["pin"]).count() == len(happened.lines)
    sent = client.get(f"/admin/deliveries/delivery/?about=person-{house['ann'].pk}").context["cl"]
    assert sent.result_count == 1
    assert client.get("/admin/deliveries/delivery/?about=tenant-1").context["cl"].result_count == 1


@pytest.mark.parametrize(("role", "has_audit"), [(StaffRole.FRONT_DESK, False), (StaffRole.AUDITOR, True)])
def test_what_a_role_may_not_view_is_absent(house, role, has_audit):
    client = as_(role)
    for address in pages(house).values():
        assert ("Audit" in titles(client.get(address))) is has_audit


def test_a_member_of_one_site_reads_nothing_of_another(house):
    client = as_(StaffRole.MANAGER, email="annex@acme.example", sites=[house["annex"]])
    page = client.get(pages(house)["person"])
    html = page.content.decode()
    assert "Gate, Annex" in html
    assert "Front Door" not in html
    assert "Lab" not in html
    assert "Audit" not in titles(page)
    assert client.get(pages(house)["door"]).status_code == 404
    own = client.get(f"/admin/doors/channel/{house['gate'].pk}/change/")
    assert own.status_code == 200
    assert "Everybody who may open it" not in own.content.decode()
    hidden = client.get(f"/admin/access/event/?person__id__exact={house['ann'].pk}&credential__id__exact=1")
    assert hidden.context["cl"].result_count == 0


def test_a_name_is_not_told_by_a_filter(house):
    elsewhere = world.a_person("Mallory", site=house["front"].site, now=house["now"])
    client = as_(StaffRole.MANAGER, email="annex@acme.example", sites=[house["annex"]])
    assert "Mallory" not in client.get(f"/admin/access/event/?person__id__exact={elsewhere.pk}").content.decode()
    client.get("/admin/people/person/", {"opens": house["lab"].pk})
    assert "Lab" not in client.get(f"/admin/people/person/?opens={house['lab'].pk}").content.decode()


def test_events_are_found_by_who_it_was_and_a_name_of_many_asks_for_more(house, monkeypatch):
    client = as_(StaffRole.MANAGER)
    assert client.get("/admin/access/event/?q=arch").context["cl"].result_count == 1
    assert client.get("/admin/access/event/?q=nobody").context["cl"].result_count == 0
    monkeypatch.setattr("accesscontrol.people.whose.MOST_PEOPLE", 0)
    page = client.get("/admin/access/event/?q=arch")
    assert page.context["cl"].result_count == 0
    assert "write more of the name" in page.content.decode()


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("from=2026-07-01T09:00&until=2026-07-01T10:00", 1),
        ("from=2026-07-01T10:00", 2),
        ("until=2026-07-01T09:00", 0),
        ("period=2026-07-01T07:00Z/2026-07-01T08:00Z", 1),
        ("period=2026-07-01T08:00Z/2026-07-01T09:00Z", 2),
        ("period=x&from=y", 3),
        ("period=9999-12-31T23:59Z/0001-01-01T00:00Z", 3),
        ("from=0001-01-01T00:00", 3),
    ],
)
def test_events_and_audit_of_a_period_in_the_time_of_the_tenant(acme, query, number):
    door = world.a_door()
    for minutes in (0, 60, 90):
        at = world.NOW - timedelta(hours=1, minutes=45 - minutes)
        Event.objects.create(channel=door, code=11, admitted=True, occurred_at=at)
        audit.record("lift", "channel", door.pk, by=world.BY, now=at)
    auditor = as_(StaffRole.AUDITOR)
    assert auditor.get(f"/admin/access/event/?{query}").context["cl"].result_count == number
    assert auditor.get(f"/admin/accounts/auditevent/?verb=lift&{query}").context["cl"].result_count == number


def test_who_opens_a_door_are_those_whose_pins_it_counts(house):
    world.a_person("Bob", now=house["now"])
    for door, names in ((house["lab"], {"Ann"}), (house["front"], {"Ann"}), (house["gate"], {"Ann"})):
        found = Person.objects.filter(holdings.who_opens(door.pk, now=house["now"]))
        assert {person.first_name for person in found} == names
    belonging.set_roles(house["ann"], [], by=BY, now=house["now"])
    assert not Person.objects.filter(holdings.who_opens(house["lab"].pk, now=house["now"])).exists()


def test_inside_is_the_roll_call_of_each_site(house):
    out = world.a_door("Exit", site=house["front"].site, direction=Channel.Direction.OUT)
    now, bea = house["now"], world.a_person("Bea", now=house["now"])
    for person, door, minutes in ((house["ann"], house["front"], 9), (house["ann"], out, 5), (bea, house["gate"], 7)):
        Event.objects.create(
            channel=door, person=person, code=11, admitted=True, occurred_at=now + timedelta(minutes=9 - minutes)
        )
    later = now + timedelta(hours=1)
    sites = [house["front"].site, house["annex"]]
    called = {row.person.pk for site in sites for row in roll_call.possibly_inside(site, as_of=later).rows}
    found = Person.objects.filter(pk__in=roll_call.inside([site.pk for site in sites], as_of=later))
    assert {person.pk for person in found} == called == {bea.pk}


def test_the_queries_are_the_same_however_much_there_is(house, django_assert_num_queries):
    client, now = as_(StaffRole.OWNER), house["now"]
    early, groups = now - timedelta(minutes=1), list(Group.objects.all())
    for size in (1, 3):
        for number in range(size):
            level = world.a_role(f"Level {size}.{number}", house["lab"], house["front"], now=early)
            groups.append(world.a_group(f"Group {size}.{number}", level, now=early))
            other = world.a_person(f"Other {size}.{number}", now=now)
            world.a_reservation(other, house["lab"], start=now, now=now)
            attempts.attempt(house["lab"].pk, CANARY, type=CredentialType.PIN, now=now)
        belonging.set_groups(house["ann"], groups, by=BY, now=early)
        # What is looked up once in a process, such as content types, is known.
        for address in pages(house).values():
            client.get(address)
        for name, number in QUERIES.items():
            with django_assert_num_queries(number):
                client.get(pages(house)[name])


QUERIES = {"person": 32, "PIN": 25, "door": 26}
