"""Each call of the API that leaves a trace, with the AuditEvents that it must leave."""

from datetime import timedelta

from accesscontrol.access import commands
from accesscontrol.doors.models import Shift
from accesscontrol.visits import group_reserving
from accesscontrol.webhooks import rules, subscribing
from tests import world
from tests.audit_scene import CARD, EMAIL, NAME, NOTES, PIN

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
