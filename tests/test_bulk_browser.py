"""Bulk steps in a real browser: two thousand PINs past a reload and a killed worker, and a file with mistakes."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits.models import Batch
from accounts.models import AuditEvent
from accounts.tenancy import tenant_transaction
from tests.rotating import PROJECT, environment
from tests.test_admin_browser import CHROMIUM, house, page, sign_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]
__all__ = ["house", "page"]

MANY = 2000
# Ticks, as the clock of the product gives them; slow enough at first to be caught in the middle.
_WORKER = """
import sys, time
import django; django.setup()
from accesscontrol.visits import batches
from accesscontrol.visits.tasks import work_off
if sys.argv[1] == "slow":
    genuine = batches.work
    batches.CHUNK = 50
    def slowly(now):
        time.sleep(.2)
        return genuine(now)
    batches.work = slowly
while True:
    work_off()
    time.sleep(.2)
"""


@contextmanager
def worker(pace):
    running = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WORKER, pace],
        cwd=PROJECT,
        env={**environment(), "DJANGO_SETTINGS_MODULE": "accesscontrol.settings"},
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
        running.wait()


def progress(page):
    return page.locator("progress")


def follow_until(page, words):
    page.get_by_text(words).first.wait_for(timeout=180_000)


def test_two_thousand_pins_past_a_reload_and_a_killed_worker(house, page, live):
    address, _ = house
    with tenant_transaction(live.acme.pk):
        Person.objects.bulk_create(Person(first_name=f"P{number}", last_name="Person") for number in range(MANY))
    sign_in(address, page)
    page.goto(f"{address}people/person/")
    page.locator("#action-toggle").check()
    page.get_by_text(f"Select all {MANY + 1:,}").first.click()
    page.locator("select[name=action]").select_option("issue_pins")
    page.get_by_role("button", name="Run").click()
    # Ann has had a visit reserved, and no PIN: everybody gets one.
    page.get_by_text(f"Starting it does this for {MANY + 1:,} of {MANY + 1:,}.").wait_for()
    page.get_by_role("link", name="Start").first.click()
    page.get_by_role("button", name="Start").click()
    page.get_by_text(f"0 of {MANY + 1:,}").wait_for()
    with worker("slow") as first:
        page.wait_for_function("document.querySelector('progress').value >= 100", timeout=180_000)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    page.reload()
    held = page.evaluate("document.querySelector('progress').value")
    with tenant_transaction(live.acme.pk):
        assert Batch.objects.get().done == held == Credential.objects.count()
    assert 0 < held < MANY
    with worker("fast"):
        page.wait_for_function(f"document.querySelector('progress').value > {held}", timeout=180_000)
        page.locator("[data-state=Finished]").wait_for(timeout=180_000)
    page.get_by_text(f"{MANY + 1:,} of {MANY + 1:,}").wait_for()
    with tenant_transaction(live.acme.pk):
        assert Credential.objects.filter(type=CredentialType.PIN).count() == MANY + 1
        assert AuditEvent.objects.filter(verb="issue", subject_type="credential").count() == MANY + 1
    assert page.complaints == []


LIST = (
    "Vorname;Nachname;E-Mail;Gruppe;Karte\n"
    "Ann;Archer;ann@example.com;;C-1\n"
    "Bob;Builder;nonsense;;\n"
    "Cy;Cole;cy@example.com;Cleaning;\n"
    "Dee;Dunn;ann@example.com;;\n"
    ";Nobody;no@example.com;;\n"
    "Zoë;Müller;zoe@example.com;;C-1\n"
)


def test_a_file_with_mistakes_is_looked_at_mended_and_applied(house, page, live):
    address, _ = house
    sign_in(address, page)
    page.goto(f"{address}visits/import/")
    page.get_by_role("link", name="Add").first.click()
    page.locator("input[type=file]").set_input_files(
        {"name": "list.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\x00"}
    )
    page.get_by_role("button", name="Upload and look at it").click()
    page.get_by_text("This file cannot be read.").wait_for()
    page.locator("input[type=file]").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": LIST.encode("cp1252")}
    )
    page.get_by_role("button", name="Upload and look at it").click()
    page.get_by_label("Gruppe").wait_for()
    assert [page.input_value(f"#id_column_{number}") for number in range(5)] == [
        "first_name",
        "last_name",
        "email",
        "groups",
        "card",
    ]
    page.get_by_role("button", name="Name the columns").click()
    with worker("fast"):
        page.get_by_role("link", name="5 Refused").click(timeout=180_000)
        for reason in (
            "This is no e-mail address.",
            "There is no group “Cleaning”.",
            "The first name is missing.",
            "Row 2 of this file is about the same person or card.",
        ):
            page.get_by_text(reason).first.wait_for()
        # The cells of the file are somebody's data: one's PIN is asked for, once for five minutes.
        page.get_by_role("link", name="Download these as CSV").click()
        page.get_by_label("Your PIN").fill("805294")
        page.get_by_role("button", name="Confirm").click()
        page.get_by_text("the file can be downloaded").wait_for()
        page.get_by_role("link", name="5 Refused").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download these as CSV").click()
        assert "Müller" in download.value.path().read_text("utf-8-sig")
        # Groups may be made: one row less is refused.
        page.get_by_role("link", name="Name the columns").click()
        page.get_by_label("Create groups that do not exist").check(force=True)
        page.get_by_role("button", name="Name the columns").click()
        page.get_by_role("link", name="4 Refused").wait_for(timeout=180_000)
        page.get_by_role("link", name="Apply 2 rows").click()
        page.get_by_role("button", name="Apply").click()
        follow_until(page, "2 of 2")
        follow_until(page, "Applied")
    page.reload()
    page.get_by_text("2 of 2").wait_for()
    with tenant_transaction(live.acme.pk):
        names = sorted(person.name for person in Person.objects.all())
        assert names == ["Ann Archer", "Ann Archer", "Cy Cole"]
        assert Credential.objects.filter(type=CredentialType.CARD).count() == 1
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.reload()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    assert page.complaints == []
