"""Notification rules and POST /sync, in the contract's words."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access import attempts, contact, offline_list
from accesscontrol.credentials.models import CredentialType
from accesscontrol.visits import issuing
from accesscontrol.webhooks import rules
from accesscontrol.webhooks.models import Subscription
from accounts.tenancy import tenant_transaction
from tests import world
from tests.hooks import run
from tests.receivers import Receiver
from tests.world import BY

RULE = {"name": "Wrong PINs", "call_back_url": "https://93.184.215.14/hook", "match_event_codes": [24, 11]}


@pytest.fixture
def door(acme):
    return world.a_door("Front Door")


@pytest.fixture
def api(door):
    return world.api(world.an_api_key("account.notification_rule", "account.sync"))


def post(client, path, body=None):
    return client.post(f"/api/3/{path}", body or {}, "application/json")


def test_a_rule_is_made_read_replaced_and_deleted(api, door):
    made = post(api, "notification_rules", RULE | {"match_controller_ids": [door.pk], "match_action": "x"})
    assert (made.status_code, made["Cache-Control"]) == (200, "no-store")
    body = made.json()
    assert body.pop("secret").startswith("whsec_")
    assert body == {
        "id": body["id"],
        "name": "Wrong PINs",
        "active": True,
        "conditions": [{"type": "door_controller_id", "type_description": "Front Door", "value": str(door.pk)}],
        "events": [{"code": 11, "name": "Admitted: PIN"}, {"code": 24, "name": "Rejected: unauthorised PIN"}],
        "actions": [{"type": 0, "type_description": "POST to URL", "data": RULE["call_back_url"]}],
    }
    address = f"/api/3/notification_rules/{body['id']}"
    assert api.get(address).json() == body == api.get("/api/3/notification_rules").json()[0]
    [hook] = api.get("/api/3/webhooks").json()
    assert (hook["form"], hook["event_codes"], hook["channel_ids"]) == ("doorflow", [11, 24], [door.pk])
    replaced = api.put(address, RULE | {"match_event_codes": [21], "active": False}, "application/json").json()
    assert (replaced["active"], replaced["conditions"], replaced["events"][0]["code"]) == (False, [], 21)
    assert api.delete(address).json() == {"result": "ok"}
    assert api.get(address).status_code == 404
    assert api.delete(address).status_code == 404


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"match_event_codes": []}, "match_event_codes"),
        ({"match_event_codes": [31]}, "match_event_codes"),
        ({"match_event_codes": "11"}, "match_event_codes"),
        ({"match_controller_ids": [999]}, "match_controller_ids"),
        ({"call_back_url": "https://127.0.0.1/"}, "url"),
        ({"call_back_url": None}, "call_back_url"),
        ({"name": ""}, "name"),
        ({"active": "yes"}, "active"),
    ],
)
def test_what_is_wrong_is_named(api, values, field):
    answer = post(api, "notification_rules", RULE | values)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])
    assert not Subscription.objects.exists()


def test_a_door_of_another_tenant_is_unknown(live):
    with tenant_transaction(live.globex.pk):
        theirs = world.a_door("Theirs").pk
    with tenant_transaction(live.acme.pk), pytest.raises(rules.UnknownController):
        world.a_door("Ours")
        rules.make(
            "x", "https://93.184.215.14/", event_codes=[11], channel_ids=[theirs], is_active=True, by=BY,
            now=timezone.now(),
        )  # fmt: skip


def test_a_rule_tells_its_codes_at_its_doors_and_nothing_of_the_time_when_it_was_off(live, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    receiver = Receiver()
    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        front, lab = world.a_door("Front Door"), world.a_door("Lab")
        ann = world.a_person("Ann", now=now)
        pin = world.a_pin(ann, now=now).value
        made = rules.make(
            "Front", receiver.url, event_codes=[24], channel_ids=[front.pk], is_active=True, by=BY, now=now
        )
    rule, secret = made.subscription, made.secret
    assert secret

    def try_both():
        found = []
        for door in (front, lab):
            with tenant_transaction(live.acme.pk):
                for value in ("99990000", pin):
                    tried = attempts.attempt(door.pk, value, type=CredentialType.PIN, now=timezone.now())
                    found.append(tried.event_id)
        return found[0]

    def replace(is_active):
        values = {"name": "Front", "url": receiver.url, "event_codes": [24], "channel_ids": [front.pk]}
        with tenant_transaction(live.acme.pk):
            rules.replace(rule, values, is_active=is_active, by=BY, now=timezone.now())

    try:
        first = try_both()
        run()
        replace(False)
        try_both()
        run()
        replace(True)
        last = try_both()
        run()
        told = [message.body[0] for message in receiver.taken]
    finally:
        receiver.stop()
    # With the PIN of somebody who has no right it is code 24 as well: both are told, of this door alone.
    assert sorted(int(each["resource_id"]) for each in told) == [first, first + 1, last, last + 1]
    assert {each["resource_type"] for each in told} == {"Event"}
    assert all("signature" in message.headers for message in receiver.taken)


def test_sync_says_which_doors_lag_behind(api, door, time_machine):
    now = timezone.now()
    time_machine.move_to(now, tick=False)

    def behind():
        answer = post(api, "sync")
        assert (answer.status_code, answer.json()["result"]) == (200, "ok")
        return [(row["id"], row["status"], row["waiting_changes"]) for row in answer.json()["channels_behind"]]

    assert behind() == []
    door.keeps_offline_list = True
    door.save()
    contact.seen(door.pk, now=now)
    kept = offline_list.refresh(door, now)
    offline_list.taken(kept, kept.version)
    assert behind() == []
    issuing.revoke(world.a_pin(world.a_person("Ann", now=now), now=now).credential, by=BY, now=now)
    assert behind() == [(door.pk, "online", 1)]
    time_machine.move_to(now + timedelta(minutes=3), tick=False)
    assert behind() == [(door.pk, "offline", 1)]
    here = world.a_site("Here")
    limited = world.api(world.an_api_key("account.sync", sites=[here]))
    assert post(limited, "sync").json()["channels_behind"] == []


def test_reading_rules_is_not_writing_them(door):
    reader = world.api(world.an_api_key("account.notification_rule.readonly"))
    assert reader.get("/api/3/notification_rules").status_code == 200
    assert post(reader, "notification_rules", RULE).status_code == 403
