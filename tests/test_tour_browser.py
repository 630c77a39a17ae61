"""The tour: every page of the admin, as the resolver names them, as every kind of staff, and in a real browser.

A page that somebody adds is visited without being named here. What a role may not see is absent from its navigation
and refused by address; no page offends whoever cannot see, hear or point, in either scheme.
"""

import re
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.db import connections
from django.test import Client
from django.utils import timezone

from accesscontrol.people.models import Person
from accounts import tenants
from accounts.models import User
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.signin.staff import second_factor
from tests import world
from tests.addresses import EXAMPLES, addresses, fill_in, ids_of, route_of
from tests.conftest import _empty
from tests.serving import serving
from tests.sides import Side
from tests.test_admin_browser import CHROMIUM, QUIET, STANDS

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# In dark only colours differ.
COLOURS = ["color-contrast"]
# Unfold asks for the scheme once, when it starts: here the page is not loaded again for the other one.
IN_SCHEME = "isDark => { if (isDark) document.documentElement.classList.add('dark') }"
# No pages: signing out, scripts, pieces that a page asks for by itself.
PIECES = ("/admin/logout/", "/admin/jsi18n/", "/admin/autocomplete/", "/admin/login/", "/admin/password_change/")
# Markup of libraries: (rule, part of the offending element) -> why it is not ours to mend.
UNFOLD = {
    ("aria-input-field-name", "select2-selection"): "Django's select2 names its box by what is chosen: by nothing yet.",
}
SIGNED_OUT = "/sign-in/"


@pytest.fixture(scope="module")
def house(django_db_setup, django_db_blocker):
    """A tenant with a row in every table that has pages, a member of each role, and a platform owner of no tenant."""
    with django_db_blocker.unblock():
        try:
            acme, _ = world.tenants_named("Acme", "Globex")
            side, now = Side(acme, "Acme"), timezone.now()
            with tenant_transaction(acme.pk):
                members = {role: world.a_member(role, f"{role}@tour.example", now=now) for role in StaffRole}
                for member in members.values():
                    world.a_staff_pin(member, now=now)
            platform = tenants.user_of(
                "platform@tour.example", password=world.PASSWORD, now=now, is_platform_owner=True
            )
            device = second_factor.add(platform, confirmed=True)
            yield {"side": side, "members": members, "platform": platform, "device": device}
        finally:
            connections.close_all()
            _empty()


def signed_in(house, role):
    """A browser of this member, who typed their PIN just now."""
    client = world.signed_in(house["members"][role].user)
    world.confirm(client, house["members"][role])
    client.raise_request_exception = False
    return client


def platform_owner(house):
    client = world.signed_in(house["platform"])
    session = client.session
    session["otp_device_id"] = house["device"].persistent_id
    session.save()
    client.raise_request_exception = False
    return client


def pages(house):
    """The address of every page of the admin, with the ids of a row that there is."""
    found = {}
    for way, _ in addresses():
        route = route_of(way)
        if route.startswith("/admin/") and not route.startswith(PIECES) and route not in EXAMPLES:
            found[fill_in(way, ids_of(house["side"]))] = route
    return found


def navigation(client):
    """The pages that the sidebar of this client's admin leads to."""
    text = client.get("/admin/").content.decode()
    side = text.partition('id="nav-sidebar-apps"')[2].partition('id="main"')[0] or text
    return {path for path in re.findall(r'href="(/admin/[^"?#]*)"', side) if not path.startswith(PIECES)}


def lists():
    return {f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry}


def answers(client, paths):
    return {path: client.get(path).status_code for path in paths}


# Every page, every role


@pytest.mark.parametrize("role", [StaffRole.OWNER, StaffRole.MANAGER, StaffRole.FRONT_DESK, StaffRole.AUDITOR])
def test_navigation_and_addresses_agree(house, db, role):
    client = signed_in(house, role)
    shown = navigation(client)
    assert len(shown) > 10
    opened = {path: client.get(path, follow=True).status_code for path in sorted(shown)}
    assert set(opened.values()) == {200}, opened
    for path in sorted(lists() - shown):
        assert client.get(path).status_code == 403, f"{role} opens {path}, which their navigation does not show"


def test_what_auditors_and_the_front_desk_may_not_change_is_refused_by_address(house, db):
    manager = answers(signed_in(house, StaffRole.MANAGER), pages(house))
    for role, may_add in (
        (StaffRole.AUDITOR, set()),
        (
            StaffRole.FRONT_DESK,
            {f"/admin/{table}/add/" for table in ("people/person", "reservations/reservation", "visits/import")},
        ),
    ):
        client = signed_in(house, role)
        for path in manager:
            status = client.get(path).status_code
            # What a manager is refused, nobody below is given.
            assert status < 500
            if manager[path] in (403, 404):
                assert status in (403, 404), (role, path)
            if path.endswith("/add/"):
                assert (status == 200) is (path in may_add), (role, path, status)


@pytest.mark.parametrize("who", ["host", "platform owner", "nobody", "a stranger"])
def test_the_admin_is_closed_to_everybody_else(house, db, who):
    if who == "host":
        client = signed_in(house, StaffRole.HOST)
    elif who == "platform owner":
        client = platform_owner(house)
    elif who == "a stranger":
        client = world.signed_in(User.objects.create(email="stranger@tour.example"))
    else:
        client = Client()
    for path in pages(house):
        answer = client.get(path)
        if who == "nobody":
            assert answer.status_code in (302, 404, 405), path
            assert answer.status_code != 302 or urlsplit(answer.url).path in (SIGNED_OUT, "/admin/login/"), path
        else:
            # 405: it only takes what is posted.
            assert answer.status_code in (403, 404, 405), (who, path)
            assert b"Acme" not in answer.content, (who, path)


