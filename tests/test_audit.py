"""Every change and every answer that shows a PIN leaves its AuditEvents, in the same transaction and without values."""

import json
from datetime import timedelta
from unittest import mock

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accesscontrol import api
from accesscontrol.access import commands
from accesscontrol.doors.models import Shift
from accesscontrol.people.models import Person
from accesscontrol.visits import group_reserving
from accesscontrol.webhooks import rules, subscribing
from accounts import audit
from accounts.models import AuditEvent
from accounts.rights import OF_SCOPE
from accounts.tenancy import tenant_transaction
from tests import world

# Whatever is put in must not come out in the record of who did it.
PIN, CARD = "83746193", "CARDKANARIE"
NAME, EMAIL, MOBILE, NOTES = "Kanarienvogel", "kanarie@vogel.example", "+493012345678", "Notizkanarie"
CANARIES = (PIN, CARD, NAME, EMAIL, MOBILE, NOTES, "vogel", "493012345678", "2031-05-17")

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
    ("channels/<id:channel_id>/access_list", "GET"),
    ("channels/<id:channel_id>/events", "POST"),
    ("admission_requests/<id:admission_request_id>", "GET"),
    ("events", "GET"),
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


# Every new client loads the whole chain of middleware again.
_client = Client()


class Scene:
    """One tenant, a key, and a way to see which AuditEvents a call has written."""

    def __init__(self, tenant):
        self.tenant, self.now = tenant, timezone.now()
        self.door = world.a_door(is_visitor_door=True, shortest_pin=4, longest_pin=8)
        self.group = world.a_group(f"{NAME} group")
        self.role = world.a_role(f"{NAME} role", self.door)
        self.ann = world.a_person(
            NAME, last_name=NAME, email=EMAIL, mobile=MOBILE, notes=NOTES, now=self.now - timedelta(days=1)
        )
        self.key = world.an_api_key(*OF_SCOPE, now=self.now - timedelta(days=1))
        self.reader = world.a_reader_key(self.door)
        self.person = f"people/{self.ann.pk}"

    def ask(self, method, path, body=None, key=None, **headers):
        """The answer, and what was audited meanwhile as (verb, subject)."""
        self.before = rows()
        last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
        shown = {"Authorization": f"Bearer {key or self.key}", **headers}
        sent = () if method == "get" else (json.dumps(body or {}), "application/json")
        response = getattr(_client, method)(f"/api/3/{path}", *sent, headers=shown)
        written = AuditEvent.objects.filter(id__gt=last).order_by("id")
        return response, [(event.verb, event.subject_type) for event in written]

    def issue(self, value=PIN, type=6, **values):
        return self.ask("post", f"{self.person}/credentials", {"credential_type_id": type, "value": value, **values})


@pytest.fixture
def scene(acme):
    return Scene(acme)


ISSUED = [("issue", "credential"), ("reveal", "credential")]


def issue(scene):
    return scene.issue(), ISSUED


def issue_and_send(scene):
    return scene.issue(deliver="email"), [("issue", "credential"), ("deliver", "credential"), ("reveal", "credential")]


def draw(scene):
    return scene.issue("******"), ISSUED


def issue_a_card(scene):
    return scene.issue(CARD, 5), ISSUED


def read_a_list(scene):
    world.a_pin(scene.ann, PIN)
    return scene.ask("get", f"{scene.person}/credentials"), [("reveal", "credential")]


def read_a_list_of_two(scene):
    world.a_pin(scene.ann, PIN)
    world.a_card(scene.ann, CARD)
    return scene.ask("get", f"{scene.person}/credentials"), [("reveal", "credential")] * 2


def one(scene):
    return f"{scene.person}/credentials/{world.a_pin(scene.ann, PIN).credential.public_id}"


def read_one(scene):
    return scene.ask("get", one(scene)), [("reveal", "credential")]


def disable(scene):
    return scene.ask("put", one(scene), {"enabled": False}), [("disable", "credential"), ("reveal", "credential")]


def send_the_same_value(scene):
    return scene.ask("put", one(scene), {"value": PIN}), [("reveal", "credential")]


def rotate_regularly(scene):
    body = {"rotate_after_days": 90}
    return scene.ask("put", one(scene), body), [("change", "credential"), ("reveal", "credential")]


