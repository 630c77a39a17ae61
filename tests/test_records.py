"""People written one by one and many at once: the same rules, the same periods."""

from datetime import timedelta

import pytest
from django.db import DataError, transaction

from accesscontrol.people import records
from accesscontrol.people.models import Person, PersonState
from accounts.models import AuditEvent
from tests import world
from tests.world import BY, NOW


def test_what_one_may_not_have_stops_all(acme):
    world.a_person("Ann", system_id="1")
    bob, cy = world.a_person("Bob"), world.a_person("Cy")
    with pytest.raises(records.SystemIdTaken):
        records.change(bob, {"system_id": "1"}, by=BY, now=NOW)
    with pytest.raises(records.SystemIdTaken):
        records.change_many([(cy, {"last_name": "Cole"}), (bob, {"system_id": "1"})], by=BY, now=NOW)
    with pytest.raises(records.ValidityEndsEarly):
        records.change(bob, {"valid_from": NOW, "valid_to": NOW - timedelta(days=1)}, by=BY, now=NOW)
    with pytest.raises(records.SystemIdTaken):
        records.create_many([{"first_name": "Di"}, {"first_name": "Ed", "system_id": "1"}], by=BY, now=NOW)
    assert set(Person.objects.values_list("first_name", "last_name")) == {("Ann", ""), ("Bob", ""), ("Cy", "")}
    assert not AuditEvent.objects.filter(verb="change", subject_type="person").exists()


def test_a_text_that_is_too_long_is_never_cut_off(acme):
    ann, bob = world.a_person("Ann"), world.a_person("Bob")
    with pytest.raises(DataError), transaction.atomic():
        records.change_many([(ann, {"last_name": "A" * 121}), (bob, {"notes": "builds"})], by=BY, now=NOW)
    assert set(Person.objects.values_list("last_name", "notes")) == {("", "")}


def test_what_is_not_given_and_what_is_the_same_stays(acme):
    ann, bob = world.a_person("Ann", notes="sings"), world.a_person("Bob", email="bob@example.com")
    later = NOW + timedelta(hours=1)
    # Somebody else wrote since these were read.
    Person.objects.filter(pk=ann.pk).update(department="Opera")
    same, changed = records.change_many([(bob, {"first_name": "Bob"}), (ann, {"enabled": False})], by=BY, now=later)
    assert (same.pk, changed.pk) == (bob.pk, ann.pk)
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.department, ann.notes, ann.enabled, ann.updated_at) == ("Opera", "sings", False, later)
    assert bob.updated_at == NOW
    assert PersonState.objects.filter(person=ann, ended_at=later).count() == 1
    assert PersonState.objects.filter(person=bob).count() == 1


def test_groups_of_many_are_put_right_for_each(acme):
    ann, bob, cy = (world.a_person(name) for name in ("Ann", "Bob", "Cy"))
    staff, night = world.a_group("Staff"), world.a_group("Night shift")
    records.set_groups_many({ann: [staff], bob: [staff, night], cy: []}, by=BY, now=NOW)
    done = records.set_groups_many({ann: [night], bob: [staff, night], cy: [night]}, by=BY, now=NOW)
    assert done == {ann.pk: {"added", "removed"}, cy.pk: {"added"}}
    assert records.set_groups(bob, [staff], by=BY, now=NOW) == {"removed"}
    told = AuditEvent.objects.filter(verb="change", subject_type="person").values_list("subject_id", flat=True)
    assert sorted(told) == sorted(str(person.pk) for person in (ann, bob, ann, cy, bob))
