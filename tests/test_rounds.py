"""Ticks go round the tenants: where the data of one is broken, the others are served all the same."""

import os
from contextlib import contextmanager

from accounts.tenancy import tenant_transaction
from pins.deliveries import tasks
from tests import world
from tests.conftest import _admin
from tests.hooks import loopback_fixture, receive_fixture, run, subscribed  # noqa: F401
from tests.letters import STATE, mailbox_fixture, now_of, queued  # noqa: F401


@contextmanager
def broken(table, tenant):
    """No row of this table and tenant can be written, whatever is tried."""
    with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
        admin.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'Ann 48151623'; END$$;"
            f"CREATE TRIGGER spoilt BEFORE UPDATE ON {table} FOR EACH ROW WHEN (OLD.tenant_id = {tenant.pk}) "
            "EXECUTE FUNCTION spoil()"
        )
    try:
        yield
    finally:
        with _admin(os.environ["GATEHOUSE_TEST_DATABASE"]) as admin:
            admin.execute("DROP FUNCTION spoil CASCADE")


def test_messages_of_the_others_leave(live, mailbox, caplog):
    stuck, waiting = queued(live.acme), queued(live.globex)
    with broken("deliveries_delivery", live.acme):
        tasks.send_due()
    assert now_of(live.globex, waiting).state == STATE.SENT
    assert now_of(live.acme, stuck).state == STATE.QUEUED
    assert "48151623" not in caplog.text
    assert f"Messages failed in tenant {live.acme.pk}" in caplog.text


def test_others_are_told_by_their_webhooks(live, receive):
    receiver = receive()
    for tenant in (live.acme, live.globex):
        subscribed(tenant, receiver.url, "person")
        with tenant_transaction(tenant.pk):
            world.a_person("Ann")
    with broken("webhooks_subscription", live.acme):
        run()
    assert len(receiver.taken) == 1