def rotate(scene):
    expected = [("issue", "credential"), ("rotate", "credential"), ("deliver", "credential"), ("reveal", "credential")]
    return scene.ask("post", f"{one(scene)}/rotate"), expected


def revoke(scene):
    return scene.ask("delete", one(scene)), [("revoke", "credential")]


def add_a_person(scene):
    body = {"first_name": NAME, "last_name": NAME, "email": EMAIL, "valid_to": "2031-05-17T00:00:00Z"}
    return scene.ask("post", "people", body), [("create", "person")]


def add_a_person_with_groups(scene):
    body = {"first_name": NAME, "last_name": NAME, "group_ids": [scene.group.pk], "role_ids": [scene.role.pk]}
    return scene.ask("post", "people", body), [("create", "person"), ("change", "person"), ("change", "person")]


def change_a_person(scene):
    return scene.ask("put", scene.person, {"notes": NOTES * 2, "email": f"x{EMAIL}"}), [("change", "person")]


def delete_a_person(scene):
    world.a_pin(scene.ann, PIN)
    world.a_reservation(scene.ann, scene.door, start=scene.now, now=scene.now)
    expected = [("revoke", "credential"), ("cancel", "reservation"), ("delete", "person")]
    return scene.ask("delete", scene.person), expected


def add_a_person_with_a_pin(scene):
    expected = [("create", "person"), ("issue", "credential"), ("issue", "credential")]
    body = {"first_name": NAME, "pin": "******", "credentials_number": CARD}
    return scene.ask("post", "people", body), expected


def issue_flat(scene):
    body = {"person_credential": {"person_id": scene.ann.pk, "credential_type_id": 6, "value": PIN}}
    return scene.ask("post", "credentials", body), ISSUED


def read_one_by_its_id(scene):
    public_id = world.a_pin(scene.ann, PIN).credential.public_id
    return scene.ask("get", f"credentials/{public_id}"), [("reveal", "credential")]


def grouped(scene):
    values = {"start_time": scene.now, "end_time": scene.now + timedelta(days=2), "by": world.BY, "now": scene.now}
    return group_reserving.reserve(scene.ann, [scene.group], **values)


def visit(scene):
    values = {"first_name": NAME, "email": EMAIL, **hours(scene), "host_name": NAME, "purpose": NOTES}
    return scene.ask("put", "visits/B-1", values)


def tell_of_a_visit(scene):
    expected = [("create", "person"), ("reserve", "reservation"), ("issue", "credential"), ("reveal", "credential")]
    return visit(scene), expected


def end_a_visit(scene):
    visit(scene)
    # It has begun: it is over now, and stays in the record as a visit that took place.
    return scene.ask("delete", "visits/B-1"), [("reschedule", "reservation")]


def reserve_groups(scene):
    body = {"group_reservation": {"person_id": scene.ann.pk, "group_ids": [scene.group.pk], **hours(scene, 50)}}
    return scene.ask("post", "group_reservations", body), [("reserve", "group_reservation")]


def leave_groups(scene):
    return scene.ask("delete", f"group_reservations/{grouped(scene).pk}"), [("cancel", "group_reservation")]


def add_a_site(scene):
    return scene.ask("post", "sites", {"name": NAME, "address": NAME, "notes": NOTES}), [("create", "site")]


def change_a_site(scene):
    return scene.ask("put", f"sites/{scene.door.site_id}", {"name": NAME, "notes": NOTES}), [("change", "site")]


def add_hours(scene):
    times = [{"day": 0, "start_time": "09:00", "end_time": "24:00"}]
    return scene.ask("post", "shifts", {"name": NAME, "times": times}), [("create", "shift"), ("change", "shift")]


def change_hours(scene):
    shift = Shift.objects.create(name="x")
    return scene.ask("put", f"shifts/{shift.pk}", {"name": NAME}), [("change", "shift")]


def add_a_role(scene):
    body = {"name": NAME, "channel_ids": [scene.door.pk]}
    return scene.ask("post", "roles", body), [("create", "role"), ("change", "role")]


def change_a_role(scene):
    shift = Shift.objects.create(name="x")
    body = {"notes": NOTES, "shift_id": shift.pk}
    expected = [("change", "role")] * 3
    return scene.ask("put", f"roles/{scene.role.pk}", body), expected


def add_a_group(scene):
    body = {"name": NAME, "role_ids": [scene.role.pk]}
    return scene.ask("post", "groups", body), [("create", "group"), ("change", "group")]


