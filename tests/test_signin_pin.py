"""The engine under both kinds of accounts: one PIN each, counted, locked, unlocked; nothing kept but a keyed digest."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.signin import pin
from pins.signin.account import of_member, of_subscriber
from pins.signin.choosing import PinMissing, PinUnusable, PinWeak
from pins.signin.models import SignInPin, SignInSettings
from pins.signin.pin import Outcome
from pins.throttle.models import Throttle
from tests import world
from tests.rotating import keys_fixture, rotate  # noqa: F401
from tests.test_vault import use_keys  # noqa: F401
from tests.world import BY, NOW

PIN, OTHER = "805294", "730261"


def make(kind):
    if kind == "membership":
        return of_member(world.a_member(StaffRole.FRONT_DESK).pk)
    return of_subscriber(world.a_subscriber().pk)


@pytest.fixture(params=["membership", "subscriber"])
def account(request, acme):
    return make(request.param)


def check(account, entry, now=NOW):
    return pin.check_pin(account, entry, by=BY, now=now)


def audited():
    return list(AuditEvent.objects.order_by("id").values_list("verb", "subject_type", "fields"))


def test_a_pin_is_set_once_checked_and_changed(account):
    assert check(account, PIN).outcome == Outcome.NO_PIN
    pin.set_pin(account, PIN, by=BY, now=NOW)
    assert pin.state(account).is_set
    assert pin.state(account).set_at == NOW
    assert check(account, PIN).is_right
    with pytest.raises(pin.PinIsSet):
        pin.set_pin(account, OTHER, by=BY, now=NOW)
    assert pin.change_pin(account, OTHER, "946135", by=BY, now=NOW).outcome == Outcome.WRONG
    assert pin.change_pin(account, PIN, OTHER, by=BY, now=NOW).is_right
    assert check(account, OTHER).is_right
    assert check(account, PIN).outcome == Outcome.WRONG
    with pytest.raises(pin.PinUnchanged):
        pin.change_pin(account, OTHER, OTHER, by=BY, now=NOW)


def test_the_row_holds_neither_the_pin_nor_the_same_digest_for_another(acme):
    first, second = make("membership"), make("subscriber")
    for account in (first, second):
        pin.set_pin(account, PIN, by=BY, now=NOW)
    rows = list(SignInPin.objects.order_by("pk"))
    assert bytes(rows[0].digest) != bytes(rows[1].digest)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(p::text, ' ') FROM signin_signinpin p")
        assert PIN not in cursor.fetchone()[0]
    # A digest that was moved to another account opens nothing.
    SignInPin.objects.filter(pk=rows[0].pk).update(digest=rows[1].digest)
    assert check(first, PIN).outcome == Outcome.WRONG


@pytest.mark.parametrize(
    ("entry", "refusal"),
    [
        ("", PinMissing),
        ("12345", PinUnusable),
        ("80529", PinUnusable),
        ("1" * 13, PinUnusable),
        ("80529a", PinUnusable),
        ("٢٧١٨٢٨", PinUnusable),
        ("123456", PinWeak),
        ("111111", PinWeak),
        ("170599", PinWeak),
    ],
)
def test_what_is_no_pin_or_a_weak_one_is_refused(account, entry, refusal):
    with pytest.raises(refusal):
        pin.set_pin(account, entry, by=BY, now=NOW)
    assert not pin.state(account).is_set


def test_a_pin_from_the_holders_phone_is_refused(account):
    with pytest.raises(PinWeak, match="phone"):
        pin.set_pin(account, "705294", by=BY, now=NOW, phones=["+49 30 705294"])


@pytest.mark.parametrize("allowed", [3, 5, 10])
def test_so_many_wrong_entries_lock_and_the_lock_doubles(account, allowed):
    SignInSettings.objects.create(failures_allowed=allowed)
    pin.set_pin(account, PIN, by=BY, now=NOW)
    for left in range(allowed - 1, 0, -1):
        found = check(account, OTHER)
        assert (found.outcome, found.tries_left, found.locked_until) == (Outcome.WRONG, left, None)
    last = check(account, OTHER)
    assert (last.outcome, last.locked_until) == (Outcome.WRONG, NOW + timedelta(minutes=15))
    # The right one is not looked at either.
    assert check(account, PIN, NOW + timedelta(minutes=14, seconds=59)).outcome == Outcome.LOCKED
    assert pin.locked_until(account, NOW) == NOW + timedelta(minutes=15)
    again = check(account, OTHER, NOW + timedelta(minutes=15))
    assert again.locked_until == NOW + timedelta(minutes=45)
    assert check(account, PIN, NOW + timedelta(minutes=45)).is_right
    assert check(account, OTHER, NOW + timedelta(minutes=45)).tries_left == allowed - 1


def test_attempts_lock_and_unlock_are_on_record_without_values(account):
    SignInSettings.objects.create(failures_allowed=3)
    pin.set_pin(account, PIN, by=BY, now=NOW)
    before = len(audited())
    for entry in (OTHER, OTHER, OTHER, PIN):
        check(account, entry)
    assert pin.unlock(account, by=BY, now=NOW)
    assert not pin.unlock(account, by=BY, now=NOW)
    assert check(account, PIN).is_right
    found = audited()[before:]
    assert [verb for verb, *_ in found] == ["mistake", "mistake", "mistake", "lock", "bar", "unlock", "confirm"]
    assert all(fields == ["pin"] and kind == account.kind for _, kind, fields in found)


def test_a_reset_ends_the_lock(account):
    pin.set_pin(account, PIN, by=BY, now=NOW)
    for _ in range(5):
        check(account, OTHER)
    pin.reset_pin(account, OTHER, by=BY, now=NOW)
    assert check(account, OTHER).is_right


def test_skipping_is_noted_until_a_pin_is_set(account):
    pin.skip_pin(account, by=BY, now=NOW)
    assert pin.state(account).skipped_at == NOW
    assert check(account, PIN).outcome == Outcome.NO_PIN
    pin.set_pin(account, PIN, by=BY, now=NOW)
    pin.skip_pin(account, by=BY, now=NOW)
    assert pin.state(account) == pin.State(is_set=True, set_at=NOW)


def test_a_pin_belongs_to_one_of_the_two(acme):
    member, subscriber = make("membership"), make("subscriber")
    for values in ({}, {**member.columns, **subscriber.columns}):
        with pytest.raises(IntegrityError, match="signin_pin_of_one_account"), transaction.atomic():
            SignInPin.objects.create(**values)
    for account in (member, subscriber):
        SignInPin.objects.create(**account.columns)
        with pytest.raises(IntegrityError, match="signin_pin_one_per"), transaction.atomic():
            SignInPin.objects.create(**account.columns)


def test_a_right_entry_moves_the_row_to_the_current_key(account, use_keys):  # noqa: F811
    use_keys(1)
    pin.set_pin(account, PIN, by=BY, now=NOW)
    use_keys(1, 2)
    assert SignInPin.objects.get().key_version == 1
    assert check(account, OTHER).outcome == Outcome.WRONG
    assert SignInPin.objects.get().key_version == 1
    assert check(account, PIN).is_right
    assert SignInPin.objects.get().key_version == 2
    assert check(account, PIN).is_right


def test_a_pin_whose_key_is_gone_is_none_and_can_be_set_anew(account, use_keys):  # noqa: F811
    use_keys(1)
    pin.set_pin(account, PIN, by=BY, now=NOW)
    use_keys(2)
    assert not pin.state(account).is_set
    assert check(account, PIN).outcome == Outcome.NO_PIN
    pin.set_pin(account, OTHER, by=BY, now=NOW)
    assert check(account, OTHER).is_right


def test_of_32_at_once_with_the_last_try_left_one_is_checked(live):
    with tenant_transaction(live.acme.pk):
        account = make("subscriber")
        pin.set_pin(account, PIN, by=BY, now=NOW)
        for _ in range(4):
            check(account, OTHER)
    found = []
    start = threading.Barrier(32)

    def attempt(number):
        try:
            start.wait()
            with tenant_transaction(live.acme.pk):
                found.append(check(account, f"{500000 + number}").outcome)
        finally:
            connection.close()

    threads = [threading.Thread(target=attempt, args=[number]) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [Outcome.LOCKED] * 31 + [Outcome.WRONG]
    with tenant_transaction(live.acme.pk):
        assert Throttle.objects.get().failures == 5
        assert check(account, PIN).outcome == Outcome.LOCKED


def test_a_key_is_kept_for_pins_that_were_not_entered_since(live, keys):
    with tenant_transaction(live.acme.pk):
        account = make("membership")
        pin.set_pin(account, PIN, by=BY, now=NOW)
    outcome = rotate()
    assert outcome.left == [f"1 sign-in PIN of tenant {live.acme.pk}, until entered next"]
    with tenant_transaction(live.acme.pk):
        assert check(account, PIN).is_right
    outcome = rotate()
    assert (outcome.left, outcome.retired) == ([], [1])
    with tenant_transaction(live.acme.pk):
        assert check(account, PIN).is_right


def test_pins_can_be_given_up_for_the_sake_of_a_key(live, keys):
    with tenant_transaction(live.acme.pk):
        account = make("subscriber")
        pin.set_pin(account, PIN, by=BY, now=NOW)
    outcome = rotate(forgets_pins=True)
    assert (outcome.left, outcome.retired) == ([], [1])
    with tenant_transaction(live.acme.pk):
        assert check(account, PIN).outcome == Outcome.NO_PIN
        assert ("remove_pin", "subscriber", []) in audited()
        pin.set_pin(account, PIN, by=BY, now=NOW)
        assert check(account, PIN).is_right
