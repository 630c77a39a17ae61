"""The front desk on a line that is cut or slow."""

from accesscontrol.reservations.models import Reservation
from tests.front_desk import BROWSER, SECOND, SHOWN, chromium, house, issue, row, sit

FIXTURES = (chromium, house, sit)
pytestmark = BROWSER


def test_a_board_that_lost_its_line_says_so_and_comes_back_by_itself(house, sit):
    board, elsewhere = sit(), sit(SECOND)
    board.get_by_text("Live", exact=True).wait_for()
    board.context.set_offline(True)
    board.get_by_text("No connection: trying again").wait_for()
    issue(elsewhere, "Ann Arbor")
    assert row(board, "Ann Arbor").count() == 0
    board.context.set_offline(False)
    row(board, "Ann Arbor").get_by_text("Expected").wait_for()
    board.get_by_text("Live", exact=True).wait_for()


def test_on_a_slow_line_the_button_has_heard_and_a_second_click_issues_nothing(house, sit):
    page, held = sit(path="/desk/visits/new/"), []

    def hold(route):
        held.append(route)

    page.route("**/desk/visits/new/", hold)
    page.get_by_label("Name", exact=True).fill("Ann Arbor")
    button = page.get_by_role("button", name="Issue PIN")
    # In one go: a second look at the page would wait until it is gone.
    assert button.evaluate("b => { b.click(); b.click(); return b.getAttribute('aria-busy') }") == "true"
    page.wait_for_timeout(500)
    [route] = held
    route.continue_()
    page.locator(SHOWN).wait_for()
    with house.inside():
        assert Reservation.objects.count() == 1
