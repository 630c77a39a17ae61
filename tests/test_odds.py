"""How many PINs a keypad accepts, how long new ones are because of that, and what API and people are told."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.doors.models import Channel
from accesscontrol.people.models import GroupMembership, Person
from accesscontrol.visits import belonging, duress, issuing, keypads, leaving, odds, reserving
from accounts.tenancy import tenant_context
from pins.policy import guess_odds, weakness
from tests import world
from tests.world import BY, NOW

WEAK = "This PIN is too easy to guess: "


def counts(now=NOW):
    found = odds.of_channels(None, now).items()
    return {Channel.objects.get(pk=pk).name: dict(one.pins) for pk, one in found if one.count}


def holders(count, *, digits=6):
    """People with PINs, written without their fingerprints: the counting reads none."""
    people = Person.objects.bulk_create(Person(first_name=f"P{number}") for number in range(count))
    duress.Credential.objects.bulk_create(
        duress.Credential(person=person, digits=digits, sealed=b"x") for person in people
    )
    return people


def test_every_kind_of_right_counts_once_per_person(acme):
    front, lab, shed = world.a_door("Front"), world.a_door("Lab"), world.a_door("Shed")
    staff, labs = world.a_role("Staff", front), world.a_role("Labs", front, lab)
    ann, bob, carl, dora = (world.a_person(name) for name in ("Ann", "Bob", "Carl", "Dora"))
    for person, value in ((ann, "735192"), (bob, "846207"), (carl, "90317462"), (dora, "2846")):
        world.a_pin(person, value)
    world.a_card(ann, "04A1B2C3")
    world.a_reservation(world.a_person("No PIN"), front)
    belonging.set_roles(ann, [staff, labs], by=BY, now=NOW)
    belonging.set_groups(ann, [world.a_group("Everybody", staff)], by=BY, now=NOW)
    belonging.set_groups(bob, [world.a_group("Laboratory", labs)], by=BY, now=NOW)
    world.a_reservation(ann, front)
    coming = world.a_reservation(carl, front, lab, start=NOW + timedelta(days=9))
    world.a_reservation(carl, front, start=NOW + timedelta(days=2))
    over = world.a_reservation(dora, shed)
    expected = {"Front": {6: 2, 8: 1}, "Lab": {6: 2, 8: 1}, "Shed": {4: 1}}
    assert counts() == expected
    assert odds.of_channels([shed.pk], NOW)[shed.pk].pins == {4: 1}
    assert "Shed" not in counts(over.end_time)
    reserving.cancel(coming, by=BY, now=NOW)
    belonging.set_groups(bob, [], by=BY, now=NOW)
    assert counts() == {"Front": {6: 1, 8: 1}, "Lab": {6: 1}, "Shed": {4: 1}}
    leaving.delete_person(ann, by=BY, now=NOW)
    assert counts() == {"Front": {8: 1}, "Shed": {4: 1}}


@pytest.mark.parametrize(
    ("others", "has_duress", "length"),
    [
        (0, False, 5),
        (9, False, 5),
        (10, False, 6),
        (99, False, 6),
        (100, False, 7),
        (4, True, 5),
        (5, True, 6),
        (1000, False, 8),
    ],
)
def test_the_length_follows_from_the_pins_at_the_persons_doors(acme, others, has_duress, length):
    door, quiet = world.a_door("Front"), world.a_door("Quiet")
    role = world.a_role("Staff", door)
    group = world.a_group("Staff", role)
    GroupMembership.objects.bulk_create(
        GroupMembership(person=person, group=group, started_at=NOW) for person in holders(others)
    )
    type(acme).objects.filter(pk=acme.pk).update(duress_enabled=has_duress)
    ann, bob = world.a_person("Ann"), world.a_person("Bob")
    belonging.set_groups(ann, [group], by=BY, now=NOW)
    belonging.set_roles(bob, [world.a_role("Quiet", quiet)], by=BY, now=NOW)
    assert keypads.space_for(ann, NOW).length == length
    assert keypads.space_for(world.a_person("Nobody yet"), NOW).length == length
    assert keypads.space_for(bob, NOW).length == 5
    Channel.objects.filter(pk=door.pk).update(longest_pin=4)
    assert keypads.space_for(ann, NOW).length == 4


def test_counting_stops(acme, monkeypatch):
    monkeypatch.setattr(odds, "_SQL", odds._SQL.replace("LIMIT 100000", "LIMIT 20"))
    door = world.a_door("Front")
    role = world.a_role("Staff", door)
    for person in holders(30):
        belonging.set_roles(person, [role], by=BY, now=NOW)
    assert odds.of_channels([door.pk], NOW)[door.pk].count == 20


def test_lists_of_doors_tell_the_odds_of_the_last_minute_of_their_tenant(acme, django_assert_num_queries):
    front, lab = world.a_door("Front"), world.a_door("Lab")
    people = holders(3)
    group = world.a_group("Staff", world.a_role("Doors", front))
    belonging.set_groups(people[0], [group], by=BY, now=NOW)
    assert odds.lately([front.pk, lab.pk], NOW)[front.pk].pins == {6: 1}
    belonging.set_groups(people[1], [group], by=BY, now=NOW)
    with django_assert_num_queries(0):
        assert odds.lately([lab.pk, front.pk], NOW)[front.pk].pins == {6: 1}
    assert odds.lately([front.pk], NOW)[front.pk].pins == odds.of_channels([front.pk], NOW)[front.pk].pins == {6: 2}
    [initech] = world.tenants_named("Initech")
    with tenant_context(initech.pk):
        assert odds.lately([front.pk, lab.pk], NOW)[front.pk].count == 0


def test_odds_are_of_the_length_where_a_guess_is_worth_most():
    mixed = odds.Odds(odds.Counter({4: 2, 6: 100, 8: 5000}))
    assert mixed.chance == guess_odds(2, 4)
    assert mixed.in_words == "about 1 in 500 for ten tries"
    assert "2 of the PINs that open this door have 4 digits" in mixed.warning
    assert odds.Odds(mixed.pins, ways=2).chance == guess_odds(4, 4)
    assert odds.Odds(odds.Counter({6: 100})).warning is None
    assert (odds.Odds().chance, odds.Odds().warning, odds.Odds().in_words) == (0.0, None, "none for ten tries")


def test_the_api_tells_in_words_and_asks_once(acme):
    door = world.a_door("Front Door")
    world.a_reservation(world.a_person(), door, start=NOW + timedelta(days=3650))
    client = world.api(world.an_api_key())
    ann = world.a_person("Ann")
    world.a_pin(ann, "2846")
    world.a_reservation(ann, door, start=NOW + timedelta(days=3650))

    def listed():
        with CaptureQueriesContext(connection) as captured:
            rows = client.get("/api/3/channels").json()
        return rows, sum("doors_" in query["sql"] for query in captured.captured_queries)

    [row], asked = listed()
    assert row["guess_odds"] == pytest.approx(0.001)
    assert row["guess_odds_in_words"] == "about 1 in 1,000 for ten tries"
    assert row["warning"] is None
    assert client.get(f"/api/3/channels/{door.pk}").json() == row
    bob = world.a_person("Bob")
    world.a_pin(bob, "9173")
    world.a_reservation(bob, door, start=NOW + timedelta(days=3650))
    for number in range(30):
        world.a_door(f"Door {number}")
    rows, asked_of_many = listed()
    assert len(rows) == 31
    assert asked_of_many == asked
    assert "1 in 500" in next(row["warning"] for row in rows if row["id"] == door.pk)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("040862", "the holder's birthday or part of it"),
        ("57307318", "part of the holder's phone number"),
        ("7318", "part of the holder's phone number"),
        ("7091", "part of the holder's phone number"),
        ("730942", "part of one of the holder's own numbers"),
        ("90357816", None),
    ],
)
@pytest.mark.parametrize("refused", [False, True])
def test_what_is_known_of_the_holder_is_as_easy_as_a_weak_pin(acme, value, words, refused):
    from accesscontrol.visits.issuing import TooEasyToGuess

    ann = world.a_person("Ann", birthday=date(1962, 8, 4), mobile="+4915157307318", telephone="030 1277091")
    world.a_card(ann, "A-7730942")
    type(acme).objects.filter(pk=acme.pk).update(weak_chosen_pins="refuse" if refused else "warn")
    if refused and words:
        with pytest.raises(TooEasyToGuess) as refusal:
            world.a_pin(ann, value)
        assert refusal.value.sentence.startswith(WEAK)
        return
    warnings = world.a_pin(ann, value).warnings
    assert bool(warnings) == bool(words)
    if words and value != "040862":
        assert warnings == [f"{WEAK}{words}."]


def test_a_weak_duress_pin_is_told_only_where_there_is_duress(acme):
    ann, bob = world.a_person("Ann"), world.a_person("Bob")
    value = next(pin for pin in map(str, range(1000, 9999)) if not weakness(pin) and weakness(duress.duress(pin)))
    assert not world.a_pin(ann, value).warnings
    issuing.revoke(duress.Credential.objects.get(person=ann), by=BY, now=NOW)
    duress.set_duress(True, by=BY, now=NOW)
    [warning] = world.a_pin(bob, value).warnings
    assert warning.startswith("The duress PIN that goes with this PIN is too easy to guess")


def test_birthdays_are_read_and_written_over_the_api(acme):
    client = world.api(world.an_api_key())
    made = client.post("/api/3/people", {"first_name": "Ann", "birthday": "1962-08-04"}, "application/json")
    assert made.status_code == 201, made.content
    person = made.json().get("person", made.json())
    assert Person.objects.get(pk=person["id"]).birthday == date(1962, 8, 4)
    assert client.get(f"/api/3/people/{person['id']}").json()["birthday"] == "1962-08-04"
