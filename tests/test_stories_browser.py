"""The first page and the stories of the admin in a browser: charts that are pressed, read aloud, and fit a phone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access.models import Alarm, Event
from accesscontrol.credentials.models import Credential
from accounts.tenancy import tenant_transaction
from tests import world
from tests.test_admin_browser import CHROMIUM, STANDS, house, page, sign_in  # noqa: F401

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture
def busy(live, house):  # noqa: F811
    """The same house with a site more and a week behind it."""
    address, ann = house
    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        other = world.a_site("Warehouse", time_zone="Asia/Kolkata")
        gate = world.a_door("Gate", site=other)
        front = Event.channel.field.related_model.objects.get(name="Front Door")
        pin = world.a_pin(world.a_person("Bea", last_name="Blue", now=now), now=now)
        for number in range(60):
            Event.objects.create(
                channel=gate if number % 3 == 0 else front,
                person_id=ann if number % 2 else None,
                credential=pin.credential if number % 2 else None,
                code=11,
                admitted=number % 5 != 0,
                reason="" if number % 5 else "invalid_pin",
                occurred_at=now - timedelta(hours=3 * number),
            )
        Alarm.objects.create(kind="guessing", site=front.site, channel=front, raised_at=now)
        rows = {"front": front.pk, "other": other.pk, "pin": Credential.objects.order_by("pk").first().pk}
    return {"address": address, "ann": ann, **rows}


def test_a_bar_leads_to_its_events_and_the_site_stays_chosen(busy, page):  # noqa: F811
    sign_in(busy["address"], page)
    page.get_by_label("Site", exact=True).select_option(label="Warehouse")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Times are IST (Asia/Kolkata).").wait_for()
    page.get_by_role("link", name="30 days").click()
    assert f"site={busy['other']}" in page.url
    assert page.get_by_label("Site", exact=True).input_value() == str(busy["other"])
    bar = page.locator(".gh-bars a").first
    told = int(bar.locator("title").text_content().split(": ")[1].split()[0])
    bar.click()
    page.locator("#result_list").wait_for()
    assert page.locator("#result_list tbody tr").count() == told
    assert page.locator("#result_list").get_by_text("Front Door").count() == 0

    page.goto(busy["address"])
    page.get_by_text("As a table").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("region", name="By hour, as a table").get_by_role("link").first.wait_for()
    assert page.complaints == []


def test_the_story_of_a_person_leads_to_the_access_check(busy, page):  # noqa: F811
    sign_in(busy["address"], page)
    page.goto(f"{busy['address']}people/person/{busy['ann']}/change/")
    page.locator("#check-door").select_option(label="Front Door (Head Office)")
    page.get_by_role("button", name="May they open it?").click()
    page.get_by_role("status").wait_for()
    page.goto(f"{busy['address']}doors/channel/{busy['front']}/change/")
    page.get_by_label("Person", exact=True).fill("Ann Archer")
    page.get_by_role("button", name="May they open it?").click()
    assert "Ann Archer" in page.get_by_role("status").inner_text()
    page.goto(f"{busy['address']}access/event/")
    page.locator("a").filter(has_text="Filters").first.click()
    page.get_by_label("By decision").select_option("not")
    page.get_by_role("button", name="Apply Filters").click()
    page.locator("#result_list").wait_for()
    assert "decision=not" in page.url
    assert page.locator("#result_list").get_by_text("Let in", exact=True).count() == 0
    assert page.complaints == []


def test_no_page_of_these_offends_whoever_cannot_see_hear_or_point(busy, page):  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    axe, found = Axe(), []
    sign_in(busy["address"], page)
    paths = [
        "",
        f"?site={busy['other']}&hours=today&days=30",
        f"people/person/{busy['ann']}/change/",
        f"credentials/credential/{busy['pin']}/change/",
        f"doors/channel/{busy['front']}/change/",
    ]
    # Colours differ by scheme and the layout by width: two of the four show both.
    for scheme, width in (("light", 1440), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        for path in paths:
            page.goto(busy["address"] + path)
            page.wait_for_function(STANDS)
            for details in page.locator("details").all():
                details.evaluate("it => it.open = true")
            context = {"include": [["#content"]]}
            results = axe.run(page, context=context, options={"runOnly": WCAG, "resultTypes": ["violations"]})
            found += [
                (scheme, width, path, broken["id"], node["html"][:200])
                for broken in results.response["violations"]
                for node in broken["nodes"][:3]
            ]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, path)
    assert found == []
    assert page.complaints == []
