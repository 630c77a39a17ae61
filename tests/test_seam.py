"""The official Python package `seam`, as it is published, against the running server."""

import threading
from datetime import timedelta
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.utils import timezone
from seam import Seam, SeamHttpApiError, SeamHttpInvalidInputError, SeamHttpUnauthorizedError, SeamWebhook

from accesscontrol.access import acknowledging, attempts, contact
from accesscontrol.access.models import ChannelCommand
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.webhooks import running, subscribing
from accounts import keys
from accounts.models import ApiKey, AuditEvent
from accounts.tenancy import tenant_transaction
from tests import world
from tests.hooks import all_visible
from tests.receivers import Receiver
from tests.world import BY


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint(live):
    """Django over HTTP in a thread of this process."""
    application = get_wsgi_application()

    def served(environ, start_response):
        try:
            yield from application(environ, start_response)
        finally:
            connections.close_all()

    with make_server("127.0.0.1", 0, served, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/seam"
        server.shutdown()
        thread.join()


class Scene:
    pass


@pytest.fixture
def scene(live, endpoint):
    scene = Scene()
    scene.tenant, scene.now, scene.endpoint = live.acme, timezone.now(), endpoint
    with tenant_transaction(live.acme.pk):
        scene.front = world.a_door("Front Door", shortest_pin=4, longest_pin=6)
        scene.back = world.a_door("Back Door", site=scene.front.site, shortest_pin=4, longest_pin=6)
        scene.key = keys.mint("pms", kind=ApiKey.Kind.SEAM, by=BY, now=scene.now).value
    with tenant_transaction(live.globex.pk):
        scene.foreign = world.a_door("Globex Door")
    with Seam(api_key=scene.key, endpoint=endpoint) as scene.seam:
        yield scene


def knock(scene, channel, value, *, ahead=timedelta()):
    with tenant_transaction(scene.tenant.pk):
        return attempts.attempt(channel.pk, value, type=CredentialType.PIN, now=timezone.now() + ahead).admitted


def test_keys_and_the_workspace(scene):
    assert scene.key.startswith("seam_")
    assert scene.seam.workspaces.get().name == "Acme"
    stranger = Seam(api_key="seam_" + "a" * 32, endpoint=scene.endpoint)
    with pytest.raises(SeamHttpUnauthorizedError) as refused:
        stranger.devices.list()
    assert refused.value.request_id
    stranger.close()


def test_devices_and_locks(scene):
    devices = scene.seam.devices.list()
    assert [(device.device_id, device.display_name) for device in devices] == [
        (str(scene.front.pk), "Front Door"),
        (str(scene.back.pk), "Back Door"),
    ]
    assert [lock.device_id for lock in scene.seam.locks.list()] == [device.device_id for device in devices]
    device = scene.seam.devices.get(device_id=str(scene.front.pk))
    assert device.can_remotely_unlock
    assert device.properties.supported_code_lengths == [4, 5, 6]
    assert scene.seam.locks.get(name="Back Door").device_id == str(scene.back.pk)
    for device_id in (str(scene.foreign.pk), "999999", "front", "٣"):
        with pytest.raises(SeamHttpApiError) as refused:
            scene.seam.devices.get(device_id=device_id)
        assert (refused.value.status_code, refused.value.code) == (404, "device_not_found")


def test_a_door_that_fell_silent_is_offline(scene):
    def online():
        device = scene.seam.devices.get(device_id=str(scene.front.pk))
        return device.properties.online, [error["error_code"] for error in device.errors]

    assert online() == (True, []), "a keypad that merely asks is never missed"
    with tenant_transaction(scene.tenant.pk):
        contact.seen(scene.front.pk, now=timezone.now() - timedelta(minutes=3))
    assert online() == (False, ["device_offline"])


def test_what_the_facade_has_not_is_said_in_the_clients_form(scene):
    for asked in (
        lambda: scene.seam.locks.lock_door(device_id=str(scene.front.pk)),
        scene.seam.thermostats.list,
        scene.seam.webhooks.list,
    ):
        with pytest.raises(SeamHttpApiError) as refused:
            asked()
        assert (refused.value.status_code, refused.value.code) == (404, "endpoint_not_found")
    with httpx.Client(base_url=scene.endpoint, headers={"Authorization": f"Bearer {scene.key}"}) as client:
        answer = client.get("/locks/list%0A")
        assert (answer.status_code, answer.json()["ok"]) == (404, False)
        assert int(answer.headers["X-RateLimit-Remaining"]) < int(answer.headers["X-RateLimit-Limit"])


def test_a_time_bound_code_opens_within_its_time_and_dies_when_it_is_deleted(scene):
    starts, ends = scene.now - timedelta(minutes=1), scene.now + timedelta(hours=2)
    code = scene.seam.access_codes.create(
        device_id=str(scene.front.pk),
        name="Ann Arbor",
        starts_at=starts.isoformat(),
        ends_at=ends.isoformat(),
    )
    assert (code.type, code.status, code.name) == ("time_bound", "set", "Ann Arbor")
    assert code.code.isdecimal()
    assert knock(scene, scene.front, code.code)
    assert not knock(scene, scene.back, code.code)
    assert not knock(scene, scene.front, code.code, ahead=timedelta(hours=2, seconds=1))
    again = scene.seam.access_codes.get(access_code_id=code.access_code_id)
    assert (again.code, again.device_id) == (code.code, str(scene.front.pk))
    found = scene.seam.access_codes.get(device_id=str(scene.front.pk), code=code.code)
    assert found.access_code_id == code.access_code_id
    scene.seam.access_codes.delete(access_code_id=code.access_code_id)
    assert not knock(scene, scene.front, code.code)
    # Clients repeat a DELETE that was not answered.
    scene.seam.access_codes.delete(access_code_id=code.access_code_id)
    with pytest.raises(SeamHttpApiError) as refused:
        scene.seam.access_codes.get(access_code_id=code.access_code_id)
    assert refused.value.code == "access_code_not_found"
    with tenant_transaction(scene.tenant.pk):
        assert not Person.objects.filter(deleted_at=None).exists()
        assert not Credential.objects.filter(revoked_at=None).exists()
        assert AuditEvent.objects.filter(verb="reveal", actor_kind="seam").count() == 3, "created, and twice got"


def test_an_ongoing_code_and_its_changes(scene):
    code = scene.seam.access_codes.create(device_id=str(scene.front.pk), code="73829", name="Cleaner")
    assert (code.code, code.type, code.ends_at) == ("73829", "ongoing", None)
    assert knock(scene, scene.front, "73829", ahead=timedelta(days=3000))
    scene.seam.access_codes.update(access_code_id=code.access_code_id, code="46182", name="New Cleaner")
    assert not knock(scene, scene.front, "73829")
    assert knock(scene, scene.front, "46182")
    ends = scene.now + timedelta(days=1)
    scene.seam.access_codes.update(
        access_code_id=code.access_code_id,
        type="time_bound",
        starts_at=scene.now.isoformat(),
        ends_at=ends.isoformat(),
    )
    now = scene.seam.access_codes.get(access_code_id=code.access_code_id)
    assert (now.type, now.name) == ("time_bound", "New Cleaner")
    assert not knock(scene, scene.front, "46182", ahead=timedelta(days=1, minutes=1))
    scene.seam.access_codes.update(access_code_id=code.access_code_id, type="ongoing")
    assert knock(scene, scene.front, "46182", ahead=timedelta(days=30))


def test_a_code_that_cannot_be_exchanged_goes_on_to_work_and_guessing_counts(scene, settings):
    settings.CHOSEN_PIN_REFUSALS_PER_HOUR = 3
    front = str(scene.front.pk)
    taken = scene.seam.access_codes.create(device_id=front, code="60284").code
    code = scene.seam.access_codes.create(device_id=front, code="73829")
    for call in (
        lambda: scene.seam.access_codes.update(access_code_id=code.access_code_id, code=taken, name="Other"),
        lambda: scene.seam.access_codes.create(device_id=front, code=taken),
        lambda: scene.seam.access_codes.create(device_id=front, code=taken),
    ):
        with pytest.raises(SeamHttpApiError) as refused:
            call()
        assert refused.value.code == "not_available"
    with pytest.raises(SeamHttpApiError) as refused:
        scene.seam.access_codes.create(device_id=front, code="51837")
    assert (refused.value.status_code, refused.value.code) == (429, "too_many_refusals")
    assert knock(scene, scene.front, "73829")
    assert scene.seam.access_codes.get(access_code_id=code.access_code_id).name == "Access code"
    with tenant_transaction(scene.tenant.pk):
        assert (Person.objects.count(), Reservation.objects.count()) == (2, 2)


def test_several_at_once_share_a_code_and_a_repeated_put_makes_no_more(scene):
    wanted = {"device_ids": [str(scene.front.pk), str(scene.back.pk)], "name": "Crew"}
    codes = scene.seam.access_codes.create_multiple(**wanted)
    assert len({code.code for code in codes}) == len({code.common_code_key for code in codes}) == 1
    assert {code.device_id for code in codes} == set(wanted["device_ids"])
    assert knock(scene, scene.front, codes[0].code)
    assert knock(scene, scene.back, codes[0].code)
    again = scene.seam.access_codes.create_multiple(**wanted)
    assert [code.access_code_id for code in again] == [code.access_code_id for code in codes]
    assert again[0].code == codes[0].code
    with tenant_transaction(scene.tenant.pk):
        assert (Person.objects.count(), Reservation.objects.count()) == (1, 2)
    scene.seam.access_codes.update_multiple(common_code_key=codes[0].common_code_key, name="Night Crew")
    assert scene.seam.access_codes.get(access_code_id=codes[1].access_code_id).name == "Night Crew"
    scene.seam.access_codes.delete(access_code_id=codes[0].access_code_id)
    assert not knock(scene, scene.front, codes[0].code)
    assert knock(scene, scene.back, codes[0].code)


def test_lists_are_paged_and_show_no_codes(scene):
    for number in range(5):
        scene.seam.access_codes.create(device_id=str(scene.front.pk), name=f"Guest {number}")
    paginator = scene.seam.create_paginator(
        scene.seam.access_codes.list, {"device_id": str(scene.front.pk), "limit": 2}
    )
    first, pagination = paginator.first_page()
    assert [code.name for code in first] == ["Guest 0", "Guest 1"]
    assert pagination.has_next_page
    assert (
        httpx.get(pagination.next_page_url, headers={"Authorization": f"Bearer {scene.key}"}).json()["access_codes"][0][
            "name"
        ]
        == "Guest 2"
    )
    everything = paginator.flatten_to_list()
    assert [code.name for code in everything] == [f"Guest {number}" for number in range(5)]
    assert {code.code for code in everything} == {None}
    chosen = scene.seam.access_codes.list(access_code_ids=[code.access_code_id for code in everything[:2]])
    assert len(chosen) == 2


def test_what_is_wrong_is_said_in_the_clients_form(scene):
    front = str(scene.front.pk)
    taken = scene.seam.access_codes.create(device_id=front, code="90417").code
    cases = [
        ({"device_id": front, "code": taken}, 400, "not_available"),
        ({"device_id": front, "code": "12"}, 400, "invalid"),
        ({"device_id": front, "code": "1234567"}, 400, "invalid"),
        ({"device_id": "nowhere"}, 404, "device_not_found"),
    ]
    for values, status, code in cases:
        with pytest.raises(SeamHttpApiError) as refused:
            scene.seam.access_codes.create(**values)
        assert (refused.value.status_code, refused.value.code) == (status, code)
        assert taken not in str(refused.value)
    with pytest.raises(SeamHttpInvalidInputError) as invalid:
        scene.seam.access_codes.create(device_id=front, starts_at="tomorrow")
    assert [error.parameter_name for error in invalid.value.validation_errors] == ["starts_at"]
    past = (scene.now - timedelta(days=1)).isoformat()
    with pytest.raises(SeamHttpInvalidInputError):
        scene.seam.access_codes.create(device_id=front, ends_at=past)
    with tenant_transaction(scene.tenant.pk):
        assert Person.objects.count() == 1, "what was refused left somebody behind"


def test_reads_by_post_deletes_by_post_and_other_methods_are_405(scene):
    shown = {"Authorization": f"Bearer {scene.key}"}
    code = scene.seam.access_codes.create(device_id=str(scene.front.pk))
    with httpx.Client(base_url=scene.endpoint, headers=shown) as client:
        listed = client.post("/access_codes/list", json={"device_id": str(scene.front.pk)})
        assert listed.json()["ok"] is True
        assert listed.headers["seam-request-id"]
        assert client.get("/access_codes/create").status_code == 405
        assert client.put("/devices/list").status_code == 405
        wrong = client.post("/access_codes/create", content=b"{nonsense", headers={"Content-Type": "application/json"})
        assert (wrong.status_code, wrong.json()["ok"]) == (400, False)
        deleted = client.post("/access_codes/delete", json={"access_code_id": code.access_code_id})
        assert deleted.json() == {"ok": True}


def test_unlocking_a_door_waits_for_its_controller(scene):
    attempt = scene.seam.locks.unlock_door(device_id=str(scene.front.pk), wait_for_action_attempt=False)
    assert attempt.status == "pending"
    with tenant_transaction(scene.tenant.pk):
        command = ChannelCommand.objects.get(pk=attempt.action_attempt_id)
        acknowledging.acknowledge(command, ChannelCommand.Outcome.DONE, by=BY, now=timezone.now())
    done = scene.seam.action_attempts.get(action_attempt_id=attempt.action_attempt_id, wait_for_action_attempt=True)
    assert done.status == "success"
    with tenant_transaction(scene.tenant.pk):
        others = keys.mint("people only", kind=ApiKey.Kind.API, scopes=["account.person"], by=BY, now=scene.now).value
    answer = httpx.post(
        f"{scene.endpoint}/locks/unlock_door",
        json={"device_id": str(scene.front.pk)},
        headers={"Authorization": f"Bearer {others}"},
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")


def test_events(scene):
    code = scene.seam.access_codes.create(device_id=str(scene.front.pk))
    knock(scene, scene.front, code.code)
    knock(scene, scene.back, "0001")
    events = scene.seam.events.list(since=(scene.now - timedelta(hours=1)).isoformat())
    assert [(event.event_type, event.device_id) for event in events] == [
        ("lock.unlocked", str(scene.front.pk)),
        ("lock.access_denied", str(scene.back.pk)),
    ]
    assert scene.seam.events.get(event_id=events[0].event_id).device_id == str(scene.front.pk)
    only = scene.seam.events.list(device_id=str(scene.back.pk), event_type="lock.access_denied")
    assert [event.event_id for event in only] == [events[1].event_id]


def test_our_webhooks_are_verified_by_the_clients_verifier(scene, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    receiver = Receiver()
    try:
        with tenant_transaction(scene.tenant.pk):
            made = subscribing.subscribe(
                "pms", receiver.url, kinds=["reservation", "access"], form="seam", by=BY, now=timezone.now()
            )
        code = scene.seam.access_codes.create(device_id=str(scene.front.pk), code="837461")
        knock(scene, scene.front, code.code)
        scene.seam.access_codes.delete(access_code_id=code.access_code_id)
        all_visible()
        running.run(clock=timezone.now)
        verifier = SeamWebhook(made.secret)
        told = [verifier.verify(message.text, message.headers) for message in receiver.taken]
        assert [event.event_type for event in told] == ["access_code.created", "lock.unlocked", "access_code.deleted"]
        assert told[0].access_code_id == told[2].access_code_id == code.access_code_id
        assert {event.device_id for event in told} == {str(scene.front.pk)}
        assert all(code.code not in message.text for message in receiver.taken)
        with pytest.raises(Exception, match="signature"):
            SeamWebhook("whsec_" + "a" * 44).verify(receiver.taken[0].text, receiver.taken[0].headers)
    finally:
        receiver.stop()


def test_a_key_of_some_sites_knows_no_other_door(scene):
    with tenant_transaction(scene.tenant.pk):
        far = world.a_door("Far Door", site=world.a_site("Far"))
        limited = keys.mint("far", kind=ApiKey.Kind.SEAM, sites=[far.site], by=BY, now=scene.now).value
    scene.seam.access_codes.create(device_id=str(scene.front.pk))
    with Seam(api_key=limited, endpoint=scene.endpoint) as seam:
        assert [device.device_id for device in seam.devices.list()] == [str(far.pk)]
        assert seam.access_codes.list(search="Access") == []
        for call in (
            lambda: seam.access_codes.create(device_id=str(scene.front.pk)),
            lambda: seam.locks.unlock_door(device_id=str(scene.front.pk)),
            lambda: seam.access_codes.list(device_id=str(scene.front.pk)),
        ):
            with pytest.raises(SeamHttpApiError) as refused:
                call()
            assert refused.value.status_code == 404
