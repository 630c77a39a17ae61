"""Every change and every answer that shows a PIN leaves its AuditEvents, in the same transaction and without values."""

from unittest import mock

import pytest

from accesscontrol import api
from accesscontrol.access import commands
from accesscontrol.doors.models import Shift
from accesscontrol.people.models import Person
from accesscontrol.webhooks import rules, subscribing
from accounts import audit
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from tests import world
from tests.audit_scene import CANARIES, NAME, NOTES, PIN, Scene, rows
from tests.audited_calls import CALLS, ISSUED, TRACES, add_a_person, booked, change_a_person, grouped, one, visit

SILENT = {
    # Reading what holds no PIN.
    ("account", "GET"),
    ("people", "GET"),
    ("people/<id:person_id>", "GET"),
    ("credentials", "GET"),
    ("credential_types", "GET"),
    ("visits/<str:external_id>", "GET"),
    ("group_reservations", "GET"),
    ("group_reservations/<id:group_reservation_id>", "GET"),
    ("sites", "GET"),
    ("sites/<id:site_id>", "GET"),
    ("shifts", "GET"),
    ("shifts/<id:shift_id>", "GET"),
    ("roles", "GET"),
    ("roles/<id:role_id>", "GET"),
    ("groups", "GET"),
    ("groups/<id:group_id>", "GET"),
    ("reservations", "GET"),
    ("reservations/<id:reservation_id>", "GET"),
    ("channels", "GET"),
    ("channels/<id:channel_id>", "GET"),
    ("channels/<id:channel_id>/commands", "GET"),
    ("channels/<id:channel_id>/commands/stream", "GET"),
    ("channels/<id:channel_id>/commands/wait", "GET"),
    ("channels/<id:channel_id>/access_list", "GET"),
    ("channels/<id:channel_id>/events", "POST"),
    ("admission_requests/<id:admission_request_id>", "GET"),
    ("events", "GET"),
    ("events/stream", "GET"),
    ("events/<id:event_id>", "GET"),
    ("sync", "POST"),
    ("notification_rules", "GET"),
    ("notification_rules/<id:rule_id>", "GET"),
    ("webhooks", "GET"),
    ("webhooks/<id:webhook_id>", "GET"),
    ("webhooks/<id:webhook_id>/messages", "GET"),
    # The Event is the record of what happened at a door.
    ("channels/<id:channel_id>/access_attempts", "POST"),
}


@pytest.fixture
def scene(acme):
    return Scene(acme)


def test_every_endpoint_leaves_a_trace_or_has_none_to_leave():
    found = {
        (str(pattern.pattern), method) for pattern in api.resources for method in pattern.callback.view_class.rights
    }
    assert found == SILENT | set(TRACES)
    assert not SILENT & set(TRACES)


@pytest.mark.parametrize("call", CALLS)
def test_what_was_done_is_audited_without_values(scene, call):
    (response, audited), expected = call(scene)
    assert response.status_code in (200, 201, 202), response.content
    assert audited == expected
    for row in AuditEvent.objects.exclude(actor_kind="test").values():
        assert row["actor_kind"] in ("api", "reader")
        assert row["actor_id"]
        assert not [canary for canary in CANARIES if canary.lower() in repr(row).lower()], row


@pytest.mark.parametrize("call", CALLS)
def test_what_cannot_be_audited_is_not_done(scene, call):
    """The deed and its record stand or fall together."""
    real = audit.record_each

    def fails(*args, by, **values):
        if by != world.BY:
            raise RuntimeError("no record")
        real(*args, by=by, **values)

    with mock.patch.object(audit, "record_each", fails), pytest.raises(RuntimeError, match="no record"):
        call(scene)
    assert rows() == scene.before


