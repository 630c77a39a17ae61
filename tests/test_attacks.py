"""What somebody tries who means harm, with a place or a key of their own: each of these once got through."""

import asyncio
import io
import random
import stat
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client, RequestFactory
from django.utils import timezone
from openpyxl import Workbook

from accesscontrol.access import attempts
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.desk import guest_list
from accesscontrol.doors.models import RoleChannel, Shift
from accesscontrol.people.models import GroupMembership, Person, PersonRole
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.streams.feeds import THREADS, Hub, Wanted
from accesscontrol.streams.sources import Source
from accesscontrol.visits import issuing
from accesscontrol.webhooks.models import Kind, Subscription
from accounts import applications, callers, keys, rates, tenants
from accounts.audit import Actor
from accounts.models import ApiKey, ApiKeySite, OAuthApplication
from accounts.rights import OF_SCOPE, Right, StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries import gateways
from pins.deliveries.rendering import Email
from tests import world
from tests.world import BY

PIN = "805294"


def at_desk(role=StaffRole.FRONT_DESK, **values):
    member = world.a_member(role, now=timezone.now(), **values)
    world.a_staff_pin(member, PIN)
    return member, world.signed_in(member.user)


def a_form(door, **values):
    return {"form_id": "f1", "name": "Eve Elsewhere", "address": "", "doors": [door.pk], "period": "hour"} | values


# People of other sites, and colleagues


def test_a_desk_of_one_site_gets_no_pin_of_anothers_people(acme):
    here, there = world.a_site("Here"), world.a_site("There")
    door, now = world.a_door("Here", site=here), timezone.now()
    eve = world.a_person("Eve", last_name="Elsewhere", email="eve@acme.example", kind="person", site=there, now=now)
    held = world.a_pin(eve, now=now).credential
    _, desk = at_desk(sites=[here])
    desk.post("/desk/visits/new/", a_form(door, person_id=eve.pk))
    desk.post("/desk/visits/new/", a_form(door, form_id="f2", address="eve@acme.example", deliver="none"))
    assert not Reservation.objects.filter(person=eve).exists()
    assert Credential.objects.get(pk=held.pk).is_live()


def test_a_visitor_of_another_site_is_not_met_by_their_address_either(acme):
    here, there = world.a_site("Here"), world.a_site("There")
    door, now = world.a_door("Here", site=here), timezone.now()
    eve = world.a_person("Eve", last_name="Elsewhere", email="eve@x.example", kind="visitor", site=there, now=now)
    _, desk = at_desk(sites=[here])
    desk.post("/desk/visits/new/", a_form(door, address="eve@x.example", deliver="none"))
    assert Reservation.objects.exclude(person=eve).exists()
    assert not Reservation.objects.filter(person=eve).exists()


def test_a_host_follows_no_colleague(acme):
    door, now = world.a_door(is_visitor_door=True), timezone.now()
    boss = world.a_person("Eve", last_name="Elsewhere", email="eve@acme.example", kind="person", now=now)
    _, host = at_desk(StaffRole.HOST)
    host.post("/desk/visits/new/", a_form(door, address="eve@acme.example", deliver="none"))
    assert Reservation.objects.exists()
    assert not Reservation.objects.filter(person=boss).exists()


def test_a_visitors_pin_is_sent_to_no_other_number_than_theirs(acme, settings):
    settings.SMS_URL = "json://127.0.0.1:9/{phone}"
    world.a_door(is_visitor_door=True)
    now = timezone.now()
    ann = world.a_person("Ann", last_name="Miller", email="ann@x.example", kind="visitor", now=now)
    world.a_pin(ann, now=now)
    hours = {"start_time": now.isoformat(), "end_time": (now + timedelta(hours=1)).isoformat()}
    booked = {"first_name": "Ann", "last_name": "Miller", "email": "ann@x.example", "mobile": "+493012345678", **hours}
    answer = world.api(world.an_api_key("account.reservation")).put(
        "/api/3/visits/B-1", booked | {"deliver": "sms"}, "application/json"
    )
    assert answer.status_code == 201, answer.content
    assert answer.json()["person_id"] != ann.pk
    assert Person.objects.get(pk=ann.pk).mobile == ""


# Files


def unreadable(content):
    try:
        guest_list.lines_of(SimpleUploadedFile("guests.xlsx", content))
    except (guest_list.UnreadableFile, guest_list.TooLarge):
        return True
    return False


