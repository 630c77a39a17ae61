"""What each staff role sees and may do in the admin, and that its pages only translate."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from accesscontrol.access import attempts
from accesscontrol.access.models import Alarm, AlarmRecipient, ChannelCommand, Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.admin.shifts import days_of
from accesscontrol.doors.models import ReaderChannel, Role, RoleChannel, Shift
from accesscontrol.doors.periods import OPEN
from accesscontrol.doors.weeks import BadHours, in_words, stretches_of, week_in_words
from accesscontrol.people.models import GroupMembership, Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import belonging
from accounts.models import ApiKey, AuditEvent, Membership, Site, User
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.deliveries.models import Delivery
from tests import world
from tests.world import BY

CANARY = "48210973"

LISTS = {
    "visits": "/admin/reservations/reservation/",
    "people": "/admin/people/person/",
    "groups": "/admin/people/group/",
    "credentials": "/admin/credentials/credential/",
    "doors": "/admin/doors/channel/",
    "access levels": "/admin/doors/role/",
    "weekly hours": "/admin/doors/shift/",
    "opening hours": "/admin/doors/sitehours/",
    "holidays": "/admin/doors/holiday/",
    "sites": "/admin/accounts/site/",
    "events": "/admin/access/event/",
    "alarms": "/admin/access/alarm/",
    "messages": "/admin/deliveries/delivery/",
    "alarm recipients": "/admin/access/alarmrecipient/",
    "staff": "/admin/accounts/membership/",
    "invitations": "/admin/staff/invitation/",
    "keys": "/admin/accounts/apikey/",
    "settings": "/admin/accounts/tenant/",
    "audit": "/admin/accounts/auditevent/",
}
_DAILY = {"visits", "people", "groups", "credentials", "doors", "access levels", "weekly hours", "sites"}
_DAILY |= {"opening hours", "holidays"}
_SEEN = _DAILY | {"events", "alarms", "messages"}
SEES = {
    StaffRole.OWNER: set(LISTS),
    StaffRole.MANAGER: set(LISTS),
    StaffRole.FRONT_DESK: _SEEN,
    StaffRole.AUDITOR: _SEEN | {"staff", "invitations", "audit"},
}
_BUILT = {"groups", "doors", "access levels", "weekly hours", "sites", "opening hours", "holidays"}
ADDS = {
    StaffRole.OWNER: _BUILT | {"visits", "people", "invitations", "keys", "alarm recipients"},
    StaffRole.MANAGER: _BUILT | {"visits", "people", "keys", "alarm recipients"},
    StaffRole.FRONT_DESK: {"visits", "people"},
    StaffRole.AUDITOR: set(),
}


@pytest.fixture
def house(acme):
    """Ann has a PIN and a visit now; the door has seen her, and a stranger."""
    now = timezone.now()
    front = world.a_door("Front Door", is_visitor_door=True)
    ann = world.a_person("Ann", last_name="Archer", email="ann@example.com", now=now)
    pin = world.a_pin(ann, CANARY, now=now)
    visit = world.a_reservation(ann, front, start=now, now=now, deliver="email")
    attempts.attempt(front.pk, CANARY, type=CredentialType.PIN, now=now)
    attempts.attempt(front.pk, "3141", type=CredentialType.PIN, now=now)
    alarm = Alarm.objects.create(kind="guessing", site=front.site, channel=front, raised_at=now)
    return {"front": front, "ann": ann, "pin": pin.credential, "visit": visit, "alarm": alarm, "now": now}


def as_(role, **values):
    """Somebody who confirmed with their PIN just now."""
    member = world.a_member(role, **values)
    client = world.signed_in(member.user)
    world.confirm(client, member)
    return client


@pytest.mark.parametrize("role", SEES)
def test_each_role_sees_its_pages_and_no_others(house, role):
    client = as_(role)
    home = client.get("/admin/").content.decode()
    for name, address in LISTS.items():
        status = client.get(address).status_code
        assert (status in (200, 302)) is (name in SEES[role]), (name, status)
        assert (f'href="{address}"' in home) is (name in SEES[role]), name
        added = client.get(f"{address}add/").status_code
        assert (added == 200) is (name in ADDS[role]), (name, added)


@pytest.mark.parametrize("role", SEES)
def test_each_page_of_one_row_opens_for_who_may_view_it(house, role):
    client = as_(role)
    rows = {
        "people": house["ann"],
        "visits": house["visit"],
        "credentials": house["pin"],
        "doors": house["front"],
        "sites": house["front"].site,
        "events": Event.objects.first(),
        "alarms": house["alarm"],
        "messages": Delivery.objects.first(),
        "audit": AuditEvent.objects.first(),
        "staff": Membership.objects.first(),
    }
    for name, row in rows.items():
        page = client.get(f"{LISTS[name]}{row.pk}/change/")
        assert (page.status_code == 200) is (name in SEES[role]), name
        assert CANARY not in page.content.decode()


def test_nothing_is_deleted_by_the_admin(house):
    client = as_(StaffRole.OWNER)
    for name, row in (("people", house["ann"]), ("doors", house["front"]), ("visits", house["visit"])):
        assert client.post(f"{LISTS[name]}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Person.objects.filter(pk=house["ann"].pk).exists()


def test_a_host_and_somebody_without_a_place_see_a_plain_page(house):
    host = as_(StaffRole.HOST).get("/admin/people/person/")
    assert host.status_code == 403
    assert "not for your role" in host.content.decode()
    stranger = world.signed_in(User.objects.create(email="nobody@acme.example"))
    page = stranger.get("/admin/")
    assert page.status_code == 403
    assert "You belong to no tenant" in page.content.decode()
    assert stranger.get("/admin/login/").status_code == 403


def test_the_admin_leads_to_the_one_place_to_sign_in(house, client):
    assert client.get("/admin/doors/channel/", follow=True).redirect_chain[-1][0] == (
        "/sign-in/?next=%2Fadmin%2Fdoors%2Fchannel%2F"
    )
    manager = as_(StaffRole.MANAGER)
    left = manager.post("/admin/logout/")
    assert (left.status_code, left.headers["Location"]) == (307, "/sign-out/")
    assert manager.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert manager.get("/admin/").status_code == 302
    assert as_(StaffRole.FRONT_DESK).get("/admin/password_change/").headers["Location"] == "/account/password/"


def test_an_api_key_opens_no_page(house, client):
    key = world.an_api_key()
    assert client.get("/admin/people/person/", headers={"Authorization": f"Bearer {key}"}).status_code == 302


def test_other_tenants_are_absent_and_the_switcher_enters_only_own_places(house):
    globex = world.tenants_named("Initech")[0]
    user = world.a_member(StaffRole.MANAGER).user
    with tenant_context(globex.pk):
        mallory = world.a_person("Mallory")
        door = world.a_door("Vault")
        world.a_member(StaffRole.MANAGER, user.email)
    client = world.signed_in(user)
    assert "Acme" in client.get("/admin/").content.decode()
    assert client.get(f"/admin/people/person/{mallory.pk}/change/").status_code == 404
    assert client.get(f"/admin/doors/channel/{door.pk}/change/").status_code == 404
    assert client.post(f"/admin/people/person/{mallory.pk}/remove/").status_code == 404
    assert client.get("/admin/switch/").status_code == 405
    assert client.post("/admin/switch/", {"tenant_id": "999999"}).status_code == 404
    assert client.post("/admin/switch/", {"tenant_id": str(globex.pk)}).status_code == 302
    assert "Mallory" in client.get("/admin/people/person/").content.decode()
    assert client.get(f"/admin/people/person/{house['ann'].pk}/change/").status_code == 404


def test_a_visit_cannot_name_a_person_or_door_of_another_tenant(house):
    with tenant_context(world.tenants_named("Initech")[0].pk):
        mallory, vault = world.a_person("Mallory"), world.a_door("Vault")
    client = as_(StaffRole.MANAGER)
    page = client.post("/admin/reservations/reservation/add/", _visit(mallory, vault))
    assert page.status_code == 200
    assert page.context["adminform"].form.errors.keys() == {"person", "doors"}


def _visit(person, *doors, days=1):
    start = timezone.localtime()
    end = start + timedelta(days=days)
    return {
        "person": person.pk,
        "start_time_0": f"{start:%Y-%m-%d}",
        "start_time_1": f"{start:%H:%M}",
        "end_time_0": f"{end:%Y-%m-%d}",
        "end_time_1": f"{end:%H:%M}",
        "doors": [door.pk for door in doors],
    }


@pytest.fixture
def two_sites(house):
    north = world.a_site("Warehouse North")
    gate = world.a_door("Gate", site=north)
    noa = world.a_person("Noa", site=north, now=house["now"])
    member = world.a_member(StaffRole.MANAGER, "limited@acme.example", sites=[north])
    return {**house, "north": north, "gate": gate, "noa": noa, "client": world.signed_in(member.user)}


def test_a_member_limited_to_a_site_sees_nothing_elsewhere(two_sites):
    client = two_sites["client"]
    doors = client.get("/admin/doors/channel/").content.decode()
    assert "Gate" in doors
    assert "Front Door" not in doors
    assert client.get(f"/admin/doors/channel/{two_sites['front'].pk}/change/").status_code == 404
    assert client.get(f"/admin/accounts/site/{two_sites['front'].site_id}/change/").status_code == 404
    assert client.get(f"/admin/reservations/reservation/{two_sites['visit'].pk}/change/").status_code == 404
    assert client.get(f"/admin/access/event/{Event.objects.first().pk}/change/").status_code == 404
    assert client.get(f"/admin/access/alarm/{two_sites['alarm'].pk}/change/").status_code == 404
    for whole in ("settings", "staff", "keys", "audit"):
        assert client.get(LISTS[whole]).status_code == 403
    form = client.get("/admin/reservations/reservation/add/").content.decode()
    assert "Gate (Warehouse North)" in form
    assert "Front Door" not in form
    assert client.get("/admin/people/person/").content.decode().count("Noa") >= 1


def test_what_also_opens_doors_elsewhere_is_read_only_for_a_limited_member(two_sites):
    role = world.a_role("Both", two_sites["front"], two_sites["gate"])
    Role.objects.filter(pk=role.pk).update(site=two_sites["north"])
    page = f"/admin/doors/role/{role.pk}/change/"
    assert two_sites["client"].get(page).status_code == 200
    saved = two_sites["client"].post(page, {"name": "Both", "site": two_sites["north"].pk, "doors": []})
    assert saved.status_code == 403
    assert RoleChannel.objects.filter(OPEN, role=role).count() == 2


def test_what_all_sites_share_is_read_only_for_a_limited_member(two_sites):
    shared = world.a_role("Everywhere", two_sites["gate"])
    hours = Shift.objects.create(name="Always")
    for address in (f"/admin/doors/role/{shared.pk}/change/", f"/admin/doors/shift/{hours.pk}/change/"):
        assert two_sites["client"].get(address).status_code == 200
        assert two_sites["client"].post(address, {"name": "Mine"}).status_code == 403


def test_a_limited_member_cannot_give_what_opens_doors_elsewhere(two_sites):
    everywhere = world.a_role("Everywhere", two_sites["front"], two_sites["gate"])
    staff_group = world.a_group("Employees", everywhere)
    noa = two_sites["noa"]
    values = {"first_name": "Noa", "kind": "person", "site": two_sites["north"].pk}
    for field, row in (("access_levels", everywhere), ("in_groups", staff_group)):
        page = two_sites["client"].post(f"/admin/people/person/{noa.pk}/change/", {**values, field: [row.pk]})
        assert field in page.context["adminform"].form.errors
    added = two_sites["client"].post("/admin/people/person/add/", {"first_name": "Pia", "kind": "person"})
    assert "site" in added.context["adminform"].form.errors


def test_people_are_written_through_their_records(house):
    group = world.a_group("Employees", world.a_role("Everyone", house["front"]))
    client = as_(StaffRole.FRONT_DESK)
    values = {"first_name": "Bea", "kind": "person", "enabled": "on", "in_groups": [group.pk], "system_id": "7"}
    assert client.post("/admin/people/person/add/", values).status_code == 302
    bea = Person.objects.get(first_name="Bea")
    assert GroupMembership.objects.filter(OPEN, person=bea, group=group).exists()
    told = AuditEvent.objects.filter(subject_type="person", subject_id=str(bea.pk), verb="create")
    assert told.get().actor_kind == "staff"
    assert client.post(f"/admin/people/person/{bea.pk}/change/", {**values, "in_groups": []}).status_code == 302
    assert not GroupMembership.objects.filter(OPEN, person=bea).exists()
    assert GroupMembership.objects.filter(person=bea).exists()
    assert client.post(f"/admin/people/person/{bea.pk}/remove/").status_code == 302
    assert client.get(f"/admin/people/person/{bea.pk}/change/").status_code == 404
    assert LogEntry.objects.count() == 0


def test_a_refusal_stands_beside_its_field_and_nothing_is_written(house):
    client = as_(StaffRole.MANAGER)
    values = {"first_name": "Bea", "kind": "person", "system_id": "7"}
    client.post("/admin/people/person/add/", values)
    again = client.post("/admin/people/person/add/", {**values, "first_name": "Cleo"})
    assert again.status_code == 200
    errors = again.context["adminform"].form.errors
    assert errors["system_id"] == ["Another person has this id already."]
    assert not Person.objects.filter(first_name="Cleo").exists()
    early = client.post("/admin/reservations/reservation/add/", _visit(house["ann"], house["front"], days=-1))
    assert "end_time" in early.context["adminform"].form.errors
    nowhere = world.a_person("Bob", now=house["now"])
    unsent = client.post(
        "/admin/reservations/reservation/add/", {**_visit(nowhere, house["front"]), "deliver": "email"}
    )
    assert "no e-mail address" in str(unsent.context["adminform"].form.errors["deliver"])
    assert not Reservation.objects.filter(person=nowhere).exists()


def test_a_pin_is_shown_once_and_stands_nowhere_else(house):
    bob = world.a_person("Bob", now=house["now"])
    client = as_(StaffRole.FRONT_DESK)
    address = f"/admin/people/person/{bob.pk}/issue-pin/"
    assert client.get(address).status_code == 200
    page = client.post(address, {"value": "57102938", "deliver": ""})
    assert page.status_code == 200
    assert "no-store" in page.headers["Cache-Control"]
    assert "57-10-2938" in page.content.decode()
    title = re.search(r"<title>(.*?)</title>", page.content.decode(), re.DOTALL)
    assert "57" not in title[1]
    assert "57102938" not in str(client.session.items()) + str(client.cookies)
    assert client.get(address).status_code == 404
    assert client.post(address, {"value": "57102938"}).status_code == 404
    assert "57" not in str(AuditEvent.objects.filter(verb="issue").values_list("fields", flat=True))
    assert "57-10-2938" not in client.get(f"/admin/people/person/{bob.pk}/change/").content.decode()


def test_a_chosen_pin_that_is_taken_is_refused_beside_the_field(house):
    bob = world.a_person("Bob", now=house["now"])
    page = as_(StaffRole.FRONT_DESK).post(f"/admin/people/person/{bob.pk}/issue-pin/", {"value": CANARY})
    assert page.status_code == 200
    assert page.context["form"].errors["value"]
    assert not Credential.objects.filter(person=bob).exists()


def test_showing_a_pin_is_a_post_with_the_right_and_is_recorded(house):
    address = f"/admin/credentials/credential/{house['pin'].pk}/show/"
    assert as_(StaffRole.AUDITOR).post(address).status_code == 403
    client = as_(StaffRole.MANAGER)
    assert CANARY[:2] + "-" not in client.get(address).content.decode()
    assert not AuditEvent.objects.filter(verb="reveal").exists()
    page = client.post(address)
    assert "48-21-0973" in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert AuditEvent.objects.filter(verb="reveal", subject_id=str(house["pin"].pk)).count() == 1


def test_credentials_are_disabled_enabled_and_revoked_by_steps(house):
    client = as_(StaffRole.FRONT_DESK)
    address = f"/admin/credentials/credential/{house['pin'].pk}/"
    for step, check in (("disable", False), ("enable", True)):
        assert client.post(f"{address}{step}/").status_code == 302
        house["pin"].refresh_from_db()
        assert house["pin"].enabled is check
    assert client.get(f"{address}revoke/").status_code == 200
    assert client.post(f"{address}revoke/").status_code == 302
    assert lifecycle.reveal([Credential.objects.get(pk=house["pin"].pk)], by=world.BY, now=house["now"]) == {}
    assert client.post(f"{address}show/").status_code == 404


def test_visits_are_reserved_moved_and_cancelled(house):
    lab = world.a_door("Lab")
    client = as_(StaffRole.FRONT_DESK)
    bob = world.a_person("Bob", now=house["now"])
    assert client.post("/admin/reservations/reservation/add/", _visit(bob)).status_code == 302
    visit = Reservation.objects.get(person=bob)
    doors = ReservationChannel.objects.filter(OPEN, reservation=visit)
    assert list(doors.values_list("channel_id", flat=True)) == [house["front"].pk]
    moved = client.post(f"/admin/reservations/reservation/{visit.pk}/change/", _visit(bob, lab, days=2))
    assert moved.status_code == 302
    assert list(doors.values_list("channel_id", flat=True)) == [lab.pk]
    assert client.post(f"/admin/reservations/reservation/{visit.pk}/cancel/").status_code == 302
    assert Reservation.objects.get(pk=visit.pk).cancelled_at is not None
    page = client.get(f"/admin/reservations/reservation/{visit.pk}/change/")
    assert page.status_code == 200
    again = client.post(f"/admin/reservations/reservation/{visit.pk}/change/", _visit(bob, lab))
    assert again.status_code == 403


def test_doors_say_that_they_wait_and_the_desk_lifts_it(house):
    client = as_(StaffRole.FRONT_DESK)
    assert "Waits after wrong PINs" not in client.get("/admin/doors/channel/").content.decode()
    now = timezone.now()
    for entry in ("1357", "2468", "3579", "4680", "5791"):
        attempts.attempt(house["front"].pk, entry, type=CredentialType.PIN, now=now)
    assert "Waits after wrong PINs" in client.get("/admin/doors/channel/").content.decode()
    address = f"/admin/doors/channel/{house['front'].pk}/"
    assert "Lift wait" in client.get(f"{address}change/").content.decode()
    assert as_(StaffRole.AUDITOR).post(f"{address}lift-wait/").status_code == 403
    assert client.post(f"{address}lift-wait/").status_code == 302
    assert client.post(f"{address}lift-wait/").status_code == 404
    assert AuditEvent.objects.filter(verb="lift").count() == 1


def test_an_alarm_is_acknowledged_with_a_reason(house):
    client = as_(StaffRole.MANAGER)
    address = f"/admin/access/alarm/{house['alarm'].pk}/acknowledge/"
    assert client.post(address, {"reason": ""}).status_code == 200
    assert client.post(address, {"reason": "A delivery driver"}).status_code == 302
    house["alarm"].refresh_from_db()
    assert house["alarm"].acknowledged_reason == "A delivery driver"
    assert client.post(address, {"reason": "again"}).status_code == 404


def test_a_failed_message_is_sent_again(house):
    message = Delivery.objects.get()
    client = as_(StaffRole.FRONT_DESK)
    assert client.post(f"/admin/deliveries/delivery/{message.pk}/resend/").status_code == 404
    Delivery.objects.update(state="failed", next_attempt_at=None, failed_at=house["now"])
    assert client.post(f"/admin/deliveries/delivery/{message.pk}/resend/").status_code == 302
    message.refresh_from_db()
    assert message.state == "queued"


def test_a_key_is_shown_once_when_it_is_made(house):
    client = as_(StaffRole.MANAGER)
    address = "/admin/accounts/apikey/add/"
    values = {"name": "Front keypad", "kind": "reader", "requests_per_minute": "1000"}
    refused = client.post(address, values)
    assert "reader_doors" in refused.context["adminform"].form.errors
    page = client.post(address, {**values, "reader_doors": [house["front"].pk]})
    assert page.status_code == 200
    assert "no-store" in page.headers["Cache-Control"]
    value = re.search(r"ghr_[a-z2-7]{32}", page.content.decode())[0]
    key = ApiKey.objects.get()
    assert ReaderChannel.objects.get(api_key=key).channel == house["front"]
    shown = client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    assert value not in shown + client.get("/admin/accounts/apikey/").content.decode()
    assert client.post(f"/admin/accounts/apikey/{key.pk}/revoke/").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_a_scoped_key_needs_scopes(house):
    client = as_(StaffRole.MANAGER)
    values = {"name": "Payroll", "kind": "api", "requests_per_minute": "60"}
    refused = client.post("/admin/accounts/apikey/add/", values)
    assert "scopes" in refused.context["adminform"].form.errors
    page = client.post("/admin/accounts/apikey/add/", {**values, "scopes": ["account.person.readonly"]})
    assert re.search(r"ghk_[a-z2-7]{32}", page.content.decode())
    assert ApiKey.objects.get().scopes == ["account.person.readonly"]


def test_an_owner_invites_staff_and_cannot_lock_themselves_out(house):
    client = as_(StaffRole.OWNER)
    values = {"email": "New@acme.example", "name": "Nele", "role": "front_desk", "sites": []}
    assert client.get("/admin/accounts/membership/add/").headers["Location"] == "/admin/staff/invitation/add/"
    assert client.post("/admin/staff/invitation/add/", values).status_code == 302
    again = client.post("/admin/staff/invitation/add/", values)
    assert "email" in again.context["adminform"].form.errors
    assert Delivery.objects.filter(template="invitation", address="new@acme.example").count() == 1
    assert not User.objects.filter(email="new@acme.example").exists()
    own = Membership.objects.get(role="owner")
    demoted = client.post(f"/admin/accounts/membership/{own.pk}/change/", {"role": "manager"})
    assert "role" in demoted.context["adminform"].form.errors
    ended = client.post(f"/admin/accounts/membership/{own.pk}/end/")
    assert ended.status_code == 200
    own.refresh_from_db()
    assert own.ended_at is None
    manager = as_(StaffRole.MANAGER)
    assert manager.post("/admin/accounts/membership/add/", values).status_code == 403
    assert manager.post("/admin/staff/invitation/add/", values).status_code == 403


def test_weekly_hours_are_written_day_by_day(house):
    client = as_(StaffRole.MANAGER)
    days = {f"day_{day}": "" for day in range(7)}
    bad = client.post("/admin/doors/shift/add/", {"name": "Early", **days, "day_1": "9 til 5"})
    assert "day_1" in bad.context["adminform"].form.errors
    good = {"name": "Early", "on_holiday": "closed", **days, "day_0": "06:00-14:00", "day_6": "22-24:00, 9-10"}
    assert client.post("/admin/doors/shift/add/", good).status_code == 302
    shift = Shift.objects.get()
    assert days_of(shift) == {0: "06:00-14:00", 6: "09:00-10:00, 22:00-00:00"}
    twice = {**good, "day_0": "06:00-14:00, 06:00-15:00"}
    refused = client.post(f"/admin/doors/shift/{shift.pk}/change/", twice)
    assert refused.status_code == 200
    assert days_of(shift)[0] == "06:00-14:00"


def test_words_of_a_week():
    week = [stretch for day in range(5) for stretch in stretches_of(day, "8:00-18:00")]
    assert week_in_words(in_words(week)) == "Monday to Friday 08:00-18:00"
    assert week_in_words({0: "08:00-09:00", 2: "08:00-09:00"}) == "Monday 08:00-09:00; Wednesday 08:00-09:00"
    for words in ("25:00-26:00", "08:60-09:00", "nine", "08:00", "24:00-08:00"):
        with pytest.raises(BadHours):
            stretches_of(0, words)


def test_plain_editing_is_recorded(house):
    client = as_(StaffRole.MANAGER)
    site = house["front"].site
    values = {"name": "Main Office", "time_zone": "Europe/Madrid"}
    assert client.post(f"/admin/accounts/site/{site.pk}/change/", values).status_code == 302
    event = AuditEvent.objects.get(subject_type="site")
    assert sorted(event.fields) == ["name", "time_zone"]
    taken = client.post("/admin/accounts/site/add/", {"name": "main office", "time_zone": "UTC"})
    assert taken.status_code == 200
    assert Site.objects.count() == 1
    own = f"/admin/accounts/tenant/{Membership.objects.first().tenant_id}/change/"
    saved = client.post(
        own,
        {
            "name": "Acme",
            "time_zone": "Asia/Tokyo",
            "language": "en",
            "colour": "#1f5f8b",
            "sends_reveal_links": "False",
            "weak_chosen_pins": "refuse",
            "erase_expired_after_days": 3,
            "rotation_overlap_days": 5,
            "needs_check_in": "False",
            "grace_seconds": 900,
        },
    )
    assert saved.status_code == 302
    assert AuditEvent.objects.filter(subject_type="tenant").exists()
    assert "JST" in client.get("/admin/reservations/reservation/").content.decode()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("arch", True),
        ("Ann", True),
        ("ann archer", True),
        ("ANN@example.com", True),
        ("rcher", False),
        ("ann@", True),
        ("nn@", False),
    ],
)
def test_people_are_found_by_name_and_address(house, words, found):
    page = as_(StaffRole.FRONT_DESK).get("/admin/people/person/", {"q": words})
    assert ("Ann Archer" in page.content.decode()) is found


def test_only_the_admin_is_allowed_to_evaluate(house):
    client = as_(StaffRole.MANAGER)
    policy = client.get("/admin/people/person/").headers["Content-Security-Policy"]
    assert "'unsafe-eval'" in policy
    assert "style-src-attr 'unsafe-inline'" in policy
    assert "unsafe" not in client.get("/account/").headers["Content-Security-Policy"]
    assert "unsafe" not in client.get("/api/3/account").headers["Content-Security-Policy"]


@pytest.mark.parametrize("query", ["q=%00", "p=99999", "o=99.-1", "e=1", "person__id__exact=x", "door=x", "_popup=1"])
def test_strange_queries_are_answered(house, query):
    client = as_(StaffRole.MANAGER)
    for address in (LISTS["people"], LISTS["events"], LISTS["visits"]):
        assert client.get(f"{address}?{query}").status_code in (200, 302, 400)


def test_closed_corners(house):
    client = as_(StaffRole.OWNER)
    assert client.get("/admin/search/", {"s": "people"}).status_code == 404
    assert client.get(f"/admin/people/person/{house['ann'].pk}/history/").status_code == 404
    assert client.get("/admin/people/person/99999999999999999999/change/").status_code == 404
    assert client.get("/admin/oauth2_provider/").status_code == 404


QUERIES = {
    "visits": 14,
    "people": 13,
    "groups": 11,
    "credentials": 12,
    "doors": 14,
    "access levels": 11,
    "weekly hours": 12,
    "sites": 11,
    "events": 13,
    "alarms": 12,
    "alarm recipients": 11,
    "messages": 13,
    "staff": 12,
    "keys": 11,
    "audit": 11,
}


@pytest.mark.parametrize("name", QUERIES)
def test_lists_take_the_same_few_queries_however_long(house, name, django_assert_num_queries):
    now = house["now"]
    client = as_(StaffRole.OWNER)
    for number in range(3):
        door = world.a_door(f"Door {number}", site=world.a_site(f"Site {number}"))
        role = world.a_role(f"Role {number}", door, shift=Shift.objects.create(name=f"Hours {number}"))
        world.a_group(f"Group {number}", role)
        person = world.a_person(f"Person {number}", email=f"{number}@example.com", now=now)
        issued = world.a_pin(person, now=now)
        world.a_reservation(person, door, start=now, now=now, deliver="email")
        attempts.attempt(door.pk, issued.value, type=CredentialType.PIN, now=now)
        world.a_member(StaffRole.MANAGER, f"{number}@acme.example", sites=[door.site])
        world.a_reader_key(door)
        AlarmRecipient.objects.create(name=f"Guard {number}", address=f"{number}@example.com", site=door.site)
    with django_assert_num_queries(QUERIES[name]):
        assert client.get(LISTS[name]).status_code == 200


def test_duress_is_switched_on_and_names_whose_pins_lack_it(acme):
    manager = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    world.a_pin(world.a_person("Ann", last_name="Arbor"), "83951642")
    world.a_pin(world.a_person("Bob"), "83951643")
    page = f"/admin/accounts/tenant/{acme.pk}/change/"
    assert "Off" in manager.get(page).content.decode()
    answer = manager.post(f"/admin/accounts/tenant/{acme.pk}/duress_on/", follow=True)
    assert "Issue new PINs for Ann Arbor: somebody else" in answer.content.decode()
    assert "83951642" not in answer.content.decode()
    answer = manager.post(f"/admin/accounts/tenant/{acme.pk}/duress_off/", follow=True)
    assert "Duress is off." in answer.content.decode()


def test_lists_say_what_is_shared(acme):
    manager = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    door = world.a_door()
    shared = world.a_person("Deliveries", kind=Person.Kind.SHARED)
    pin = world.a_pin(shared).value
    attempts.attempt(door.pk, pin, type=CredentialType.PIN, now=timezone.now())
    for page in ("credentials/credential", "access/event"):
        assert "shared, not traceable to one individual" in manager.get(f"/admin/{page}/").content.decode(), page


def test_people_are_narrowed_to_whom_a_step_is_for(house):
    client = as_(StaffRole.OWNER)
    group = world.a_group("Cleaners")
    bob = world.a_person("Bob", now=house["now"])
    belonging.set_groups(bob, [group], by=BY, now=house["now"])
    world.a_pin(world.a_person("Carl", now=house["now"]), now=house["now"])

    def listed(query):
        return {person.first_name for person in client.get("/admin/people/person/?" + query).context["cl"].result_list}

    everybody = listed("")
    assert listed(f"group={group.pk}") == {"Bob"}
    assert listed("group=x") == listed("group=99999") == everybody
    assert "Carl" in listed("pin=yes")
    assert listed("pin=no") == everybody - listed("pin=yes")


def test_doors_are_locked_down_held_open_and_back_with_a_reason(house):
    client, door = as_(StaffRole.MANAGER), house["front"]
    address = f"/admin/doors/channel/{door.pk}/"
    assert client.post(f"{address}lock-down/").status_code == 200
    assert as_(StaffRole.AUDITOR).post(f"{address}lock-down/", {"reason": "Drill"}).status_code == 403
    for step, state in (("hold-open", "unlocked"), ("lock-down", "locked_down"), ("back-to-normal", "normal")):
        assert client.post(f"{address}{step}/", {"reason": "Drill"}).status_code == 302, step
        door.refresh_from_db()
        assert door.state == state
    assert client.post(f"{address}back-to-normal/", {"reason": "Drill"}).status_code == 404
    assert set(ChannelCommand.objects.values_list("reason", flat=True)) == {"Drill"}
