"""What a receptionist does when something is in the way, in a real browser: a PIN that is needed again, a visitor at a
door that stays shut, a message that did not arrive, a colleague who was faster.
"""

import re
from datetime import timedelta
from io import BytesIO

from django.utils import timezone
from openpyxl import Workbook

from accesscontrol.access.models import ChannelCommand
from accesscontrol.reservations.models import Reservation
from accounts.models import AuditEvent
from pins.signin.staff.models import StaffSession
from tests.front_desk import (
    BROWSER,
    FRONT_DESK,
    OWNER,
    SECOND,
    SHOWN,
    STAFF_PIN,
    chromium,
    house,
    issue,
    row,
    sit,
)

FIXTURES = (chromium, house, sit)
pytestmark = BROWSER
HOUR = timedelta(hours=1)


def refused_card(board, house, name, door, pin):
    assert house.enter(door, pin) == "rejected"
    card = board.locator(".attention article", has_text=f"{name} was not let in at {door}")
    card.wait_for()
    return card


def test_the_pin_is_copied_without_its_hyphens(house, sit):
    page = sit(permissions=["clipboard-read", "clipboard-write"])
    shown = issue(page, "Ann Arbor")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == shown.replace("-", "")


def test_a_pin_is_shown_again_to_who_proves_who_they_are(house, sit):
    page = sit(OWNER)
    shown = issue(page, "Ann Arbor")
    page.reload()
    page.get_by_role("button", name="Show PIN again").click()
    page.get_by_label("PIN").fill("112233")
    page.keyboard.press("Enter")
    page.get_by_text("This PIN is not right.").first.wait_for()
    assert page.locator(SHOWN).count() == 0
    page.get_by_label("PIN").fill(STAFF_PIN)
    page.keyboard.press("Enter")
    page.locator(SHOWN).wait_for()
    assert page.locator(SHOWN).inner_text() == shown
    assert shown.replace("-", "") not in page.url + page.title()
    page.reload()
    page.get_by_role("heading", name="Ann Arbor").wait_for()
    assert page.locator(SHOWN).count() == 0
    with house.inside():
        assert AuditEvent.objects.filter(verb="reveal").count() == 1


def test_a_visitor_is_let_in_once_from_the_board(house, sit):
    page, board = sit(), sit(SECOND)
    pin = issue(page, "Rita Reject").replace("-", "")
    card = refused_card(board, house, "Rita Reject", "Lab", pin)
    card.get_by_role("button", name="Let in").click()
    board.get_by_text("Lab opens for Rita Reject.").wait_for()
    assert board.locator(".attention article").count() == 0
    with house.inside():
        command = ChannelCommand.objects.get()
        assert (command.kind, command.channel_id) == ("admit", house.doors["Lab"])
    # Once is once: the right has not grown.
    assert house.enter("Lab", pin) == "rejected"


def test_a_visit_is_started_before_its_time_from_the_board(house, sit):
    page, board = sit(), sit(SECOND)
    pin = issue(page, "Ed Early").replace("-", "")
    with house.inside():
        soon = timezone.now() + 2 * HOUR
        Reservation.objects.update(start_time=soon, end_time=soon + HOUR, updated_at=timezone.now())
    card = refused_card(board, house, "Ed Early", "Front Door", pin)
    card.get_by_role("button", name="Start now").click()
    board.get_by_text("The visit of Ed Early starts now.").wait_for()
    assert house.enter("Front Door", pin) == "admitted"
    row(board, "Ed Early").get_by_text("Here").wait_for()


def test_a_door_that_waits_is_seen_and_the_wait_is_lifted(house, sit):
    page, board = sit(), sit(SECOND)
    pin = issue(page, "Wanda Waits").replace("-", "")
    for wrong in ("1357", "2468", "3579", "4680", "5791"):
        house.enter("Front Door", wrong)
    card = board.locator(".attention article", has_text="Front Door is waiting after wrong PINs")
    card.wait_for()
    assert house.enter("Front Door", pin) == "rejected"
    card.get_by_role("button", name="Lift").click()
    board.get_by_text("Front Door takes PINs again.").wait_for()
    assert house.enter("Front Door", pin) == "admitted"