def test_a_list_is_read_or_refused_whatever_is_in_it():
    assert guest_list.lines_of(SimpleUploadedFile("old.csv", b"Ann;a@x.example\rBo;\r")).splitlines()[1:] == ["Bo"]
    assert unreadable(b'"' + b"x" * 200_000)
    book, whole, dice = Workbook(), io.BytesIO(), random.Random(7)
    for number in range(50):
        book.active.append([f"Guest {number}", "g@x.example"])
    book.save(whole)
    found = set()
    for _ in range(60):
        content = bytearray(whole.getvalue())
        for _ in range(3):
            content[dice.randrange(2, len(content))] = dice.randrange(256)
        found.add(unreadable(bytes(content)))
    assert found == {True, False}, "no damage was met, or nothing else"


def test_a_huge_upload_is_refused_before_it_is_read(acme, settings):
    settings.UPLOAD_MAX_SIZE = 5_000
    _, client = at_desk()
    big = SimpleUploadedFile("guests.csv", b"Ann\n" * 2_000)
    assert client.post("/desk/visits/new/group/", {"file": big}).status_code == 400
    small = SimpleUploadedFile("guests.csv", b"Ann\n")
    world.a_door()
    assert client.post("/desk/visits/new/group/", {"file": small}).status_code == 422


def test_messages_that_become_files_are_for_their_owner_alone(settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "outbox")
    gateways.send_email(Email("s", "t", "<p>t</p>", "Acme"), to="a@x.example", message_id="<1@x.example>")
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700


# Who asks how often