def change_a_group(scene):
    return scene.ask("put", f"groups/{scene.group.pk}", {"notes": NOTES}), [("change", "group")]


def hours(scene, end=1):
    start = scene.now
    return {"start_time": start.isoformat(), "end_time": (start + timedelta(hours=end)).isoformat()}


def reserve(scene):
    return scene.ask("post", "reservations", {"person_id": scene.ann.pk, **hours(scene)}), [("reserve", "reservation")]


def reserve_and_send(scene):
    world.a_pin(scene.ann, PIN)
    body = {"person_id": scene.ann.pk, "deliver": "email", **hours(scene)}
    return scene.ask("post", "reservations", body), [("reserve", "reservation"), ("deliver", "credential")]


def booked(scene):
    made = world.a_reservation(scene.ann, scene.door, start=scene.now, now=scene.now)
    return f"reservations/{made.pk}"


def extend(scene):
    return scene.ask("put", booked(scene), hours(scene, 9)), [("reschedule", "reservation")]


def cancel(scene):
    return scene.ask("delete", booked(scene)), [("cancel", "reservation")]


def hook(scene, verb, method="post", body=None, paused=False):
    made = subscribing.subscribe(
        NAME, "https://kanarie.example/", kinds=["person"], form="standard", by=world.BY, now=scene.now
    )
    if paused:
        subscribing.pause(made.subscription, by=world.BY, now=scene.now)
    key = world.an_api_key("account.notification_rule", "account.person", now=scene.now)
    return scene.ask(method, f"webhooks/{made.subscription.pk}{verb}", body, key)


def subscribe(scene):
    key = world.an_api_key("account.notification_rule", "account.person", now=scene.now)
    body = {"name": NAME, "url": "https://kanarie.example/", "types": ["person"]}
    return scene.ask("post", "webhooks", body, key), [("create", "webhook")]


HOOK = "https://kanarie.example/"
RULE = {"name": NAME, "call_back_url": HOOK, "match_event_codes": [11]}


def make_a_rule(scene):
    key = world.an_api_key("account.notification_rule", now=scene.now)
    return scene.ask("post", "notification_rules", RULE, key), [("create", "webhook")]


def written_rule(scene, method, body=None):
    now = scene.now
    made = rules.make(
        NAME, "https://kanarie.example/", event_codes=[11], channel_ids=[], is_active=True, by=world.BY, now=now
    )
    key = world.an_api_key("account.notification_rule", now=now)
    return scene.ask(method, f"notification_rules/{made.subscription.pk}", body, key)


def replace_a_rule(scene):
    answer = written_rule(scene, "put", RULE | {"name": EMAIL, "active": False})
    return answer, [("change", "webhook"), ("pause", "webhook")]


def delete_a_rule(scene):
    return written_rule(scene, "delete"), [("end", "webhook")]


def change_a_webhook(scene):
    return hook(scene, "", "put", {"name": EMAIL}), [("change", "webhook")]


def end_a_webhook(scene):
    return hook(scene, "", "delete"), [("end", "webhook")]


def pause_a_webhook(scene):
    return hook(scene, "/pause"), [("pause", "webhook")]


def resume_a_webhook(scene):
    return hook(scene, "/resume", paused=True), [("resume", "webhook")]


def rotate_a_secret(scene):
    return hook(scene, "/rotate_secret"), [("rotate", "webhook")]


def send_a_test(scene):
    return hook(scene, "/test"), [("test", "webhook")]


def replay_a_period(scene):
    day = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}
    return hook(scene, "/replay", body=day), [("replay", "webhook")]


def command(verb, body=None, before=None):
    def call(scene):
        if before is not None:
            before([scene.door], by=world.BY, now=scene.now)
        key = world.an_api_key("account.channel.admit", now=scene.now)
        return scene.ask("post", f"channels/{scene.door.pk}/{verb}", body, key=key), [(verb, "channel")]

    return call


def admit_person(scene):
    world.a_pin(scene.ann, PIN)
    world.a_reservation(scene.ann, scene.door, start=scene.now, now=scene.now)
    return command("admit_person", {"person_id": scene.ann.pk})(scene)


def auto_unlock(scene):
    return command("auto_unlock", {"shift_id": Shift.objects.create(name=NAME).pk})(scene)


