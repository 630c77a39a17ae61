"""A new PIN key while the product serves: nothing stops working, no PIN is given out twice, and nothing is lost."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accesscontrol.access.models import Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accounts.tenancy import tenant_transaction
from pins.codes import checking
from pins.codes import issuing as codes
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.vault.models import Fingerprint
from pins.vault.sealing import key_version_of, open_json
from tests import world
from tests.rotating import (  # noqa: F401
    PINS,
    assert_all_works,
    held_pins,
    keys_fixture,
    live_keys,
    rotate,
    small_batches_fixture,
    versions,
)
from tests.world import BY, NOW

# The whole way


def test_everything_works_before_during_and_after(live, keys, small_batches):
    doors = {tenant: held_pins(tenant) for tenant in (live.acme, live.globex)}
    seen = []

    def look(done, total):
        if not seen or done != seen[-1][0]:
            for tenant, door in doors.items():
                assert_all_works(tenant, door, PINS[::3])
        seen.append((done, total))
        if done == 5:
            # What is issued meanwhile is sealed under the new key and found under both.
            assert live_keys(keys) == ([1, 2], 2)
            with tenant_transaction(live.acme.pk):
                lifecycle.issue(world.a_person("New"), CredentialType.PIN, "73920461", by=BY, now=NOW)

    look(0, 0)
    outcome = rotate(look)
    assert (outcome.current, outcome.retired, outcome.faults, outcome.left) == (2, [1], [], [])
    assert seen[-1] == (26, 26)
    for tenant, door in doors.items():
        assert_all_works(tenant, door)
        assert versions(tenant) == ({2}, {2})
        with tenant_transaction(tenant.pk):
            assert Fingerprint.objects.filter(kind="duress").count() == 1
            card = Credential.objects.get(type=CredentialType.CARD)
            assert lifecycle.value_of(card) == "CARD-7F"
            assert not Event.objects.filter(admitted=False).exists()
    assert live_keys(keys) == ([2], 2)
    assert rotate().retired == [2]
    assert live_keys(keys) == ([3], 3)
    assert_all_works(live.acme, doors[live.acme])


def test_messages_are_sealed_anew_and_codes_keep_the_old_key_until_they_are_over(live, keys):
    with tenant_transaction(live.acme.pk):
        waiting = [
            queueing.queue(
                medium="email", address="ann@example.com", template="visit", language="en",
                context={"pin": "48151623"}, about=[], now=NOW,
            ).pk
            for _ in range(2)
        ]  # fmt: skip
        Delivery.objects.filter(pk=waiting[1]).update(state="failed", failed_at=NOW, next_attempt_at=None)
        code = codes.issue(purpose="login", by=BY, now=NOW)
    outcome = rotate()
    assert outcome.left == [f"1 one-time code of tenant {live.acme.pk}, until {NOW:%Y-%m-%d} 09:10 UTC"]
    assert live_keys(keys) == ([1, 2], 2)
    with tenant_transaction(live.acme.pk):
        for delivery in Delivery.objects.filter(pk__in=waiting):
            content = bytes(delivery.content)
            assert key_version_of(content) == 2
            row = {"tenant_id": live.acme.pk, "table": "deliveries_delivery", "row_id": delivery.pk}
            assert open_json(content, **row) == {"pin": "48151623"}
        assert checking.check(code.code.public_id, code.value, by=BY, now=NOW)
    assert rotate(now=NOW + timedelta(minutes=10)).retired == [1]
    assert live_keys(keys) == ([2], 2)


def test_a_suspended_tenant_is_not_forgotten(live, keys):
    held_pins(live.globex)
    with tenant_transaction(live.globex.pk):
        type(live.globex).objects.filter(pk=live.globex.pk).update(suspended_at=NOW)
    assert rotate().retired == [1]
    assert versions(live.globex) == ({2}, {2})


# What was changed in the database


@pytest.mark.parametrize("exchanged", ["sealed", "holder_id"])
def test_what_was_exchanged_is_reported_and_keeps_the_old_key(live, keys, exchanged, capsys):
    held_pins(live.acme)
    with tenant_transaction(live.acme.pk):
        ids = list(Credential.objects.filter(type=CredentialType.PIN).order_by("pk").values_list("pk", flat=True))
        a, b = ids[3:5]
        with connection.cursor() as cursor:
            if exchanged == "sealed":
                cursor.execute(
                    "UPDATE credentials_credential c SET sealed = o.sealed FROM credentials_credential o "
                    "WHERE (c.id, o.id) IN ((%s, %s), (%s, %s))",
                    [a, b, b, a],
                )
            else:
                cursor.execute(
                    "UPDATE vault_fingerprint SET holder_id = %s - holder_id WHERE holder_id IN (%s, %s)",
                    [a + b, a, b],
                )
        before = dict(Credential.objects.filter(pk__in=[a, b]).values_list("pk", "sealed"))
    told = StringIO()
    with pytest.raises(CommandError, match="2 values were changed or exchanged"):
        call_command("rotate_pin_keys", stdout=told, stderr=told, pause=0)
    for row_id in (a, b):
        assert f"credential {row_id} of tenant {live.acme.pk}: " in told.getvalue()
    everything = told.getvalue() + "".join(capsys.readouterr())
    assert not [pin for pin in PINS if pin in everything]
    assert live_keys(keys) == ([1, 2], 2)
    with tenant_transaction(live.acme.pk):
        assert dict(Credential.objects.filter(pk__in=[a, b]).values_list("pk", "sealed")) == before
        others = Credential.objects.exclude(pk__in=[a, b])
        assert {key_version_of(bytes(one.sealed)) for one in others} == {2}
        lifecycle.revoke(Credential.objects.filter(pk__in=[a, b]), by=BY, now=NOW)
    assert rotate().retired == [1]
    assert versions(live.acme) == ({2}, {2})