def test_reading_without_pins_is_silent(scene):
    scene.issue()
    event = scene.ask("post", f"channels/{scene.door.pk}/access_attempts", {"value": PIN}, key=scene.reader.value)
    assert event[1] == []
    filled = {
        "person_id": scene.ann.pk,
        "reservation_id": booked(scene).split("/")[1],
        "channel_id": scene.door.pk,
        "event_id": event[0].json()["event_id"],
        "group_reservation_id": grouped(scene).pk,
        "external_id": visit(scene)[0].json()["external_id"],
        "site_id": scene.door.site_id,
        "shift_id": Shift.objects.create(name="x").pk,
        "role_id": scene.role.pk,
        "group_id": scene.group.pk,
        "webhook_id": subscribing.subscribe(
            NAME, "https://kanarie.example/", kinds=["person"], form="standard", by=world.BY, now=scene.now
        ).subscription.pk,
        "rule_id": rules.make(
            NAME,
            "https://kanarie.example/",
            event_codes=[11],
            channel_ids=[],
            is_active=True,
            by=world.BY,
            now=scene.now,
        ).subscription.pk,
        "admission_request_id": commands.admit(scene.door, by=world.BY, now=scene.now).pk,
    }
    type(scene.door).objects.update(keeps_offline_list=True)
    admitting = world.an_api_key("account.channel.admit", now=scene.now)
    for route, method in SILENT:
        # The stream process answers streams and long polls.
        if method == "GET" and not route.endswith(("/stream", "/wait")):
            path = route
            for name, value in filled.items():
                path = path.replace(f"<id:{name}>", str(value)).replace(f"<str:{name}>", str(value))
            key = scene.reader.value if path.endswith(("/commands", "/access_list")) else None
            key = admitting if path.startswith("admission_requests") else key
            response, audited = scene.ask("get", path, key=key)
            assert (response.status_code, audited) == (200, []), route
            assert PIN not in response.content.decode()


def test_a_repeated_request_that_shows_the_pin_again_is_audited_again(scene):
    body = {"credential_type_id": 6, "value": "******"}
    path, headers = f"{scene.person}/credentials", {"Idempotency-Key": "once"}
    first, done = scene.ask("post", path, body, **headers)
    again, seen = scene.ask("post", path, body, **headers)
    assert (first.json(), done) == (again.json(), ISSUED)
    assert seen == [("reveal", "credential")]


def test_what_changed_nothing_leaves_no_trace(scene):
    path = one(scene)
    assert scene.ask("put", path, {"enabled": True})[1] == [("reveal", "credential")]
    assert scene.ask("put", scene.person, {"first_name": NAME, "notes": NOTES})[1] == []
    for body in ({"first_name": "\x00"}, {"valid_from": "x"}):
        response, audited = scene.ask("put", scene.person, body)
        assert (response.status_code, audited) == (422, [])
    response, audited = scene.ask("put", path, {"value": "1111"})
    assert (response.status_code, audited) == (422, [])
    assert PIN not in response.content.decode()


def test_a_refused_value_is_audited_for_whom_and_not_which(scene):
    scene.issue()
    bob = world.a_person("Bob")
    response, audited = scene.ask("post", f"people/{bob.pk}/credentials", {"credential_type_id": 6, "value": PIN})
    assert (response.status_code, audited) == (422, [("refuse", "credential")])
    event = AuditEvent.objects.latest("id")
    assert (event.subject_id, event.fields) == (str(bob.pk), ["value"])


def test_a_key_that_may_not_read_pins_sees_none_and_leaves_no_trace(scene):
    scene.issue()
    assert (
        scene.ask("get", f"{scene.person}/credentials", key=world.an_api_key("account.reservation"))[0].status_code
        == 403
    )


def test_the_record_survives_the_person(scene):
    scene.issue()
    scene.ask("delete", scene.person)
    assert AuditEvent.objects.filter(subject_type="person", subject_id=str(scene.ann.pk)).count() >= 2
    with pytest.raises(Exception, match="permission denied"), tenant_transaction(scene.tenant.pk):
        AuditEvent.objects.all().delete()


def test_the_fields_of_an_audit_event_are_names_of_fields(scene):
    add_a_person(scene)
    change_a_person(scene)
    known = {field.name for field in Person._meta.get_fields()} | {"groups", "roles"}
    for names in AuditEvent.objects.filter(subject_type="person").values_list("fields", flat=True):
        assert set(names) <= known
