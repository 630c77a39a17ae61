"""Who sees which pages and rows of the admin, by role, by site and by tenant."""

import pytest

from accesscontrol.access.models import Event
from accesscontrol.doors.models import Role, RoleChannel, Shift
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accounts.models import AuditEvent, Membership, User
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.deliveries.models import Delivery
from tests import world
from tests.admin_house import (
    CANARY,
    LISTS,
    as_,
    filled_in_visit,
    house_fixture,  # noqa: F401
)

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
    assert "You belong to no organisation here" in page.content.decode()
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
    page = client.post("/admin/reservations/reservation/add/", filled_in_visit(mallory, vault))
    assert page.status_code == 200
    assert page.context["adminform"].form.errors.keys() == {"person", "doors"}


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
