"""What is done through the admin goes through the domain: people, PINs, visits, doors, staff and hours."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from accesscontrol.access import attempts
from accesscontrol.access.models import ChannelCommand
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.admin.shifts import days_of
from accesscontrol.doors.models import ReaderChannel, Shift
from accesscontrol.doors.periods import OPEN
from accesscontrol.doors.weeks import BadHours, in_words, stretches_of, week_in_words
from accesscontrol.people.models import GroupMembership, Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accounts.models import ApiKey, AuditEvent, Membership, Site, User
from accounts.rights import StaffRole
from pins.deliveries.models import Delivery
from tests import world
from tests.admin_house import (
    CANARY,
    as_,
    filled_in_visit,
    house_fixture,  # noqa: F401
)


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
    early = client.post("/admin/reservations/reservation/add/", filled_in_visit(house["ann"], house["front"], days=-1))
    assert "end_time" in early.context["adminform"].form.errors
    nowhere = world.a_person("Bob", now=house["now"])
    unsent = client.post(
        "/admin/reservations/reservation/add/", {**filled_in_visit(nowhere, house["front"]), "deliver": "email"}
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
    assert client.post("/admin/reservations/reservation/add/", filled_in_visit(bob)).status_code == 302
    visit = Reservation.objects.get(person=bob)
    doors = ReservationChannel.objects.filter(OPEN, reservation=visit)
    assert list(doors.values_list("channel_id", flat=True)) == [house["front"].pk]
    moved = client.post(f"/admin/reservations/reservation/{visit.pk}/change/", filled_in_visit(bob, lab, days=2))
    assert moved.status_code == 302
    assert list(doors.values_list("channel_id", flat=True)) == [lab.pk]
    assert client.post(f"/admin/reservations/reservation/{visit.pk}/cancel/").status_code == 302
    assert Reservation.objects.get(pk=visit.pk).cancelled_at is not None
    page = client.get(f"/admin/reservations/reservation/{visit.pk}/change/")
    assert page.status_code == 200
    again = client.post(f"/admin/reservations/reservation/{visit.pk}/change/", filled_in_visit(bob, lab))
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
