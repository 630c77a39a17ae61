"""A front desk to try in a real browser: a house with doors and staff, a real server, worker and mailbox."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from threading import Thread
from urllib.error import HTTPError
from wsgiref.simple_server import make_server

import pytest
from aiosmtpd.controller import Controller
from django.conf import settings as django_settings
from django.db import connections
from django.utils import timezone

from accesscontrol.doors.models import Channel
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from tests import world
from tests.test_admin_browser import CHROMIUM, QUIET, _Handler, _Server

BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]
FRONT_DESK, SECOND, HOST, OWNER = (f"{name}@acme.example" for name in ("front.desk", "second.desk", "host", "owner"))
STAFF_PIN = "805294"
SHOWN = "[data-shown-once]"


class Mailbox:
    def __init__(self):
        self.letters = []
        self.refused = set()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  # aiosmtpd's name
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd's name
        self.letters.append((envelope.rcpt_tos[0], envelope.content.decode()))
        return "250 OK"

    def to(self, address, number=1, seconds=120):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = [text for receiver, text in self.letters if receiver == address]
            if len(found) >= number:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{address} got {len(found)} letters, not {number}")


@dataclass
class House:
    url: str
    tenant: object
    box: Mailbox
    reader: str
    doors: dict
    cookies: dict = field(default_factory=dict)

    def enter(self, door, pin):
        """What a keypad is told."""
        request = urllib.request.Request(
            f"{self.url}/api/3/channels/{self.doors[door]}/access_attempts",
            json.dumps({"value": pin}).encode(),
            {"Authorization": f"Bearer {self.reader}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                body = json.load(answer)
        except HTTPError as error:
            body = json.load(error)
        return body.get("decision") or body

    def inside(self):
        return tenant_transaction(self.tenant.pk)


def _acme():
    now = timezone.now()
    site = world.a_site("Berlin Office", help_phone="+493023125100")
    front = world.a_door("Front Door", site=site, is_visitor_door=True)
    lab = world.a_door("Lab", site=site)
    out = world.a_door("Front Door Exit", site=site, direction=Channel.Direction.OUT)
    reader = world.a_reader_key(front, lab, out, now=now)
    members = {
        FRONT_DESK: world.a_member(StaffRole.FRONT_DESK, FRONT_DESK, now=now),
        SECOND: world.a_member(StaffRole.FRONT_DESK, SECOND, now=now),
        HOST: world.a_member(StaffRole.HOST, HOST, now=now),
        OWNER: world.a_member(StaffRole.OWNER, OWNER, now=now),
    }
    return {door.name: door.pk for door in (front, lab, out)}, reader.value, members


@pytest.fixture
def house(live, settings):
    from accesscontrol.wsgi import application

    doors, reader, members = world.committed(live.acme, _acme)
    cookies = {}
    for email, member in members.items():
        with tenant_transaction(live.acme.pk):
            world.a_staff_pin(member, STAFF_PIN)
            cookies[email] = {name: morsel.value for name, morsel in world.signed_in(member.user).cookies.items()}
    connections.close_all()
    box = Mailbox()
    mail = Controller(box, hostname="127.0.0.1", port=0)
    # With port 0 the controller would look for itself at port 0.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        mail.port = free.getsockname()[1]
    mail.start()
    database = os.environ["DATABASE_URL"].replace("/gatehouse?", f"/{os.environ['GATEHOUSE_TEST_DATABASE']}?")
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "REDIS_URL": django_settings.REDIS_URL,
        "EMAIL_URL": f"smtp://127.0.0.1:{mail.port}",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "celery", "-A", "accesscontrol.celery", "worker", "--pool", "solo", "-B"]
    command += ["-s", f"{os.environ['GATEHOUSE_DATA']}/beat-{os.getpid()}", "--loglevel", "ERROR"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = subprocess.Popen(command, cwd=django_settings.BASE_DIR, env=environment)
    try:
        with make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Handler) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            yield House(f"http://127.0.0.1:{server.server_port}", live.acme, box, reader, doors, cookies)
            server.shutdown()
            thread.join()
    finally:
        worker.terminate()
        worker.wait()
        mail.stop()


@pytest.fixture
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def sit(house, chromium):
    """Opens the desk for somebody in a browser of their own; at the end nothing may have been complained of."""
    complaints = []

    def open_for(email=FRONT_DESK, path="/desk/", **options):
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, **options)
        kept = house.cookies[email].items()
        context.add_cookies([{"name": name, "value": value, "url": house.url} for name, value in kept])
        context.set_default_timeout(180_000)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if _ours(asked.url, house.url) else complaints.append(asked.url))
        page.goto(house.url + path)
        return page

    yield open_for
    # A refusal is answered with its own status, which the console calls an error; so it calls a line that is cut.
    expected = re.compile(r"status of (401|403|404|409|422)|ERR_INTERNET_DISCONNECTED|^htmx:")
    unexpected = [said for said in complaints if not expected.search(said)]
    assert not unexpected, unexpected


def _ours(url, ours):
    return url.startswith((ours, "data:"))


def row(page, name):
    return page.locator(".visit", has_text=name)


def issue(page, name, address="", **choices):
    page.goto(re.sub(r"/desk/.*", "/desk/visits/new/", page.url))
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("E-mail or mobile number").fill(address)
    for label in choices.get("check", ()):
        page.get_by_text(label, exact=True).click()
    page.get_by_role("button", name="Issue PIN").click()
    shown = page.locator(SHOWN)
    shown.wait_for()
    return shown.inner_text()
