"""People are found by what is typed: any word of the name, the address, the number; quickly, however many they are."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accesscontrol.people import finding, records, words
from accesscontrol.people.models import Person, PersonWord
from accesscontrol.visits import leaving, returning
from tests import world
from tests.plans import plan_of
from tests.world import BY, NOW


def found(text):
    return {person.first_name for person in finding.search(text)}


@pytest.fixture
def house(acme):
    world.a_person("Jürgen", last_name="Müller-Lüdenscheidt", email="j.mueller@klinik.example", mobile="+491715551234")
    world.a_person("Søren", last_name="Åström", telephone="040 / 66 55 44")
    world.a_person("王小明")
    world.a_person("Zoë", last_name="O’Neill")
    world.a_person("Mallory", last_name="Mann")


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("jur", {"Jürgen"}),
        ("JÜR", {"Jürgen"}),
        ("juer", {"Jürgen"}),
        ("muller", {"Jürgen"}),
        ("Mueller", {"Jürgen"}),
        ("müll jür", {"Jürgen"}),
        ("luden", {"Jürgen"}),
        ("m", {"Jürgen", "Mallory"}),
        ("m j", {"Jürgen"}),
        ("ürgen", set()),
        ("klinik", {"Jürgen"}),
        ("j.mueller@kl", {"Jürgen"}),
        ("J.Mueller@Klinik.Example", {"Jürgen"}),
        ("+49 171 555 12", {"Jürgen"}),
        ("0171-5551234", {"Jürgen"}),
        ("0049171", {"Jürgen"}),
        ("1234", {"Jürgen"}),
        ("554", set()),
        ("665544", {"Søren"}),
        ("soren", {"Søren"}),
        ("soeren", {"Søren"}),
        ("astrom", {"Søren"}),
        ("王", {"王小明"}),
        ("小明", {"王小明"}),
        ("zoe", {"Zoë"}),
        ("o'neill", {"Zoë"}),
        ("neill", {"Zoë"}),
        ("", set()),
        ("  ", set()),
        ("%", set()),
        ("_", set()),
        ("x" * 500, set()),
        ("m\x01", {"Jürgen", "Mallory"}),
    ],
)
def test_what_finds_whom(house, text, who):
    assert found(text) == who


def test_a_changed_name_is_found_and_the_old_one_is_not(acme):
    ann = world.a_person("Ann", last_name="Archer", email="ann@example.com")
    records.change(ann, {"last_name": "Baker", "email": ""}, by=BY, now=NOW)
    assert found("baker") == {"Ann"}
    assert found("archer") == found("ann@example") == set()
    records.change(ann, {"notes": "Archer"}, by=BY, now=NOW)
    assert found("archer") == set()


def test_who_was_deleted_is_found_no_more_and_leaves_no_words(acme):
    ann = world.a_person("Ann")
    leaving.delete_person(ann, by=BY, now=NOW)
    assert found("ann") == set()
    assert not PersonWord.objects.exists()


@given(st.text(max_size=130), st.text(max_size=130))
def test_any_text_can_be_a_name_or_be_typed(name, typed):
    assert all(0 < len(word) <= words.LONGEST for word in words.of_person([name], typed, [typed]))
    words.of_search(typed)


@given(
    st.lists(st.text("abcdefghijklmnopqrstuvwxyzäöüßéñÅØ", min_size=2, max_size=20), min_size=1, max_size=4), st.data()
)
def test_the_beginning_of_each_word_finds(names, data):
    held = words.of_person([" ".join(names)], "", [])
    typed = " ".join(name[: data.draw(st.integers(1, len(name)))] for name in names)
    for spellings in words.of_search(typed):
        assert any(word.startswith(spelling) for word in held for spelling in spellings), (typed, spellings, held)


def test_an_index_finds_the_words_under_row_security(house):
    plan = plan_of(*finding.search("muller jur")[:40].query.sql_with_params())
    assert "Seq Scan" not in plan, plan
    with connection.cursor() as cursor:
        # Under row security an index is searched by these alone.
        cursor.execute("SELECT bool_and(proleakproof) FROM pg_proc WHERE proname IN ('text_ge', 'text_lt')")
        assert cursor.fetchone() == (True,)


def test_visitors_who_were_here_come_first_with_their_host(acme):
    door = world.a_door()
    for number, name in enumerate(("Mia", "Max", "Moe")):
        person = world.a_person(name, kind=Person.Kind.VISITOR)
        if name != "Moe":
            visit = world.a_reservation(person, door, start=NOW - timedelta(days=3 - number))
            type(visit).objects.filter(pk=visit.pk).update(host_name=f"Host {number}")
    world.a_pin(person)
    world.a_person("Meeting room PIN", kind=Person.Kind.SHARED)
    with CaptureQueriesContext(connection) as asked:
        one, other, last = returning.suggestions("m", now=NOW)
    assert len(asked) == 3
    assert [(each.person.first_name, each.host_name, each.has_pin) for each in (one, other, last)] == [
        ("Max", "Host 1", False),
        ("Mia", "Host 0", False),
        ("Moe", "", True),
    ]
    assert last.last_visit_at is None
    assert returning.suggestions("m", now=NOW, limit=1) == [one]


def test_people_of_other_sites_are_not_suggested(acme):
    here, there = world.a_site("Here"), world.a_site("There")
    world.a_person("Mia", site=here)
    world.a_person("Max", site=there)
    world.a_person("Moe")
    near = returning.suggestions("m", now=NOW, site_ids=[here.pk])
    assert {each.person.first_name for each in near} == {"Mia", "Moe"}
