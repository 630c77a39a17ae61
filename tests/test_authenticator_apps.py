"""The secret that an authenticator app shares with us: sealed like a PIN, for one user, through a change of the key."""

import logging
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django_otp.oath import TOTP
from hypothesis import given
from hypothesis import strategies as st

from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.signin.staff import second_factor
from pins.signin.staff.models import AuthenticatorApp
from pins.vault import keyring
from pins.vault.sealing import Tampered
from pins.vault.wrapping import unwrap, version_of, wrap
from tests import world
from tests.rotating import held_pins, keys_fixture, live_keys, rotate  # noqa: F401


def code_of(app):
    totp = TOTP(app.bin_key, app.step, app.t0, app.digits, app.drift)
    totp.time = time.time()
    return f"{totp.token():06}"


def enrolled(user):
    app = second_factor.begin(user)
    second_factor.switch_on(user, code_of(app), now=timezone.now())
    # Tests type faster than codes change.
    AuthenticatorApp.objects.filter(pk=app.pk).update(last_t=-1)
    app.refresh_from_db()
    return app


def a_user(name):
    return world.a_member(StaffRole.OWNER, f"{name}@acme.example").user


@given(st.binary(max_size=22), st.text(max_size=40))
def test_what_was_wrapped_opens_for_its_holder_and_fits_the_column(secret, bound):
    wrapped = wrap(secret, bound=bound)
    assert unwrap(wrapped, bound=bound) == secret
    assert len(wrapped) <= AuthenticatorApp._meta.get_field("key").max_length
    with pytest.raises(Tampered):
        unwrap(wrapped, bound=bound + "x")


def test_no_changed_digit_goes_unnoticed():
    wrapped = wrap(b"12345678901234567890", bound="ann")
    for at, digit in enumerate(wrapped):
        changed = wrapped[:at] + ("0" if digit != "0" else "1") + wrapped[at + 1 :]
        with pytest.raises(Tampered):
            unwrap(changed, bound="ann")


@pytest.mark.parametrize("text", ["", "00", "no digits", "0001", "3132333435363738393031323334353637383930"])
def test_what_is_no_wrapped_secret_does_not_open(text):
    with pytest.raises(Tampered):
        unwrap(text, bound="ann")


def test_the_database_alone_makes_no_code(acme, settings):
    app = enrolled(a_user("ann"))
    assert app.bin_key.hex() not in app.key
    assert second_factor.check(app.user, code_of(app), now=timezone.now()).device == app
    settings.PIN_KEYS = '{"keys": {"1": "%s"}, "current": 1}' % ("A" * 43 + "=")
    keyring.reload()
    try:
        with pytest.raises(Tampered):
            AuthenticatorApp.objects.get(pk=app.pk).bin_key  # noqa: B018
    finally:
        del settings.PIN_KEYS
        keyring.reload()


def test_an_app_that_was_put_in_the_place_of_anothers_signs_nobody_in(acme, caplog):
    ann, mallory = enrolled(a_user("ann")), enrolled(a_user("mallory"))
    AuthenticatorApp.objects.filter(pk=ann.pk).update(key=mallory.key)
    with caplog.at_level(logging.ERROR), pytest.raises(second_factor.WrongCode):
        second_factor.check(ann.user, code_of(mallory), now=timezone.now())
    assert f"authenticator app {ann.pk}" in caplog.text


def test_an_app_that_nobody_can_add_any_more_is_begun_anew(acme):
    ann = a_user("ann")
    first = second_factor.begin(ann)
    assert second_factor.begin(ann) == first
    AuthenticatorApp.objects.filter(pk=first.pk).update(key="7fff" + first.key[4:])
    again = second_factor.begin(ann)
    assert again != first
    second_factor.switch_on(ann, code_of(again), now=timezone.now())
    assert AuthenticatorApp.objects.get() == again


def test_apps_move_to_a_new_key_and_one_that_was_changed_keeps_the_old(live, keys):
    held_pins(live.acme)
    with tenant_transaction(live.acme.pk):
        ann, bob = enrolled(a_user("ann")), enrolled(a_user("bob"))
        AuthenticatorApp.objects.filter(pk=bob.pk).update(key=ann.key)
    secret = ann.bin_key
    outcome = rotate()
    assert outcome.retired == []
    assert [fault.partition(":")[0] for fault in outcome.faults] == [f"authenticator app {bob.pk}"]
    assert outcome.left == ["1 authenticator app"]
    ann.refresh_from_db()
    assert (version_of(ann.key), ann.bin_key) == (2, secret)
    with tenant_transaction(live.acme.pk):
        assert second_factor.check(ann.user, code_of(ann), now=timezone.now() + timedelta(seconds=1)).device == ann
        second_factor.remove(bob.user, by=world.BY, now=timezone.now())
    assert rotate().retired == [1]
    assert live_keys(keys) == ([2], 2)
    ann.refresh_from_db()
    assert ann.bin_key == secret