def test_a_group_comes_as_a_workbook(house, sit):
    book, content = Workbook(), BytesIO()
    for line in (["Name", "E-mail"], ["Bea Blue", "bea@example.com"], ["Gus Green", None], ["Rod Red", "nonsense@"]):
        book.active.append(line)
    book.save(content)
    page = sit(path="/desk/visits/new/group/")
    page.get_by_label("Name of the group").fill("Board meeting")
    file = {"name": "guests.xlsx", "mimeType": "application/octet-stream", "buffer": content.getvalue()}
    page.get_by_label("Or a file").set_input_files(file)
    page.get_by_role("button", name="Issue for the group").click()
    page.get_by_text("Nothing was issued").wait_for()
    # What was in the file stands in the box, to be mended there.
    lines = page.get_by_label("Visitors")
    lines.fill(lines.input_value().replace("nonsense@", "rod@example.com"))
    page.get_by_role("button", name="Issue for the group").click()
    page.locator(SHOWN).first.wait_for()
    assert page.locator("#pins td:first-child").all_inner_texts() == ["Bea Blue", "Gus Green", "Rod Red"]
    house.box.to("rod@example.com")


def test_a_message_that_was_refused_is_seen_and_sent_again(house, sit):
    house.box.refused = {"typo@example.com"}
    page, board = sit(), sit(SECOND)
    issue(page, "Fay Failed", "typo@example.com")
    line = row(board, "Fay Failed")
    line.get_by_text("Failed").wait_for()
    board.get_by_role("link", name=re.compile("Message failed")).click()
    line.wait_for()
    line.get_by_role("link", name="Fay Failed", exact=True).click()
    board.get_by_text("There is no such mailbox. Check the address.").wait_for()
    house.box.refused = set()
    board.get_by_role("button", name="Send by e-mail").click()
    board.get_by_text("The message is on its way to Fay Failed.").wait_for()
    house.box.to("typo@example.com")


def test_the_menu_of_a_line_works_with_keys_and_leads_to_the_step(house, sit):
    page = sit()
    issue(page, "Mona Menu", "mona@example.com")
    # What has not left yet would be replaced, and not sent twice.
    house.box.to("mona@example.com")
    page.goto(house.url + "/desk/")
    more = row(page, "Mona Menu").get_by_label("More for Mona Menu")
    more.press("Enter")
    page.locator("#more").get_by_role("link", name="Open").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#more").is_visible()
    assert more.evaluate("element => element === document.activeElement")
    more.press("Enter")
    page.locator("#more").get_by_role("button", name="Resend message").click()
    page.get_by_text("The message is on its way to Mona Menu.").wait_for()
    house.box.to("mona@example.com", number=2)
    more.click()
    page.locator("#more").get_by_role("link", name="End visit").click()
    page.locator("#end[open]").wait_for()
    page.get_by_role("button", name="End visit").click()
    page.get_by_text("The visit of Mona Menu was ended.").wait_for()


def test_what_was_typed_survives_a_locked_screen(house, sit):
    page = sit(path="/desk/visits/new/")
    page.get_by_label("Name", exact=True).fill("Lena Locked")
    page.get_by_text("1 hour", exact=True).click()
    page.get_by_text("Lab", exact=True).click()
    # Nothing of the page asks any more: it is the click that meets the lock.
    page.wait_for_load_state("networkidle")
    with house.inside():
        StaffSession.objects.filter(user__email=FRONT_DESK).update(locked_at=timezone.now())
    page.get_by_role("button", name="Issue PIN").click()
    page.wait_for_url("**/locked/**")
    page.get_by_label("PIN").first.fill(STAFF_PIN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/visits/new/")
    assert page.get_by_label("Name", exact=True).input_value() == "Lena Locked"
    assert page.get_by_label("1 hour").is_checked()
    assert page.get_by_label("Lab").is_checked()
    page.get_by_role("button", name="Issue PIN").click()
    page.locator(SHOWN).wait_for()
    page.goto(house.url + "/desk/visits/new/")
    assert page.get_by_label("Name", exact=True).input_value() == ""
    with house.inside():
        assert Reservation.objects.count() == 1


def test_two_receptionists_do_not_undo_what_was_done_to_a_group(house, sit):
    first, second = sit(path="/desk/visits/new/group/"), sit(SECOND)
    first.get_by_label("Name of the group").fill("Board meeting")
    first.get_by_label("Visitors").fill("Bea Blue\nGus Green")
    first.get_by_role("button", name="Issue for the group").click()
    first.locator(SHOWN).first.wait_for()
    first.get_by_role("link", name="To the group").click()
    first.get_by_role("heading", name="Board meeting").wait_for()
    second.goto(first.url)
    first.get_by_role("button", name="+ 1 hour").click()
    first.get_by_text("was extended").wait_for()
    with house.inside():
        ends = set(Reservation.objects.values_list("end_time", flat=True))
    second.get_by_role("button", name="+ 2 hours").click()
    second.locator(".notice.bad").first.wait_for()
    assert "Changed by" in second.locator(".notice.bad").first.inner_text()
    with house.inside():
        assert set(Reservation.objects.values_list("end_time", flat=True)) == ends