def test_no_page_of_the_admin_fails_for_a_manager(house, db):
    found = answers(signed_in(house, StaffRole.OWNER), pages(house))
    assert {path: status for path, status in found.items() if status >= 500} == {}
    # The tour must not stand before closed doors.
    assert sum(status == 200 for status in found.values()) > 60


def test_the_platforms_pages_are_open_to_platform_owners_alone(house, db):
    routes = {
        fill_in(way, {**ids_of(house["side"]), "platform_tenant_id": house["side"].tenant.pk})
        for way, _ in addresses()
        if route_of(way).startswith("/platform/")
    }
    for role in StaffRole:
        client = signed_in(house, role)
        assert {client.get(path).status_code for path in routes} <= {403, 405}, role
    owner = answers(platform_owner(house), routes)
    assert set(owner.values()) <= {200, 302, 404, 405}, owner
    assert owner["/platform/"] == 200


# In a browser

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)")


def browse(client, base, playwright):
    """A page of Chromium with this client's session; what it complains of is collected."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": name, "value": morsel.value, "url": base} for name, morsel in client.cookies.items()])
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.complaints = []
    page.on("console", lambda said: page.complaints.append((page.url, said.text)) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append((page.url, str(error))))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((base, "data:")) else page.complaints.append((page.url, asked.url)),
    )
    return browser, page


def offences(axe, page, rules):
    """What offends, but for Unfold's own markup."""
    found = axe.run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response["violations"]
    return [
        (broken["id"], node["html"][:200], (node["any"] or node["all"] or node["none"] or [{}])[0].get("message", ""))
        for broken in found
        for node in broken["nodes"]
        if not any(rule == broken["id"] and part in node["html"] for rule, part in UNFOLD)
    ]


def worth_looking_at(house):
    """One page of each kind: steps of one row share their template, so the first of each table stands for them."""
    client, kinds = signed_in(house, StaffRole.OWNER), {}
    for path, route in sorted(pages(house).items()):
        answer = client.get(path)
        if answer.status_code != 200 or answer.streaming or b"<html" not in answer.content:
            # A file, or a piece that a page asks for by itself.
            continue
        found = re.match(r"/admin/(\w+/\w+)/<path:object_id>/(?!change)", route)
        kinds.setdefault(f"step of {found[1]}" if found else route, path)
    return sorted(kinds.values())


@pytest.mark.browser
@needs_chromium
def test_no_page_offends_complains_or_asks_elsewhere(house, django_db_blocker):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    axe, found = Axe(), []
    with django_db_blocker.unblock(), sync_playwright() as playwright, serving() as base:
        paths = worth_looking_at(house)
        assert len(paths) > 50
        client = signed_in(house, StaffRole.OWNER)
        browser, page = browse(client, base, playwright)
        for path in paths:
            page.emulate_media(color_scheme="light")
            page.goto(base + path)
            assert SIGNED_OUT not in page.url, path
            for scheme, rules in (("light", WCAG), ("dark", COLOURS)):
                page.emulate_media(color_scheme=scheme)
                page.evaluate(IN_SCHEME, scheme == "dark")
                page.wait_for_function(STANDS)
                found += [(scheme, path, *offence) for offence in offences(axe, page, rules)]
        complaints = page.complaints
        browser.close()
    assert found == []
    assert complaints == []


@pytest.mark.browser
@needs_chromium
def test_the_platforms_pages_offend_nobody_either(house, django_db_blocker):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    axe, found = Axe(), []
    tenant = house["side"].tenant.pk
    with django_db_blocker.unblock(), sync_playwright() as playwright, serving() as base:
        browser, page = browse(platform_owner(house), base, playwright)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for path in ("/platform/", "/platform/new/", f"/platform/{tenant}/", f"/platform/{tenant}/suspend/"):
                for width in (1440, 390):
                    page.set_viewport_size({"width": width, "height": 900})
                    page.goto(base + path)
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, path)
                found += [(scheme, path, *offence) for offence in offences(axe, page, WCAG)]
        complaints = page.complaints
        browser.close()
    assert found == []
    assert complaints == []


@pytest.mark.browser
@needs_chromium
def test_a_person_is_exported_and_erased(house, django_db_blocker):
    from playwright.sync_api import sync_playwright

    with django_db_blocker.unblock(), sync_playwright() as playwright, serving() as base:
        with tenant_transaction(house["side"].tenant.pk):
            kea = world.a_person("Kea", last_name="Kanarie", email="kea@example.com", now=timezone.now())
        member = house["members"][StaffRole.MANAGER]
        client = world.signed_in(member.user)
        browser, page = browse(client, base, playwright)
        page.goto(f"{base}/admin/people/person/{kea.pk}/change/")
        page.get_by_role("link", name="Export").first.click()
        page.get_by_label("Your PIN").fill("805294")
        page.get_by_role("button", name="Confirm").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == f"person-{kea.pk}.zip"
        page.get_by_role("link", name="Back").click()
        page.get_by_role("link", name="Erase").first.click()
        page.get_by_role("heading", name="Erase Kea Kanarie for good?").wait_for()
        page.get_by_label("Erase this person. I know that it cannot be undone.").check()
        page.get_by_role("button", name="Erase for good").click()
        page.get_by_text(f"Person {kea.pk} was erased.").wait_for()
        assert "Kanarie" not in page.content()
        complaints = page.complaints
        browser.close()
        with tenant_transaction(house["side"].tenant.pk):
            assert Person.objects.get(pk=kea.pk).name == "Erased person"
    assert complaints == []
