"""Ticks go round the tenants: where the data of one is broken, the others are served all the same."""

import os
from contextlib import contextmanager

import pytest
from django.utils import timezone

from accesscontrol.webhooks import gateways, running, subscribing
from accounts.tenancy import tenant_transaction
from pins.deliveries import tasks
from tests import world
from tests.conftest import _admin
from tests.hooks import all_visible
from tests.letters import STATE, mailbox_fixture, now_of, queued  # noqa: F401
from tests.receivers import Receiver
from tests.world import BY


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


@pytest.fixture
def receiver(settings, monkeypatch):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr(gateways, "WHOLE_SECONDS", 1.0)
    opened = Receiver(None)
    yield opened
    opened.stop()


def test_others_are_told_by_their_webhooks(live, receiver):
    for tenant in (live.acme, live.globex):
        with tenant_transaction(tenant.pk):
            subscribing.subscribe("Test", receiver.url, kinds=["person"], form="standard", by=BY, now=timezone.now())
        with tenant_transaction(tenant.pk):
            world.a_person("Ann")
    all_visible()
    with broken("webhooks_subscription", live.acme):
        running.run(clock=timezone.now, seconds=5)
    assert len(receiver.taken) == 1