@pytest.mark.parametrize(
    ("behind_proxy", "shown", "counted"),
    [
        (False, "198.51.100.7", "192.0.2.1"),
        (True, "198.51.100.7", "198.51.100.7"),
        (True, "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (True, "", "192.0.2.1"),
        (True, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (True, "::ffff:198.51.100.7", "198.51.100.7"),
        (True, "x" * 500, "x" * 60),
    ],
)
def test_whoever_asks_through_a_proxy_is_counted_alone_and_cannot_choose_as_whom(
    settings, behind_proxy, shown, counted
):
    settings.BEHIND_PROXY = behind_proxy
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": shown})
    assert rates.sender(request) == counted


def test_the_facade_counts_requests_too(acme):
    key = keys.mint("pms", kind=ApiKey.Kind.SEAM, by=BY, now=timezone.now(), requests_per_minute=2).value
    client = world.api(key)
    assert [client.get("/seam/devices/list").status_code for _ in range(2)] == [200, 200]
    refused = client.get("/seam/devices/list")
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "too_many_requests")
    assert int(refused["Retry-After"]) > 0


def test_a_stranger_does_not_use_up_an_applications_requests(acme, monkeypatch):
    monkeypatch.setattr("accounts.token_api.MOST_PER_MINUTE", 3)
    made = applications.register("App", redirect_uris=["https://app.example/b"], scopes=(), by=BY, now=timezone.now())
    wrong = {"client_id": made.application.client_id, "client_secret": "x", "grant_type": "refresh_token"}
    stranger, own = Client(REMOTE_ADDR="198.51.100.7"), Client(REMOTE_ADDR="198.51.100.8")
    codes = [stranger.post("/oauth/token", wrong | {"refresh_token": "x"}).status_code for _ in range(4)]
    assert codes[-1] == 429
    assert own.post("/oauth/token", wrong | {"refresh_token": "x"}).status_code != 429


# Keys that reach further than they should


def test_a_code_that_opens_other_sites_doors_is_not_exchanged_from_one(acme):
    now = timezone.now()
    here = world.a_door("Here", site=world.a_site("Here"), shortest_pin=4, longest_pin=6)
    there = world.a_door("There", site=world.a_site("There"), shortest_pin=4, longest_pin=6)
    whole = world.api(keys.mint("pms", kind=ApiKey.Kind.SEAM, by=BY, now=now).value)
    ids = {"device_ids": [str(here.pk), str(there.pk)]}
    made = whole.post("/seam/access_codes/create_multiple", ids, "application/json").json()["access_codes"]
    mine = next(code for code in made if code["device_id"] == str(here.pk))
    limited = world.api(keys.mint("one", kind=ApiKey.Kind.SEAM, sites=[here.site], by=BY, now=now).value)
    for change in ({"code": "739164"}, {"name": "Somebody"}):
        refused = limited.post(
            "/seam/access_codes/update", {"access_code_id": mine["access_code_id"], **change}, "application/json"
        )
        assert refused.json()["error"]["type"] == "access_code_has_other_doors", change
    [pin] = Credential.objects.filter(type=CredentialType.PIN, revoked_at=None)
    assert lifecycle.value_of(pin) == mine["code"]


def test_a_webhook_is_not_led_elsewhere_by_whoever_may_not_read_what_it_tells(acme):
    subscription = world.api(world.an_api_key(*OF_SCOPE)).post(
        "/api/3/webhooks",
        {"name": "w", "url": "https://ours.example/h", "types": [Kind.PERSON, Kind.ACCESS]},
        "application/json",
    )
    path = f"/api/3/webhooks/{subscription.json()['id']}"
    little = world.api(world.an_api_key("account.notification_rule", "account.event.readonly"))
    assert little.put(path, {"url": "https://theirs.example/h"}, "application/json").status_code == 403
    assert Subscription.objects.get().url == "https://ours.example/h"


def test_an_answer_at_a_door_is_not_repeated_for_a_day(acme, time_machine):
    door, now = world.a_door(), timezone.now()
    time_machine.move_to(now, tick=False)
    ann = world.a_person(now=now)
    pin = world.a_pin(ann, now=now)
    world.a_reservation(ann, door, start=now - timedelta(hours=1), hours=24, now=now)
    reader = world.api(world.a_reader_key(door, now=now).value, **{"Idempotency-Key": "1"})
    path, asked = f"/api/3/channels/{door.pk}/access_attempts", {"value": pin.value}
    assert reader.post(path, asked, "application/json").json()["decision"] == "admitted"
    issuing.revoke(pin.credential, by=BY, now=now)
    time_machine.move_to(now + attempts.repeats.SAME_ANSWER_FOR + timedelta(seconds=1), tick=False)
    assert reader.post(path, asked, "application/json").json()["decision"] == "rejected"


def test_a_stream_ends_with_a_site_that_is_taken_away(acme):
    here, there, now = world.a_site("Here"), world.a_site("There"), timezone.now()
    key = callers.caller_of_key(world.an_api_key(sites=[here, there], now=now))
    member = world.a_member(StaffRole.MANAGER, sites=[here, there], now=now)
    token = callers.caller_of_key(world.a_token(member, "account.event.readonly", now=now))
    assert callers.still_live([key, token], now) == {key, token}
    ApiKeySite.objects.filter(site=there).delete()
    tenants.join(member.user, StaffRole.MANAGER, by=BY, now=now, sites=[here])
    assert callers.still_live([key, token], now) == set()
    narrow = replace(token, site_ids=frozenset([here.pk]))
    assert callers.still_live([narrow], now) == {narrow}
    OAuthApplication.objects.update(state="disabled")
    assert callers.still_live([narrow], now) == set()


# Applications


def test_an_application_of_one_tenant_leaves_no_copy_in_another(live):
    now = timezone.now()
    with tenant_transaction(live.globex.pk):
        own = applications.register("Own", redirect_uris=["https://o.example/b"], scopes=(), by=BY, now=now)
    with tenant_transaction(live.acme.pk):
        applications.bring_up_to_date(own.application.client_id, live.acme.pk)
        assert not OAuthApplication.objects.exists()


def test_an_application_for_all_is_changed_by_the_platforms_owner_alone(acme):
    now = timezone.now()
    made = applications.register(
        "For all",
        redirect_uris=["https://a.example/b"],
        scopes=["account.person"],
        is_for_all_tenants=True,
        state="live",
        by=BY,
        now=now,
    )
    member, client = at_desk(StaffRole.MANAGER)
    world.confirm(client, member)
    path = f"/admin/accounts/oauthapplication/{made.application.pk}"
    form = {"name": "x", "state": "live", "redirect_uris": "https://evil.example/b", "scopes": ["account.person"]}
    client.post(f"{path}/change/", form | {"requests_per_minute": 9})
    assert client.post(f"{path}/renew_secret/").status_code == 404
    kept = OAuthApplication.objects.get()
    assert (kept.redirect_uris, kept.client_secret) == ("https://a.example/b", made.application.client_secret)


# Members of staff who are limited to some sites


def test_a_manager_of_one_site_gives_nobody_and_changes_no_level_that_opens_another(acme):
    here, there = world.a_site("Here"), world.a_site("There")
    level = world.a_role("Both", world.a_door("Here", site=here), world.a_door("There", site=there))
    group = world.a_group("All of both", level)
    for row in (level, group):
        row.site = here
        row.save()
    _, client = at_desk(StaffRole.MANAGER, sites=[here])
    ann = world.a_person("Ann", last_name="Miller", site=here, now=timezone.now())
    path = f"/admin/people/person/{ann.pk}/change/"
    form = {"first_name": "Ann", "last_name": "Miller", "kind": "visitor", "site": here.pk}
    for field, row in (("access_levels", level), ("in_groups", group)):
        answer = client.post(path, form | {field: [row.pk]})
        assert field in answer.context["adminform"].form.errors, field
    assert not PersonRole.objects.exists()
    assert not GroupMembership.objects.exists()
    for path in (f"/admin/doors/role/{level.pk}/change/", f"/admin/people/group/{group.pk}/change/"):
        assert client.get(path).status_code == 200, path
        assert client.post(path, {"name": "Taken", "site": here.pk}).status_code == 403, path


def test_whoever_reads_the_past_holds_up_nobody_else(live, monkeypatch):
    # The hub's threads end with it, and nobody else would close what they opened.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    let_go = threading.Event()

    def read(position, most):
        let_go.wait(300)
        return []

    past = Source("past", Right.EVENTS_READ, lambda: (9, 9), read)
    caller = callers.Caller(live.acme.pk, Actor("api", 1), frozenset())

    async def follow(hub):
        async with hub.follow(caller, past, Wanted(), (0, 0)) as follower:
            await follower.next(300)

    async def scene():
        hub = Hub(poll_seconds=60)
        slow = [asyncio.create_task(follow(hub)) for _ in range(THREADS + 1)]
        try:
            await asyncio.sleep(0.5)
            assert await asyncio.wait_for(hub.work(live.acme.pk, lambda: "open"), 60) == "open"
        finally:
            let_go.set()
            for task in slow:
                task.cancel()

    asyncio.run(scene())


def test_a_desk_and_a_manager_of_one_site_lengthen_and_end_no_visit_at_another(acme):
    now = timezone.now()
    here, there = world.a_door("Here", site=world.a_site("Here")), world.a_door("There", site=world.a_site("There"))
    visit = world.a_reservation(world.a_person("Ann", now=now), here, there, start=now, now=now)
    before = (visit.start_time, visit.end_time, visit.cancelled_at)
    _, desk = at_desk(sites=[here.site])
    path = f"/desk/visits/{visit.pk}/"
    assert desk.get(path).status_code == 200
    when = {"start": "2030-01-01T09:00", "end": "2030-01-02T09:00", "doors": [here.pk]}
    for verb, form in (("extend", {"more": "60"}), ("move", when), ("end", {})):
        assert desk.post(f"{path}{verb}/", form).status_code == 403, verb
    _, manager = at_desk(StaffRole.MANAGER, sites=[here.site])
    path = f"/admin/reservations/reservation/{visit.pk}"
    whenever = {
        "start_time_0": "2030-01-01",
        "start_time_1": "09:00",
        "end_time_0": "2030-01-02",
        "end_time_1": "09:00",
    }
    for answer in (manager.post(f"{path}/change/", {**whenever, "doors": [here.pk]}), manager.post(f"{path}/cancel/")):
        assert b"doors at other sites too" in answer.content
    visit.refresh_from_db()
    assert (visit.start_time, visit.end_time, visit.cancelled_at) == before
    own = world.a_reservation(world.a_person("Bo", now=now), here, start=now, now=now)
    assert desk.post(f"/desk/visits/{own.pk}/extend/", {"more": "60"}).status_code == 302


def test_a_host_gives_visitors_no_door_but_theirs_and_takes_none_away(acme):
    now = timezone.now()
    lobby, vault = world.a_door("Lobby", is_visitor_door=True), world.a_door("Vault")
    member, host = at_desk(StaffRole.HOST)
    assert host.post("/desk/visits/new/", a_form(vault)).status_code == 422
    assert host.post("/desk/visits/new/group/", a_form(vault, guests="Bo", shared="own")).status_code == 422
    assert not Reservation.objects.exists()
    visit = world.a_reservation(
        world.a_person("Ann", now=now), lobby, vault, start=now, now=now, details={"host": member}
    )
    when = {"start": "2030-01-01T09:00", "end": "2030-01-01T10:00", "doors": [lobby.pk]}
    assert host.post(f"/desk/visits/{visit.pk}/move/", when).status_code == 302
    rows = ReservationChannel.objects.filter(reservation=visit, ended_at=None)
    assert set(rows.values_list("channel_id", flat=True)) == {lobby.pk, vault.pk}


def test_weekly_hours_name_no_site_that_a_limited_member_cannot_know_of(acme):
    here, there = world.a_door("Here", site=world.a_site("Here")), world.a_door("There", site=world.a_site("Far off"))
    shift = Shift.objects.create(name="Office")
    for door in (here, there):
        RoleChannel.objects.filter(role=world.a_role(f"At {door.name}", door)).update(shift=shift)
    _, manager = at_desk(StaffRole.MANAGER, sites=[here.site])
    page = manager.get(f"/admin/doors/shift/{shift.pk}/change/").content.decode()
    assert "<strong>Here</strong>" in page
    assert "Far off" not in page
