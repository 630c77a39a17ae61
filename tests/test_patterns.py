"""Suspicious patterns: just below, just above, twice, late, acknowledged, off, and through a killed worker."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.access import alarms, following, patterns, telling
from accesscontrol.access.models import PATTERN_BOUNDS, Alarm, AlarmRecipient, Event, PatternPlace, PatternRules, Reason
from accesscontrol.access.patterns.wording import sentence
from accesscontrol.access.tasks import watch_patterns
from accesscontrol.credentials.models import CredentialType
from accesscontrol.people.models import Person
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.sending import send_next
from tests import world
from tests.hooks import all_visible
from tests.world import BY, NOW

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def door(acme):
    return world.a_door("Front Door")


@pytest.fixture(autouse=True)
def _rows_of_this_transaction_are_seen(request, monkeypatch):
    """Followers read below the oldest open transaction; what a test that is rolled back writes is all in its own."""
    if "live" not in request.fixturenames:
        monkeypatch.setattr(following, "HORIZON", "9223372036854775807::bigint")
        monkeypatch.setattr(patterns, "horizon", lambda: 0)


def event(door, person=None, credential=None, *, at=NOW, reason=Reason.NONE, type=CredentialType.PIN):
    return Event.objects.create(
        channel=door,
        person=person,
        credential=credential,
        credential_type=type,
        code=11 if reason == Reason.NONE else 24,
        admitted=reason == Reason.NONE,
        reason=reason,
        occurred_at=at,
    )


def wrong(door, *minutes, start=NOW):
    for minute in minutes:
        event(door, at=start + minute * MINUTE, reason=Reason.INVALID_PIN)


def look(now=NOW):
    while patterns.watch(now) == patterns.BATCH:
        pass
    return [(alarm.kind, alarm.count) for alarm in Alarm.objects.order_by("pk")]


def tuned(**values):
    PatternRules.objects.all().delete()
    PatternRules.objects.create(**values)


# Wrong PINs


def test_wrong_pins_below_above_and_again(door):
    tuned(wrong_pins_count=4, wrong_pins_minutes=10)
    wrong(door, 0, 3, 6, 10)
    assert look() == []
    wrong(door, 9)
    assert look() == [("wrong_pins", 4)]
    assert look() == [("wrong_pins", 4)]
    alarm = Alarm.objects.get()
    assert (alarm.channel_id, alarm.site_id, alarm.subject) == (door.pk, door.site_id, f"channel:{door.pk}")
    wrong(door, 11, 12)
    assert look() == [("wrong_pins", 6)]
    assert Alarm.objects.get().last_at == NOW + 12 * MINUTE
    # Another door, and tries that were no wrong PINs.
    lab = world.a_door("Lab")
    wrong(lab, 0, 1, 2)
    for _ in range(9):
        event(lab, at=NOW, reason=Reason.THROTTLED)
    assert look() == [("wrong_pins", 6)]


def test_an_event_that_is_told_late_is_judged_by_when_it_happened(door):
    tuned(wrong_pins_count=3, wrong_pins_minutes=10)
    wrong(door, 0, 5, 60, 65)
    assert look() == []
    wrong(door, 62)
    assert look(NOW + DAY) == [("wrong_pins", 3)]
    wrong(door, 2)
    assert look(NOW + DAY) == [("wrong_pins", 4)]
    assert Alarm.objects.get().last_at == NOW + 62 * MINUTE


def test_what_was_acknowledged_is_not_raised_by_the_same_events(door):
    tuned(wrong_pins_count=3, wrong_pins_minutes=60)
    wrong(door, 0, 1, 2)
    look()
    alarms.acknowledge(Alarm.objects.get(), "A new cleaner.", by=BY, now=NOW)
    wrong(door, 3, 4)
    assert look() == [("wrong_pins", 3)]
    wrong(door, 5)
    assert look() == [("wrong_pins", 3), ("wrong_pins", 3)]
    assert Alarm.objects.filter(acknowledged_at=None).count() == 1


# One credential at two sites


def test_two_sites_within_minutes(door):
    tuned(two_sites_minutes=10)
    gate = world.a_door("Gate", site=world.a_site("Warehouse"))
    side = world.a_door("Side")
    ann = world.a_person("Ann")
    pin = world.a_pin(ann).credential
    event(door, ann, pin)
    event(side, ann, pin, at=NOW + MINUTE)
    event(gate, ann, pin, at=NOW + 11 * MINUTE)
    assert look() == []
    event(gate, ann, pin, at=NOW + 11 * MINUTE - timedelta(seconds=1), reason=Reason.UNAUTHORIZED)
    assert look() == [("two_sites", 1)]
    assert Alarm.objects.get().person_id == ann.pk
    # Told late: it was at the first site in between.
    event(door, ann, pin, at=NOW + 12 * MINUTE)
    assert look() == [("two_sites", 2)]
    pool = world.a_person("Pool", kind=Person.Kind.SHARED)
    shared = world.a_pin(pool).credential
    event(door, pool, shared)
    event(gate, pool, shared)
    bob = world.a_person("Bob")
    other = world.a_pin(bob).credential
    event(door, bob, other)
    event(gate, ann, world.a_card(ann, "CARD-1"), type=CredentialType.CARD)
    assert look() == [("two_sites", 2)]


# Outside the habit


def came(door, person, *, days, at=NOW, until=1):
    for day in range(until, until + days):
        event(door, person, at=at - day * DAY)


def test_unusual_hours_below_and_above(door):
    tuned(unusual_hours_days=10, unusual_hours_apart=3)
    ann = world.a_person("Ann")
    # NOW is Wednesday 11:00 at the site. Fourteen days are ten working days.
    came(door, ann, days=14)
    assert look() == []
    event(door, ann, at=NOW + 3 * HOUR - 16 * MINUTE)
    assert look() == []
    event(door, ann, at=NOW + 9 * HOUR)
    assert look() == [("unusual_hours", 1)]
    # The next door on the way is no second time; the night after is usual by nothing but itself.
    event(door, ann, at=NOW + 9 * HOUR + MINUTE)
    assert look() == [("unusual_hours", 1)]
    event(door, ann, at=NOW + DAY - 7 * HOUR)
    assert look() == [("unusual_hours", 2)]


def test_who_has_no_habit_is_not_unusual(door):
    tuned(unusual_hours_days=10, unusual_hours_apart=3)
    new, visitor = world.a_person("New"), world.a_person("Vera", kind=Person.Kind.VISITOR)
    came(door, new, days=9)
    came(door, visitor, days=20)
    long_ago = world.a_person("Old")
    came(door, long_ago, days=20, until=57)
    for person in (new, visitor, long_ago):
        event(door, person, at=NOW + 9 * HOUR)
    assert look() == []


def test_a_weekend_is_no_working_day(door):
    tuned(unusual_hours_days=5)
    ann = world.a_person("Ann")
    for week in range(3):
        for weekday in range(3):
            event(door, ann, at=NOW - week * 7 * DAY - weekday * DAY)
    assert look() == []
    # The Saturday that follows, at the same hour.
    event(door, ann, at=NOW + 3 * DAY)
    assert look() == [("unusual_hours", 1)]


# Expired PINs


def test_expired_pins_at_any_door(door):
    tuned(expired_pins_count=3, expired_pins_hours=2)
    lab, ann = world.a_door("Lab"), world.a_person("Ann")
    pin = world.a_pin(ann).credential
    for at, where in ((NOW, door), (NOW + HOUR, lab), (NOW + 2 * HOUR, door)):
        event(where, ann, pin, at=at, reason=Reason.CREDENTIAL_EXPIRED)
    assert look() == []
    event(lab, ann, pin, at=NOW + 2 * HOUR - MINUTE, reason=Reason.CREDENTIAL_EXPIRED)
    assert look() == [("expired_pins", 3)]
    event(lab, ann, pin, at=NOW + 2 * HOUR, reason=Reason.CREDENTIAL_EXPIRED)
    assert look() == [("expired_pins", 4)]


# Shared PINs


def test_a_shared_pin_that_is_used_more_than_before(door):
    tuned(shared_pin_count=6, shared_pin_times=3)
    pool = world.a_person("Pool", kind=Person.Kind.SHARED)
    for day in range(1, 15):
        for use in range(2):
            event(door, pool, at=NOW - day * DAY + use * HOUR)
    for minute in range(5):
        event(door, pool, at=NOW + 2 * HOUR + minute * MINUTE)
    assert look() == []
    event(door, pool, at=NOW + 3 * HOUR)
    assert look() == [("shared_pin", 6)]
    event(door, pool, at=NOW + 3 * HOUR + MINUTE)
    assert look() == [("shared_pin", 7)]
    ann, fresh = world.a_person("Ann"), world.a_person("New pool", kind=Person.Kind.SHARED)
    for minute in range(30):
        event(door, ann, at=NOW + minute * MINUTE)
        event(door, fresh, at=NOW + minute * MINUTE)
    assert look() == [("shared_pin", 7)]


# All of them


def test_each_rule_can_be_switched_off(door):
    rules = dict.fromkeys(("wrong_pins", "two_sites", "unusual_hours", "expired_pins", "shared_pin"), False)
    tuned(**rules, wrong_pins_count=2)
    wrong(door, 0, 1, 2)
    assert look() == []
    tuned(wrong_pins_count=2)
    # What was recorded while it was off is behind; the next one counts with it.
    assert look() == []
    wrong(door, 3)
    assert look() == [("wrong_pins", 4)]


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
def test_however_it_is_cut_the_same_is_found(door, monkeypatch, batch):
    monkeypatch.setattr(patterns, "BATCH", batch)
    tuned(wrong_pins_count=3, wrong_pins_minutes=10, expired_pins_count=2)
    ann = world.a_person("Ann")
    for minute in (0, 20, 2, 1, 3, 21, 22):
        wrong(door, minute)
        event(door, ann, at=NOW + minute * HOUR, reason=Reason.CREDENTIAL_EXPIRED)
    look()
    found = {(alarm.kind, alarm.count, alarm.last_at) for alarm in Alarm.objects.all()}
    assert found == {("wrong_pins", 5, NOW + 22 * MINUTE), ("expired_pins", 7, NOW + 22 * HOUR)}


def test_a_tick_asks_as_much_whatever_there_was_before(door):
    def asks():
        with CaptureQueriesContext(connection) as captured:
            patterns.watch(NOW)
        return len(captured)

    ann = world.a_person("Ann")
    wrong(door, 0)
    event(door, ann)
    few = asks()
    for number in range(120):
        wrong(door, -number * 60)
        event(door, ann, at=NOW - number * HOUR)
    patterns.watch(NOW)
    wrong(door, 1)
    event(door, ann)
    assert asks() <= few
    assert asks() <= 6


def test_recipients_are_told_only_where_it_was_chosen(door):
    AlarmRecipient.objects.create(name="All but", address="old@example.com", kinds=["guessing", "duress"])
    AlarmRecipient.objects.create(name="Patterns", address="new@example.com", kinds=["wrong_pins"])
    tuned(wrong_pins_count=2)
    wrong(door, 0, 1, 2)
    look()
    telling.tell_due(NOW)
    while send_next(door.tenant_id, clock=lambda: NOW):
        pass
    [message] = mail.outbox
    assert message.to == ["new@example.com"]
    assert message.subject == "Many wrong PINs at a door: Front Door, Head Office"
    wrong(door, 3)
    look()
    assert telling.tell_due(NOW) == 0


def test_the_inbox_states_the_rule_and_takes_a_reason(door):
    tuned(wrong_pins_count=2, wrong_pins_minutes=7)
    wrong(door, 0, 1, 2)
    look()
    Alarm.objects.create(kind="silence", site=door.site, channel=door, raised_at=NOW)
    client = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    listed = client.get("/admin/access/alarm/?about=patterns&state=open")
    assert "3 times" in listed.content.decode()
    assert [row.kind for row in listed.context["cl"].result_list] == ["wrong_pins"]
    alarm = Alarm.objects.get(kind="wrong_pins")
    page = client.get(f"/admin/access/alarm/{alarm.pk}/change/").content.decode()
    assert "2 or more wrong PINs at one door within 7 minutes." in page
    assert client.post(f"/admin/access/alarm/{alarm.pk}/acknowledge/", {"reason": "A new cleaner."}).status_code == 302
    alarm.refresh_from_db()
    assert alarm.acknowledged_reason == "A new cleaner."


def test_rules_are_tuned_in_plain_words(door):
    client = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    address = client.get("/admin/access/patternrules/").headers["Location"]
    page = client.get(address).content.decode()
    for kind in patterns.PATTERNS:
        assert sentence(kind, PatternRules()) in page.replace("&#x27;", "'")
    row = PatternRules.objects.get()
    form = {name: getattr(row, name) for name in PATTERN_BOUNDS}
    bad = client.post(address, {**form, "wrong_pins": "on", "wrong_pins_count": 1})
    assert (
        "Write a number from 2 to 500." in bad.content.decode() or "greater than or equal to 2" in bad.content.decode()
    )
    assert client.post(address, {**form, "wrong_pins": "on", "wrong_pins_count": 30}).status_code == 302
    row.refresh_from_db()
    assert (row.wrong_pins, row.wrong_pins_count, row.two_sites) == (True, 30, False)
    desk = world.signed_in(world.a_member(StaffRole.FRONT_DESK, "desk@acme.example").user)
    assert desk.get("/admin/access/patternrules/").status_code == 403


def test_a_killed_tick_counts_nothing_twice(live, monkeypatch):
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        tuned(wrong_pins_count=3)
        for minute in range(5):
            wrong(door, minute)
    all_visible()
    assert live.acme.pk in patterns.tenants_with_new_events()

    class Killed(BaseException):
        """As if the process were gone before its commit."""

    with pytest.raises(Killed), tenant_transaction(live.acme.pk):
        patterns.watch(NOW)
        assert Alarm.objects.get().count == 5
        raise Killed
    with tenant_transaction(live.acme.pk):
        assert not Alarm.objects.exists()
        assert not PatternPlace.objects.exists()
    watch_patterns()
    watch_patterns()
    with tenant_transaction(live.acme.pk):
        assert [(alarm.kind, alarm.count) for alarm in Alarm.objects.all()] == [("wrong_pins", 5)]
    assert patterns.tenants_with_new_events() == []
