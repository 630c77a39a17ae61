"""A PIN gets a successor ahead of time, both work during the overlap, then the old one is dead to the second."""

import os
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accesscontrol.access import attempts
from accesscontrol.access.models import Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialState, CredentialType
from accesscontrol.doors import granting
from accesscontrol.doors.models import Channel, Role
from accesscontrol.people import records
from accesscontrol.people.models import PersonRole
from accesscontrol.visits import belonging, expiry, issuing, rotation, tasks
from accounts.models import AuditEvent, Tenant
from accounts.tenancy import tenant_context, tenant_transaction
from pins.deliveries.models import Delivery
from pins.deliveries.rendering import render_sms
from pins.vault.sealing import open_json
from tests import world
from tests.conftest import _admin
from tests.plans import plan_with
from tests.test_races import at_once
from tests.world import BY, NOW

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
OVERLAP = 3 * DAY
PIN = "83951642"


@pytest.fixture
def door(acme):
    return world.a_door("Server Room", is_visitor_door=True)


@pytest.fixture
def ann(door):
    return world.a_person("Ann", email="ann@example.com")


@pytest.fixture
def staff(ann, door):
    role = world.a_role("Staff", door)
    belonging.set_roles(ann, [role], by=BY, now=NOW)
    return role


@pytest.fixture
def old(ann, staff):
    return world.a_pin(ann, PIN).credential


def tick(now):
    while expiry.expire_due(now):
        pass
    while rotation.rotate_due(now):
        pass


def reason(door, value, now):
    answer = attempts.attempt(door.pk, value, type=CredentialType.PIN, now=now)
    return Event.objects.get(pk=answer.event_id).reason or "admitted"


def successor_of(credential):
    credential.refresh_from_db()
    return credential.replaced_by


def content_of(delivery):
    return open_json(
        bytes(delivery.content), tenant_id=delivery.tenant_id, table=Delivery._meta.db_table, row_id=delivery.pk
    )


def set_days(model, days):
    model.objects.update(rotate_after_days=days)


def own_period(ann, door, days):
    credential = Credential.objects.get(person=ann, ends_at=None)
    rotation.set_period(credential, days, by=BY, now=NOW)


def channel_by_role(ann, door, days):
    belonging.set_roles(ann, [world.a_role("R", door)], by=BY, now=NOW)
    set_days(Channel, days)


def channel_by_group(ann, door, days):
    belonging.set_groups(ann, [world.a_group("G", world.a_role("R", door))], by=BY, now=NOW)
    set_days(Channel, days)


def channel_by_reservation(ann, door, days):
    set_days(Channel, days)
    world.a_reservation(ann, door, hours=24 * 365)


def role_of_person(ann, door, days):
    belonging.set_roles(ann, [world.a_role("R", world.a_door("Other"))], by=BY, now=NOW)
    set_days(Role, days)


def role_of_group(ann, door, days):
    set_days(Role, None)
    group = world.a_group("G")
    belonging.set_groups(ann, [group], by=BY, now=NOW)
    tick(NOW)
    role = world.a_role("R", door)
    Role.objects.filter(pk=role.pk).update(rotate_after_days=days)
    belonging.set_group_roles(group, [role], by=BY, now=NOW)


PERIODS = [own_period, channel_by_role, channel_by_group, channel_by_reservation, role_of_person, role_of_group]


