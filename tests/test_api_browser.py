"""A real OAuth client (Authlib), a real browser for consent, and the page that shows the API, under a strict policy."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from django.utils import timezone

from accounts import applications, tenants
from accounts.models import OAuthConsent
from accounts.rights import OF_SCOPE, StaffRole
from accounts.tenancy import tenant_transaction
from tests import world
from tests.serving import serving
from tests.test_admin_browser import CHROMIUM, QUIET
from tests.world import BY

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]


@pytest.fixture
def program():
    """The place that the browser is sent back to."""

    class Back(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.seen.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>Back</title>")

        def log_message(self, *args):
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Back) as server:
        server.seen = []
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def watched(context):
    """A page that remembers whatever its content policy stopped."""
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.complaints = []
    page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    return page


def signed_in(browser, address, user, **options):
    context = browser.new_context(**options)
    cookies = world.signed_in(user).cookies.items()
    context.add_cookies([{"name": name, "value": cookie.value, "url": address} for name, cookie in cookies])
    return context


def furnish(redirect_uri, **values):
    now = timezone.now()
    made = applications.register(
        "Room booking", redirect_uris=[redirect_uri], scopes=list(OF_SCOPE), by=BY, now=now, **values
    )
    return made, world.a_member(StaffRole.MANAGER, now=now).user


def test_a_member_connects_an_application_and_it_acts_for_them(live, browser, program, monkeypatch):
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.requests_client import OAuth2Session

    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # a trial on this machine has no certificate
    redirect_uri = f"http://localhost:{program.server_port}/callback"
    made, user = world.committed(live.acme, furnish, redirect_uri, is_for_all_tenants=True)
    with tenant_transaction(live.globex.pk):
        tenants.join(user, StaffRole.AUDITOR, by=BY, now=timezone.now())
    with serving() as address:
        client = OAuth2Session(
            made.application.client_id,
            made.secret,
            scope="account.person account.channel.readonly",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_post",
            revocation_endpoint_auth_method="client_secret_post",
        )
        verifier = "v" * 64
        url, _state = client.create_authorization_url(f"{address}/oauth/authorize", code_verifier=verifier)
        page = watched(signed_in(browser, address, user))
        page.goto(url)
        assert page.get_by_role("heading", name="Let “Room booking” act for you?").is_visible()
        assert page.get_by_text("See and change people, their PINs and visits").is_visible()
        page.get_by_label("In which organisation?").select_option(label="Acme")
        page.get_by_role("button", name="Allow", exact=True).click()
        page.wait_for_url(f"{redirect_uri}*")
        assert page.complaints == []
        [came] = [path for path in program.seen if path.startswith("/callback")]
        answered = f"http://localhost:{program.server_port}{came}"
        token = client.fetch_token(f"{address}/oauth/token", authorization_response=answered, code_verifier=verifier)
        assert client.get(f"{address}/api/3/account").json()["name"] == "Acme"
        assert client.post(f"{address}/api/3/people", json={"first_name": "Ann"}).status_code == 201
        first = dict(token)
        client.refresh_token(f"{address}/oauth/token", refresh_token=first["refresh_token"])
        assert client.token["refresh_token"] != first["refresh_token"]
        assert client.get(f"{address}/oauth/token/info").json()["account_id"] == "acme"
        with pytest.raises(OAuthError, match="invalid_grant"):
            client.fetch_token(f"{address}/oauth/token", authorization_response=answered, code_verifier=verifier)
        assert client.revoke_token(f"{address}/oauth/revoke", token=client.token["access_token"]).json() == {}
        assert client.get(f"{address}/api/3/account", withhold_token=False).status_code == 401
    with tenant_transaction(live.acme.pk):
        assert OAuthConsent.objects.get().membership.user_id == user.pk


def test_saying_no_leads_back_without_a_code(live, browser, program):
    redirect_uri = f"http://localhost:{program.server_port}/callback"
    made, user = world.committed(live.acme, furnish, redirect_uri, pkce_optional=True)
    with serving() as address:
        page = watched(signed_in(browser, address, user))
        query = f"response_type=code&client_id={made.application.client_id}&scope=account.person&state=s"
        page.goto(f"{address}/oauth/authorize?{query}")
        page.get_by_role("button", name="Do not allow").click()
        page.wait_for_url(f"{redirect_uri}*")
        assert "error=access_denied" in page.url
        assert page.complaints == []


def test_the_api_is_browsed_without_asking_anybody_else(live, browser):
    with serving() as address:
        page = watched(browser.new_context(viewport={"width": 1440, "height": 900}))
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/api/3/docs/")
        page.get_by_text("List people").first.wait_for()
        page.get_by_text("List people").first.click()
        page.get_by_text("A whole address, or a part of one.").first.wait_for()
        assert [url for url in asked if not url.startswith((address, "data:"))] == []
        assert page.complaints == []
