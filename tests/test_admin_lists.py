"""The admin's lists: search, strange queries, and queries that do not grow with rows."""

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from accesscontrol.access import attempts
from accesscontrol.access.models import AlarmRecipient
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Shift
from accesscontrol.people.models import Person
from accesscontrol.visits import belonging
from accounts.admin.paging import BoundedPaginator
from accounts.admin.records import TenantAdmin
from accounts.audit import Actor, record_many
from accounts.models import Membership
from accounts.rights import StaffRole
from tests import world
from tests.admin_house import (
    LISTS,
    as_,
    house_fixture,  # noqa: F401
)
from tests.world import BY


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("arch", True),
        ("Ann", True),
        ("ann archer", True),
        ("ANN@example.com", True),
        ("rcher", False),
        ("ann@", True),
        ("nn@", False),
    ],
)
def test_people_are_found_by_name_and_address(house, words, found):
    page = as_(StaffRole.FRONT_DESK).get("/admin/people/person/", {"q": words})
    assert ("Ann Archer" in page.content.decode()) is found


@pytest.mark.parametrize(
    ("name", "words", "number"),
    [
        ("visits", "arch", 1),
        ("visits", "nobody", 0),
        ("credentials", "ann@", 1),
        ("credentials", "nobody", 0),
        ("credentials", "cred_", 0),
        ("doors", "front", 1),
        ("doors", "HEAD OFF", 1),
        ("doors", "%", 0),
    ],
)
def test_what_people_have_is_found_by_their_name_and_doors_by_theirs(house, name, words, number):
    assert as_(StaffRole.MANAGER).get(LISTS[name], {"q": words}).context["cl"].result_count == number


def test_a_pin_is_found_by_its_id(house):
    page = as_(StaffRole.MANAGER).get(LISTS["credentials"], {"q": house["pin"].public_id})
    assert page.context["cl"].result_count == 1


def test_the_audit_speaks_in_words_and_leads_to_what_was_changed(house):
    owner = as_(StaffRole.OWNER, email="olga@acme.example")
    record_many(
        "set_pin", "channel", [house["front"].pk, "x"], by=Actor("staff", Membership.objects.get().pk), now=house["now"]
    )
    door = f'<a class="underline" href="/admin/doors/channel/{house["front"].pk}/change/">Door {house["front"].pk}</a>'
    for query in ({}, {"verb": "set_pin"}, {"q": f"door {house['front'].pk}"}, {"q": f"channel {house['front'].pk}"}):
        text = owner.get(LISTS["audit"], query).content.decode()
        assert "Set PIN" in text, query
        assert door in text, query
        assert "olga@acme.example</" in text.partition('id="result_list"')[2], query
    assert "Door x" in owner.get(LISTS["audit"]).content.decode()


def test_a_total_that_was_not_counted_to_the_end_says_so(house, monkeypatch):
    owner = as_(StaffRole.OWNER)
    for number in range(2):
        world.a_person(f"Person {number}", now=house["now"])
    for most, total in ((2, "2+ people"), (3, "3 people"), (4, "3 people")):
        monkeypatch.setattr(BoundedPaginator, "most", most)
        assert f'<div class="py-4">{total}</div>' in owner.get(LISTS["people"]).content.decode()


def test_whoever_chooses_more_than_a_page_reads_the_same_total(house, monkeypatch):
    monkeypatch.setattr(BoundedPaginator, "most", 2)
    monkeypatch.setattr(TenantAdmin, "list_per_page", 1)
    for number in range(2):
        world.a_person(f"Person {number}", now=house["now"])
    text = as_(StaffRole.OWNER).get(LISTS["people"]).content.decode()
    assert "Select all 2+ people" in text
    assert "All 2+ selected" in text


def test_only_the_admin_is_allowed_to_evaluate(house):
    client = as_(StaffRole.MANAGER)
    policy = client.get("/admin/people/person/").headers["Content-Security-Policy"]
    assert "'unsafe-eval'" in policy
    assert "style-src-attr 'unsafe-inline'" in policy
    assert "unsafe" not in client.get("/account/").headers["Content-Security-Policy"]
    assert "unsafe" not in client.get("/api/3/account").headers["Content-Security-Policy"]