@pytest.mark.parametrize("period", PERIODS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("days", [90, 1])
def test_a_period_holds_for_everybody_with_a_right_there(ann, door, period, days):
    bob = world.a_person("Bob")
    world.a_pin(ann, PIN)
    bobs = world.a_pin(bob).credential
    tick(NOW)
    period(ann, door, days)
    tick(NOW)
    due = NOW + timedelta(days=days) - min(OVERLAP, timedelta(days=days) / 2)
    old = Credential.objects.get(person=ann)
    assert old.rotate_at == due
    tick(due - SECOND)
    assert successor_of(old) is None
    tick(due)
    successor = successor_of(old)
    assert old.ends_at == NOW + timedelta(days=days)
    assert (successor.person, successor.type, successor.enabled) == (ann, CredentialType.PIN, True)
    assert lifecycle.value_of(successor) != PIN
    bobs.refresh_from_db()
    assert (bobs.rotate_at, bobs.replaced_by) == (None, None)


def test_the_shortest_period_counts_and_none_is_none(ann, door, staff, old):
    lab = world.a_door("Lab", rotate_after_days=60)
    for setting, expected in [
        (lambda: None, None),
        (lambda: own_period(ann, door, 90), 90),
        (lambda: Role.objects.filter(pk=staff.pk).update(rotate_after_days=70), 70),
        (lambda: granting.set_channels(staff, [door, lab], by=BY, now=NOW), 60),
        (lambda: Channel.objects.filter(pk=door.pk).update(rotate_after_days=50), 50),
        (lambda: world.a_reservation(ann, world.a_door("Vault", rotate_after_days=40), hours=1), 40),
        (lambda: own_period(ann, door, 30), 30),
        (lambda: own_period(ann, door, None), 40),
        (lambda: set_days(Channel, None), 70),
        (lambda: belonging.set_roles(ann, [], by=BY, now=NOW), None),
    ]:
        setting()
        tick(NOW)
        old.refresh_from_db()
        assert old.rotate_at == (expected and NOW + timedelta(days=expected) - OVERLAP)


def test_a_right_that_is_over_brings_no_period(ann, door, old):
    world.a_reservation(ann, world.a_door("Vault", rotate_after_days=40), hours=1)
    tick(NOW)
    tick(NOW + 40 * DAY)
    assert successor_of(old) is None
    assert old.rotate_at is None


def test_both_open_during_the_overlap_and_the_old_one_is_dead_to_the_second(old, door):
    issued = rotation.rotate(old, by=BY, now=NOW)
    end = NOW + OVERLAP
    for now in (NOW, NOW + DAY, end - SECOND):
        assert reason(door, PIN, now) == reason(door, issued.value, now) == "admitted"
    # No tick has run.
    for now in (end, end + SECOND, end + 100 * DAY):
        assert reason(door, PIN, now) == "credential_expired"
        assert reason(door, issued.value, now) == "admitted"
    tick(end - SECOND)
    assert successor_of(old) == issued.credential
    assert old.revoked_at is None
    tick(end + 20 * SECOND)
    old.refresh_from_db()
    assert (old.revoked_at, old.sealed, old.rotate_at) == (end + 20 * SECOND, None, None)
    assert reason(door, PIN, end + 30 * SECOND) == "invalid_pin"
    assert reason(door, issued.value, end + 30 * SECOND) == "admitted"
    assert world.a_pin(world.a_person("Bob"), PIN).value == PIN


def test_the_record_says_until_when_it_opened(old, staff, ann):
    before = list(PersonRole.objects.values())
    rotation.rotate(old, by=BY, now=NOW + HOUR)
    end = NOW + HOUR + OVERLAP
    tick(end + 5 * HOUR)
    [state] = CredentialState.objects.filter(credential=old).values_list("enabled", "started_at", "ended_at")
    assert state == (True, NOW, end)
    [state] = CredentialState.objects.exclude(credential=old).values_list("enabled", "started_at", "ended_at")
    assert state == (True, NOW + HOUR, None)
    assert list(PersonRole.objects.values()) == before


def test_it_goes_on_and_on(old):
    rotation.set_period(old, 10, by=BY, now=NOW)
    for day in range(31):
        tick(NOW + day * DAY)
        assert Credential.objects.filter(revoked_at=None).count() <= 2
    # A PIN lives ten days; its successor comes after seven.
    assert Credential.objects.count() == 1 + 30 // 7
    assert Credential.objects.filter(revoked_at=None, ends_at=None).get().rotate_after_days == 10


@pytest.mark.parametrize("days", [0, 1, 14])
def test_the_tenant_says_how_long_both_work(old, door, days):
    Tenant.objects.update(rotation_overlap_days=days)
    rotation.rotate(old, by=BY, now=NOW)
    successor_of(old)
    assert old.ends_at == NOW + days * DAY
    assert reason(door, PIN, NOW) == ("admitted" if days else "credential_expired")


def test_a_late_tick_still_leaves_the_whole_overlap(old):
    rotation.set_period(old, 90, by=BY, now=NOW)
    tick(NOW + 200 * DAY)
    successor_of(old)
    assert old.ends_at == NOW + 200 * DAY + OVERLAP


@pytest.mark.parametrize("condition", ["disabled", "expired", "revoked", "rotated", "card"])
def test_what_is_not_rotated(ann, old, condition, door):
    credential = old
    if condition == "disabled":
        issuing.set_enabled(old, False, by=BY, now=NOW)
    elif condition == "expired":
        belonging.set_roles(ann, [], by=BY, now=NOW + SECOND)
        tick(NOW + HOUR)
    elif condition == "revoked":
        issuing.revoke(old, by=BY, now=NOW)
    elif condition == "rotated":
        rotation.rotate(old, by=BY, now=NOW)
    else:
        credential = world.a_card(ann, "04A1B2C3")
    Credential.objects.filter(pk=credential.pk).update(rotate_after_days=1, rotate_at=NOW)
    before = Credential.objects.count()
    with pytest.raises((rotation.NotRotatable, rotation.RotatedAlready)):
        rotation.rotate(credential, by=BY, now=NOW + HOUR)
    if condition != "revoked":
        tick(NOW + 2 * HOUR)
    assert Credential.objects.count() == before


def test_enabled_or_revived_it_is_rotated_after_all(ann, old):
    rotation.set_period(old, 30, by=BY, now=NOW)
    issuing.set_enabled(old, False, by=BY, now=NOW)
    tick(NOW + 60 * DAY)
    assert successor_of(old) is None
    issuing.set_enabled(old, True, by=BY, now=NOW + 61 * DAY)
    tick(NOW + 61 * DAY)
    assert successor_of(old) is not None


def test_a_disabled_person_gets_no_new_pin_until_they_are_back(ann, old):
    rotation.set_period(old, 30, by=BY, now=NOW)
    records.change(ann, {"enabled": False}, by=BY, now=NOW)
    tick(NOW + 60 * DAY)
    assert successor_of(old) is None
    assert old.rotate_at == NOW + 61 * DAY
    records.change(ann, {"enabled": True}, by=BY, now=NOW)
    tick(NOW + 61 * DAY)
    assert successor_of(old) is not None


def test_one_that_cannot_be_replaced_does_not_hold_up_the_others(ann, old, door):
    rotation.set_period(old, 30, by=BY, now=NOW)
    other = world.a_pin(world.a_person("Bob")).credential
    rotation.set_period(other, 30, by=BY, now=NOW)
    short = world.a_door("Short", shortest_pin=4, longest_pin=4)
    long = world.a_door("Long", shortest_pin=8, longest_pin=8)
    belonging.set_roles(ann, [world.a_role("Both", short, long)], by=BY, now=NOW)
    tick(NOW + 30 * DAY)
    assert successor_of(other) is not None
    assert successor_of(old) is None
    assert (old.ends_at, old.rotate_at) == (None, NOW + 31 * DAY)
    assert AuditEvent.objects.get(verb="postpone").fields == ["pin_does_not_fit"]


@pytest.mark.parametrize(
    ("reach", "gateway", "media"),
    [
        ({"email": "ann@example.com", "mobile": "+493012345678"}, "json://localhost", ["email"]),
        ({"mobile": "+493012345678"}, "json://localhost", ["sms"]),
        ({"mobile": "+493012345678"}, "", []),
        ({}, "json://localhost", []),
    ],
)
def test_the_new_pin_goes_to_the_best_address(acme, settings, reach, gateway, media):
    settings.SMS_URL = gateway
    person = world.a_person("Cleo", **reach)
    issued = rotation.rotate(world.a_pin(person).credential, by=BY, now=NOW)
    queued = list(Delivery.objects.filter(state="queued"))
    assert [delivery.medium for delivery in queued] == media
    assert (issued.delivery is not None) is bool(media)
    undelivered = AuditEvent.objects.filter(verb="not_delivered", subject_id=str(issued.credential.pk))
    assert undelivered.count() == (0 if media else 1)
    for delivery in queued:
        assert content_of(delivery)["pin"] == issued.value
        assert "4 July 2026, 11:00" in content_of(delivery)["earlier_ends"]
        assert "which works until Saturday, 4 July 2026, 11:00" in render_sms(
            "pin", language="en", context=content_of(delivery)
        )


def test_who_was_not_told_the_old_pin_yet_is_told_the_new_one(ann, door):
    old = world.a_pin(ann, PIN, deliver="email").credential
    rotation.rotate(old, by=BY, now=NOW)
    assert list(Delivery.objects.order_by("id").values_list("state", "template")) == [
        ("cancelled", "pin"),
        ("queued", "pin"),
    ]


def test_there_is_one_live_pin_beside_those_that_end(ann, old, door):
    issued = rotation.rotate(old, by=BY, now=NOW)
    with pytest.raises(lifecycle.HasOneAlready) as caught:
        world.a_pin(ann)
    assert caught.value.facts["credential"] == issued.credential
    with pytest.raises(IntegrityError, match="credential_one_of_type"), transaction.atomic():
        Credential.objects.filter(pk=old.pk).update(ends_at=None)


def test_the_pin_of_a_person_is_the_successor(ann, old, door):
    issued = rotation.rotate(old, by=BY, now=NOW)
    Channel.objects.filter(pk=door.pk).update(shortest_pin=4, longest_pin=len(issued.value))
    assert len(issued.value) < len(PIN)
    reservation = world.a_reservation(ann, door, deliver="email")
    delivery = Delivery.objects.about("reservation", [reservation.pk]).get()
    assert content_of(delivery)["pin"] == issued.value


def test_a_tick_finds_only_what_is_due(old, ann, django_assert_num_queries):
    for number in range(20):
        world.a_pin(world.a_person(f"P{number}"))
    tick(NOW)
    tenant = Tenant.objects.get(name="Acme")
    assert tenant.pk not in rotation.tenants_with_due(NOW)
    # Changed doors, changed roles, due credentials.
    with django_assert_num_queries(5):
        rotation.rotate_due(NOW)
    set_days(Role, 90)
    assert tenant.pk in rotation.tenants_with_due(NOW)
    tick(NOW)
    assert tenant.pk not in rotation.tenants_with_due(NOW + 87 * DAY - SECOND)
    assert tenant.pk in rotation.tenants_with_due(NOW + 87 * DAY)
    assert Credential.objects.filter(rotate_at__isnull=False).count() == 1


def test_what_is_due_is_found_by_index(acme):
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        [body] = admin.execute("SELECT prosrc FROM pg_proc WHERE proname = 'tenants_with_due_rotations'").fetchone()
    indexes = ("credential_rotation_due", "channel_rotation_changed", "role_rotation_changed")
    for index, part in zip(indexes, body.split(" UNION "), strict=True):
        plan = plan_with(index, part.replace("moment", "now()"), role="gatehouse_finder")
        assert index in plan, plan
        assert "Seq Scan" not in plan


def test_a_period_that_changes_while_a_tick_runs_is_carried_later(old, staff):
    set_days(Role, 90)
    tick(NOW)
    staff.refresh_from_db()
    assert staff.rotation_applied_days == 90
    set_days(Role, None)
    tick(NOW)
    staff.refresh_from_db()
    old.refresh_from_db()
    assert (staff.rotation_applied_days, old.rotate_at) == (0, None)


def test_twice_at_once_one_wins(live):
    with tenant_transaction(live.acme.pk):
        pks = [world.a_pin(world.a_person(f"P{number}")).credential.pk for number in range(3)]
        Credential.objects.update(rotate_after_days=1, rotate_at=NOW, due_at=None)
        pressed = world.a_pin(world.a_person("Pressed")).credential
        Credential.objects.filter(pk=pressed.pk).update(due_at=None, rotate_at=None)

    def both(number):
        with tenant_transaction(live.acme.pk):
            if number % 2:
                return rotation.rotate_due(NOW + DAY)
            try:
                return rotation.rotate(pressed, by=BY, now=NOW).value
            except rotation.RotatedAlready:
                return None

    results = at_once(8, both)
    assert sum(isinstance(result, str) for result in results) == 1
    tasks.rotate_due()
    with tenant_transaction(live.acme.pk):
        assert AuditEvent.objects.filter(verb="rotate", subject_id__in=map(str, pks)).count() == 3
        assert Credential.objects.filter(pk__in=pks, replaced_by=None).count() == 0
        live_ones = Credential.objects.filter(revoked_at=None, ends_at=None)
        assert live_ones.count() == live_ones.values("person").distinct().count() == 4


def test_a_tick_leaves_the_other_tenant_alone(acme, old):
    [globex] = world.tenants_named("Initech")
    with tenant_context(globex.pk):
        theirs = world.a_pin(world.a_person("Mallory")).credential
        rotation.set_period(theirs, 1, by=BY, now=NOW)
    rotation.set_period(old, 1, by=BY, now=NOW)
    tick(NOW + DAY)
    assert successor_of(old) is not None
    with tenant_context(globex.pk):
        assert successor_of(theirs) is None


@pytest.fixture
def api(acme):
    return world.api(world.an_api_key())


def of(person, credential, *more):
    return "/".join([f"/api/3/people/{person.pk}/credentials", credential.public_id, *more])


def test_rotating_over_the_api(api, ann):
    old = world.a_pin(ann, now=NOW).credential
    answer = api.post(of(ann, old, "rotate"), headers={"Idempotency-Key": "r1"})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    new = answer.json()
    assert lifecycle.value_of(Credential.objects.get(public_id=new["id"])) == new["value"]
    assert AuditEvent.objects.filter(verb="reveal").count() == 1
    again = api.post(of(ann, old, "rotate"), headers={"Idempotency-Key": "r1"})
    assert (again.status_code, again.json()) == (201, new)
    refused = api.post(of(ann, old, "rotate"))
    assert (refused.status_code, refused.json()["codes"]) == (409, {"id": ["already_rotated"]})
    listed = api.get(f"/api/3/people/{ann.pk}/credentials").json()
    assert [(row["id"], row["replaced_by"]) for row in listed] == [(new["id"], None), (old.public_id, new["id"])]
    assert listed[0]["ends_at"] is None
    assert listed[1]["ends_at"].endswith("Z")
    second = api.post(
        f"/api/3/people/{ann.pk}/credentials", {"credential_type_id": 6, "value": "******"}, "application/json"
    )
    assert (second.status_code, second.json()["id"]) == (409, new["id"])
    Credential.objects.filter(pk=old.pk).update(ends_at=NOW - DAY)
    assert api.get(of(ann, old)).status_code == 404
    assert len(api.get(f"/api/3/people/{ann.pk}/credentials").json()) == 1


def test_a_period_over_the_api(api, ann):
    pin, card = world.a_pin(ann).credential, world.a_card(ann, "04A1B2C3")
    for days, status in [(90, 201), (None, 201), (0, 422), (-1, 422), ("x", 422), (4000, 422), (1, 201)]:
        answer = api.put(of(ann, pin), {"rotate_after_days": days}, "application/json")
        assert answer.status_code == status, days
        if status == 201:
            assert answer.json()["rotate_after_days"] == days
    assert api.put(of(ann, card), {"rotate_after_days": 9}, "application/json").status_code == 422
    assert api.post(of(ann, card, "rotate")).json()["codes"] == {"id": ["not_rotatable"]}
    issuing.set_enabled(pin, False, by=BY, now=NOW)
    assert api.post(of(ann, pin, "rotate")).status_code == 422


def test_what_is_shared_says_so_in_every_list(api, ann, door):
    shared = world.a_person("Delivery", kind="shared")
    issued = world.a_pin(shared)
    world.a_pin(ann, PIN)
    for value in (issued.value, PIN, "00000001"):
        attempts.attempt(door.pk, value, type=CredentialType.PIN, now=NOW)
    kinds = {row["id"]: row["kind"] for row in api.get("/api/3/people").json()}
    assert kinds == {shared.pk: "shared", ann.pk: "person"}
    expected = {shared.pk: True, ann.pk: False}
    assert {row["person_id"]: row["shared"] for row in api.get("/api/3/credentials").json()} == expected
    for person in (shared, ann):
        [row] = api.get(f"/api/3/people/{person.pk}/credentials").json()
        assert row["shared"] is expected[person.pk]
        assert api.get(f"/api/3/people/{person.pk}/credentials/{row['id']}").json()["shared"] is row["shared"]
    events = api.get("/api/3/events?since=2026-01-01").json()
    assert {row["person_id"]: row["shared"] for row in events} == expected | {None: None}
    rotated = api.post(of(shared, issued.credential, "rotate"))
    assert (rotated.status_code, rotated.json()["shared"]) == (201, True)