def acknowledge(scene):
    made = commands.admit(scene.door, by=world.BY, now=scene.now)
    path = f"channels/{scene.door.pk}/commands/{made.pk}/acknowledge"
    return scene.ask("post", path, key=scene.reader.value), [("acknowledge", "channel_command")]


COMMANDS = {
    "admit": [command("admit", {"reason": "Parcel"})],
    "admit_person": [admit_person],
    "unlock": [command("unlock")],
    "normal": [command("normal", before=commands.hold_open)],
    "lockdown": [command("lockdown")],
    "unlockdown": [command("unlockdown", before=commands.lock_down)],
    "auto_unlock": [auto_unlock],
    "commands/<id:command_id>/acknowledge": [acknowledge],
}

# Each call that leaves a trace, under the endpoint that it is for.
TRACES = {(f"channels/<id:channel_id>/{path}", "POST"): calls for path, calls in COMMANDS.items()} | {
    ("people", "POST"): [add_a_person, add_a_person_with_groups, add_a_person_with_a_pin],
    ("people/<id:person_id>", "PUT"): [change_a_person],
    ("people/<id:person_id>", "DELETE"): [delete_a_person],
    ("people/<id:person_id>/credentials", "GET"): [read_a_list, read_a_list_of_two],
    ("people/<id:person_id>/credentials", "POST"): [issue, issue_and_send, draw, issue_a_card],
    ("people/<id:person_id>/credentials/<slug:public_id>", "GET"): [read_one],
    ("people/<id:person_id>/credentials/<slug:public_id>", "PUT"): [
        disable,
        send_the_same_value,
        rotate_regularly,
    ],
    ("people/<id:person_id>/credentials/<slug:public_id>", "DELETE"): [revoke],
    ("people/<id:person_id>/credentials/<slug:public_id>/rotate", "POST"): [rotate],
    ("credentials", "POST"): [issue_flat],
    ("credentials/<slug:public_id>", "GET"): [read_one_by_its_id],
    ("visits/<str:external_id>", "PUT"): [tell_of_a_visit],
    ("visits/<str:external_id>", "DELETE"): [end_a_visit],
    ("group_reservations", "POST"): [reserve_groups],
    ("group_reservations/<id:group_reservation_id>", "DELETE"): [leave_groups],
    ("sites", "POST"): [add_a_site],
    ("sites/<id:site_id>", "PUT"): [change_a_site],
    ("shifts", "POST"): [add_hours],
    ("shifts/<id:shift_id>", "PUT"): [change_hours],
    ("roles", "POST"): [add_a_role],
    ("roles/<id:role_id>", "PUT"): [change_a_role],
    ("groups", "POST"): [add_a_group],
    ("groups/<id:group_id>", "PUT"): [change_a_group],
    ("reservations", "POST"): [reserve, reserve_and_send],
    ("reservations/<id:reservation_id>", "PUT"): [extend],
    ("reservations/<id:reservation_id>", "DELETE"): [cancel],
    ("notification_rules", "POST"): [make_a_rule],
    ("notification_rules/<id:rule_id>", "PUT"): [replace_a_rule],
    ("notification_rules/<id:rule_id>", "DELETE"): [delete_a_rule],
    ("webhooks", "POST"): [subscribe],
    ("webhooks/<id:webhook_id>", "PUT"): [change_a_webhook],
    ("webhooks/<id:webhook_id>", "DELETE"): [end_a_webhook],
    ("webhooks/<id:webhook_id>/pause", "POST"): [pause_a_webhook],
    ("webhooks/<id:webhook_id>/replay", "POST"): [replay_a_period],
    ("webhooks/<id:webhook_id>/resume", "POST"): [resume_a_webhook],
    ("webhooks/<id:webhook_id>/rotate_secret", "POST"): [rotate_a_secret],
    ("webhooks/<id:webhook_id>/test", "POST"): [send_a_test],
}
CALLS = [call for calls in TRACES.values() for call in calls]


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
    real = audit.record_many

    def fails(*args, by, **values):
        if by != world.BY:
            raise RuntimeError("no record")
        real(*args, by=by, **values)

    with mock.patch.object(audit, "record_many", fails), pytest.raises(RuntimeError, match="no record"):
        call(scene)
    assert rows() == scene.before


def rows():
    """How many rows every table holds, as far as this tenant sees."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition"
        )
        counts = {}
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()[0]
    return counts


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
        if method == "GET":
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