@pytest.mark.parametrize("query", ["q=%00", "p=99999", "o=99.-1", "e=1", "person__id__exact=x", "door=x", "_popup=1"])
def test_strange_queries_are_answered(house, query):
    client = as_(StaffRole.MANAGER)
    for address in (LISTS["people"], LISTS["events"], LISTS["visits"]):
        assert client.get(f"{address}?{query}").status_code in (200, 302, 400)


def test_a_word_in_the_address_of_a_list_without_a_search_box_is_passed_over(house):
    client = as_(StaffRole.OWNER)
    for model, page in admin.site._registry.items():
        if not page.search_fields:
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            assert client.get(address, {"q": "x"}).status_code in (200, 302), address


def test_closed_corners(house):
    client = as_(StaffRole.OWNER)
    assert client.get("/admin/search/", {"s": "people"}).status_code == 404
    assert client.get(f"/admin/people/person/{house['ann'].pk}/history/").status_code == 404
    assert client.get("/admin/people/person/99999999999999999999/change/").status_code == 404
    assert client.get("/admin/oauth2_provider/").status_code == 404


QUERIES = {
    "visits": 14,
    "people": 14,
    "groups": 11,
    "credentials": 12,
    "doors": 14,
    "access levels": 11,
    "weekly hours": 12,
    "sites": 11,
    "events": 13,
    "alarms": 12,
    "alarm recipients": 11,
    "messages": 13,
    "staff": 12,
    "keys": 11,
    "audit": 12,
}


@pytest.mark.parametrize("name", QUERIES)
def test_lists_take_the_same_few_queries_however_long(house, name, django_assert_num_queries):
    now = house["now"]
    client = as_(StaffRole.OWNER)
    for number in range(3):
        door = world.a_door(f"Door {number}", site=world.a_site(f"Site {number}"))
        role = world.a_role(f"Role {number}", door, shift=Shift.objects.create(name=f"Hours {number}"))
        world.a_group(f"Group {number}", role)
        person = world.a_person(f"Person {number}", email=f"{number}@example.com", now=now)
        issued = world.a_pin(person, now=now)
        world.a_reservation(person, door, start=now, now=now, deliver="email")
        attempts.attempt(door.pk, issued.value, type=CredentialType.PIN, now=now)
        world.a_member(StaffRole.MANAGER, f"{number}@acme.example", sites=[door.site])
        world.a_reader_key(door)
        AlarmRecipient.objects.create(name=f"Guard {number}", address=f"{number}@example.com", site=door.site)
    with django_assert_num_queries(QUERIES[name]):
        assert client.get(LISTS[name]).status_code == 200


def test_lists_say_what_is_shared(acme):
    manager = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    door = world.a_door()
    shared = world.a_person("Deliveries", kind=Person.Kind.SHARED)
    pin = world.a_pin(shared).value
    attempts.attempt(door.pk, pin, type=CredentialType.PIN, now=timezone.now())
    for page in ("credentials/credential", "access/event"):
        assert "shared, not traceable to one individual" in manager.get(f"/admin/{page}/").content.decode(), page


def test_people_are_narrowed_to_whom_a_step_is_for(house):
    client = as_(StaffRole.OWNER)
    group = world.a_group("Cleaners")
    bob = world.a_person("Bob", now=house["now"])
    belonging.set_groups(bob, [group], by=BY, now=house["now"])
    world.a_pin(world.a_person("Carl", now=house["now"]), now=house["now"])

    def listed(query):
        return {person.first_name for person in client.get("/admin/people/person/?" + query).context["cl"].result_list}

    everybody = listed("")
    assert listed(f"group={group.pk}") == {"Bob"}
    assert listed("group=x") == listed("group=99999") == everybody
    assert "Carl" in listed("pin=yes")
    assert listed("pin=no") == everybody - listed("pin=yes")
