"""Whatever the policy, the keypad, the crowd, neighbours and duress: no PIN is issued that must not be."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accesscontrol.credentials.lifecycle import MalformedValue, NoPinFree
from accesscontrol.credentials.models import Credential
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Person
from accesscontrol.visits import belonging, issuing
from accesscontrol.visits.duress import set_duress
from accounts.models import Tenant
from pins.policy import duress, neighbours, recommended_length, weakness
from pins.vault import fingerprints
from pins.vault.models import Fingerprint
from tests import world
from tests.world import BY, NOW

pytestmark = pytest.mark.usefixtures("acme")

PINS = st.one_of(
    st.just("******"),
    st.text("0123456789", min_size=4, max_size=8),
    st.sampled_from(["1234", "2846", "2847", "2848", "2856", "735192", "735193", "735195", "1234567", "19870412"]),
    st.integers(2840, 2860).map(str),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    lengths=st.tuples(st.integers(4, 8), st.integers(4, 8)).map(sorted),
    crowd=st.sampled_from([0, 9, 10, 60]),
    is_refused=st.booleans(),
    is_apart=st.booleans(),
    has_duress=st.booleans(),
    asked=st.lists(PINS, min_size=1, max_size=10),
)
def test_no_pin_is_weak_colliding_reserved_or_too_short(lengths, crowd, is_refused, is_apart, has_duress, asked):
    shortest, longest = lengths
    with transaction.atomic():
        door = world.a_door(shortest_pin=shortest, longest_pin=longest)
        role = world.a_role("Staff", door)
        group = world.a_group("Staff", role)
        refusing = Tenant.WeakPins.REFUSE if is_refused else Tenant.WeakPins.WARN
        Tenant.objects.filter(name="Acme").update(weak_chosen_pins=refusing, keeps_neighbours_apart=is_apart)
        set_duress(has_duress, by=BY, now=NOW)
        # A crowd without fingerprints: only its number matters for the length.
        people = Person.objects.bulk_create(Person(first_name=f"P{number}") for number in range(crowd))
        Credential.objects.bulk_create(Credential(person=person, digits=8, sealed=b"x") for person in people)
        for person in people:
            belonging.set_groups(person, [group], by=BY, now=NOW)
        issued: list[str] = []
        for number, value in enumerate(asked):
            person = world.a_person(f"A{number}")
            belonging.set_groups(person, [group], by=BY, now=NOW)
            ways = 2 if has_duress else 1
            needed = recommended_length(ways * (crowd + len(issued) + 1), shortest, longest)
            try:
                one = world.a_pin(person, value)
            except (fingerprints.NotAvailable, issuing.TooEasyToGuess, MalformedValue, NoPinFree):
                assert value != "******"
                continue
            judge(one.value, issued, is_apart=is_apart, has_duress=has_duress)
            assert door.accepts(one.value)
            if value == "******":
                assert len(one.value) >= needed
            if value == "******" or is_refused:
                assert weakness(one.value) is None
                assert not (has_duress and weakness(duress(one.value)))
            elif weakness(one.value):
                assert one.warnings
            issued.append(one.value)
        transaction.set_rollback(True)
    assert not Channel.objects.exists()


def judge(pin, before, *, is_apart, has_duress):
    opening = {pin, duress(pin)} if has_duress else {pin}
    others = {value for other in before for value in ({other, duress(other)} if has_duress else {other})}
    assert opening.isdisjoint(others)
    if is_apart:
        for value in opening:
            assert neighbours(value).isdisjoint(others)


def fill(values):
    holder = Credential.objects.create(person=world.a_person("Holder"), digits=4, sealed=b"x")
    Fingerprint.objects.bulk_create(
        [
            Fingerprint(key_version=version, digest=digest, holder_id=holder.pk)
            for version, digests in fingerprints.digest_many(values, type="pin").items()
            for digest in digests
        ],
        batch_size=5000,
    )


@pytest.mark.parametrize(("is_apart", "has_duress"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_only_pin_left_is_found_and_then_none(acme, is_apart, has_duress):
    """Every value held but those that one PIN needs: it is drawn, and the next person is told to lengthen."""
    left = "7352"
    opening = {left, duress(left)} if has_duress else {left}
    kept = opening.union(*map(neighbours, opening)) if is_apart else opening
    fill([f"{number:04}" for number in range(10**4) if f"{number:04}" not in kept])
    type(acme).objects.filter(pk=acme.pk).update(keeps_neighbours_apart=is_apart, duress_enabled=has_duress)
    role = world.a_role("Staff", world.a_door(shortest_pin=4, longest_pin=4))
    ann, bob = world.a_person("Ann"), world.a_person("Bob")
    for person in (ann, bob):
        belonging.set_roles(person, [role], by=BY, now=NOW)
    if is_apart and not has_duress:
        # What is kept around it is free for nobody else: each of those lies beside a held value.
        assert world.a_pin(ann).value == left
    else:
        assert world.a_pin(ann).value in opening
    with pytest.raises(NoPinFree):
        world.a_pin(bob)
    assert Credential.objects.count() == 2


def test_neighbours_apart_never_collide_in_a_small_space(acme):
    """Each PIN is two digits away from all before it; a third of the draws would not be."""
    type(acme).objects.filter(pk=acme.pk).update(keeps_neighbours_apart=True)
    role = world.a_role("Staff", world.a_door(shortest_pin=4, longest_pin=4))
    issued: list[str] = []
    for number in range(100):
        person = world.a_person(f"P{number}")
        belonging.set_roles(person, [role], by=BY, now=NOW)
        value = world.a_pin(person).value
        judge(value, issued, is_apart=True, has_duress=False)
        issued.append(value)
