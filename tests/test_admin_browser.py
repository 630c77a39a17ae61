"""The admin in a real browser: signing in, issuing a PIN, and no page that the content policy would have to stop."""

import shutil
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.db import connections
from django.utils import timezone

from accounts.rights import StaffRole
from tests import world

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]
# Whether a page stands still, with all that it asks for by itself.
STANDS = """() => !document.querySelector('.htmx-request, [x-cloak]')
    && document.getAnimations().every(each => each.effect.getComputedTiming().endTime === Infinity)"""
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = (
    "reservations/reservation/add/",
    "people/person/",
    "people/person/{ann}/change/",
    "doors/channel/",
    "doors/channel/add/",
    "doors/role/add/",
    "doors/shift/add/",
    "doors/holiday/add/",
    "doors/sitehours/add/",
    "access/event/",
    "accounts/apikey/add/",
    "accounts/membership/add/",
    "accounts/auditevent/",
    "webhooks/subscription/",
    "webhooks/subscription/add/",
    "webhooks/dispatch/",
)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = False


class _Handler(WSGIRequestHandler):
    def handle(self) -> None:
        super().handle()
        connections.close_all()

    def log_message(self, *args: object) -> None:
        """Quiet."""


def _acme() -> int:
    now = timezone.now()
    world.a_staff_pin(world.a_member(StaffRole.OWNER, "owner@acme.example", now=now), now=now)
    front = world.a_door("Front Door", is_visitor_door=True)
    ann = world.a_person("Ann", last_name="Archer", now=now)
    world.a_reservation(ann, front, start=now, now=now)
    return ann.pk


@pytest.fixture
def house(live) -> Iterator[tuple[str, int]]:
    from accesscontrol.wsgi import application

    ann = world.committed(live.acme, _acme)
    connections.close_all()
    with make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/admin/", ann
        server.shutdown()
        thread.join()


@pytest.fixture
def page(house):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(180_000)
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda asked: page.complaints.append(asked.url) if _leaves(asked.url, house[0]) else None)
        yield page
        browser.close()


def _leaves(url: str, ours: str) -> bool:
    return not url.startswith((ours.removesuffix("/admin/"), "data:"))


def sign_in(address, page):
    page.goto(address)
    page.get_by_label("E-mail address").fill("owner@acme.example")
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def drag(page, day, first, to_day, last):
    """From the start of one half hour to the end of another, counted from midnight."""
    boxes = [page.locator(f".gh-day[data-day='{d}'] > [data-cell='{c}']") for d, c in ((day, first), (to_day, last))]
    start, end = (box.bounding_box() for box in boxes)
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + 8, steps=4)
    page.mouse.up()


def test_a_week_is_painted(house, page):
    address, _ = house
    sign_in(address, page)
    page.goto(f"{address}doors/shift/add/")
    page.get_by_label("Name").fill("Cleaning")
    # Monday to Friday from nine to five, without the hour of noon on Wednesday.
    drag(page, 0, 18, 4, 33)
    drag(page, 2, 24, 2, 25)
    # The small hours of Sunday belong to Saturday's night until they are painted over.
    page.get_by_label("Saturday").fill("22:10-06:00")
    page.mouse.wheel(0, 2000)
    page.wait_for_function("scrollY > 0 || document.querySelector('#page').scrollTop > 0")
    drag(page, 6, 4, 6, 5)
    page.get_by_role("button", name="Save").click()
    page.locator("#result_list").get_by_role("link", name="Cleaning").click()
    assert [page.input_value(f"#id_day_{day}") for day in range(7)] == [
        "09:00-17:00",
        "09:00-17:00",
        "09:00-12:00, 13:00-17:00",
        "09:00-17:00",
        "09:00-17:00",
        "22:10-00:00",
        "00:00-02:00, 03:00-06:00",
    ]
    assert page.complaints == []


def test_an_owner_signs_in_looks_around_and_issues_a_pin(house, page):
    address, ann = house
    sign_in(address, page)

    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for path in PAGES:
            page.goto(address + path.format(ann=ann))
            page.wait_for_function(STANDS)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, path)
    page.set_viewport_size({"width": 1440, "height": 900})

    page.goto(f"{address}people/person/{ann}/change/")
    page.get_by_role("link", name="Issue PIN").click()
    page.get_by_role("button", name="Issue PIN").click()
    shown = page.locator("[data-shown-once]").inner_text()
    pin = shown.replace("-", "")
    assert pin.isdecimal()
    assert shown not in page.title() + page.url
    page.get_by_role("link", name="Done").click()
    assert shown not in page.content()

    page.get_by_role("button", name="Show PIN").click()
    page.get_by_label("Your PIN").fill("805294")
    page.get_by_role("button", name="Confirm").click()
    assert page.locator("[data-shown-once]").inner_text() == shown
    assert page.complaints == []
