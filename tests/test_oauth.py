"""OAuth: consent in a tenant, tokens that end with it, rotation, revocation and what an application is told."""

import base64
import hashlib
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts import applications, tasks, tenants
from accounts.audit import Actor
from accounts.models import (
    AuditEvent,
    OAuthAccessToken,
    OAuthApplication,
    OAuthConsent,
    OAuthGrant,
    OAuthRefreshToken,
    User,
)
from accounts.rights import OF_SCOPE, StaffRole
from accounts.tenancy import tenant_context
from tests import world
from tests.world import BY

BACK = "https://booking.example/callback"
VERIFIER = "a-verifier-of-forty-three-characters-or-more-000"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


class Flow:
    """One application of Acme, and a member of staff who is signed in."""

    def __init__(self, role=StaffRole.MANAGER, scopes=("account.person", "account.channel.readonly"), **values):
        self.now = timezone.now()
        values = {"redirect_uris": [BACK], "scopes": list(OF_SCOPE), **values}
        made = applications.register("Booking", by=BY, now=self.now, **values)
        self.application, self.secret = made.application, made.secret
        self.membership = world.a_member(role, f"{role}@acme.example", now=self.now)
        self.scopes, self.browser, self.program = scopes, world.signed_in(self.membership.user), Client()

    def address(self, **changes):
        asked = {
            "response_type": "code",
            "client_id": self.application.client_id,
            "redirect_uri": BACK,
            "scope": " ".join(self.scopes),
            "state": "xyz",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return "/oauth/authorize?" + urlencode({name: value for name, value in asked.items() if value is not None})

    def allow(self, tenant, allow="yes", **changes):
        response = self.browser.post(self.address(**changes), {"tenant": tenant.pk, "allow": allow})
        return response, {
            name: value[0] for name, value in parse_qs(urlsplit(response.get("Location", "")).query).items()
        }

    def token(self, **fields):
        sent = {"client_id": self.application.client_id, "client_secret": self.secret, **fields}
        return self.program.post("/oauth/token", {name: value for name, value in sent.items() if value is not None})

    def exchange(self, code, **fields):
        return self.token(
            **{
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": BACK,
                "code_verifier": VERIFIER,
                **fields,
            }
        )

    def refresh(self, token, **fields):
        return self.token(grant_type="refresh_token", refresh_token=token, **fields)

    def connect(self, tenant):
        _, back = self.allow(tenant)
        answer = self.exchange(back["code"])
        assert answer.status_code == 200, answer.content
        return answer.json()

    def ask(self, token, path="/api/3/account"):
        return self.program.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def flow(acme):
    return Flow()


def test_the_whole_flow_answers_with_the_contracts_fields(acme, flow):
    page = flow.browser.get(flow.address())
    text = page.content.decode()
    assert page.status_code == 200
    for words in ("Booking", "Acme", "See and change people, their PINs and visits"):
        assert words in text
    assert "form-action 'self' https://booking.example" in page["Content-Security-Policy"]
    answer, back = flow.allow(acme)
    assert answer.status_code == 302
    assert answer["Location"].startswith(BACK + "?")
    assert back["state"] == "xyz"
    response = flow.exchange(back["code"])
    token = response.json()
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert {"access_token", "token_type", "expires_in", "refresh_token", "scope", "created_at"} <= token.keys()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert set(token["scope"].split()) == set(flow.scopes)
    assert abs(token["created_at"] - timezone.now().timestamp()) < 120
    info = flow.ask(token["access_token"], "/oauth/token/info").json()
    assert info["application"] == {"uid": flow.application.client_id}
    assert (info["account_id"], info["resource_owner_id"]) == ("acme", flow.membership.pk)
    assert set(info["scope"]) == set(flow.scopes)
    assert 0 < info["expires_in"] <= 3600
    assert flow.ask(token["access_token"]).json()["name"] == "Acme"
    assert flow.ask(token["access_token"]).json()["user"]["email"] == flow.membership.user.email
    assert flow.ask(token["access_token"], "/api/3/people").status_code == 200


def test_nothing_that_works_is_kept_in_the_clear(acme, flow):
    _, back = flow.allow(acme)
    assert OAuthGrant.objects.get().code == hashlib.sha256(back["code"].encode()).hexdigest()
    token = flow.exchange(back["code"]).json()
    kept = OAuthRefreshToken.objects.select_related("access_token").get()
    assert kept.token == kept.access_token.token == ""
    assert flow.secret not in OAuthApplication.objects.get(pk=flow.application.pk).client_secret
    assert token["access_token"].startswith("gho_")
    assert len(token["access_token"]) == 36


def test_a_code_works_once_for_its_client_address_and_verifier(acme, flow):
    for wrong in (
        {"code_verifier": "wrong-verifier-of-forty-three-characters-or-more"},
        {"code_verifier": None},
        {"redirect_uri": "https://booking.example/other"},
    ):
        _, back = flow.allow(acme)
        answer = flow.exchange(back["code"], **wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"] in ("invalid_grant", "invalid_request"), wrong
    _, back = flow.allow(acme)
    assert flow.exchange(back["code"], client_secret="wrong").status_code == 401
    assert flow.exchange(back["code"], client_secret="wrong").json()["error"] == "invalid_client"
    assert flow.exchange(back["code"]).status_code == 200
    again = flow.exchange(back["code"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_code_lives_ten_minutes_and_a_token_one_hour(acme, flow):
    with time_machine.travel(timezone.now(), tick=False) as clock:
        _, early = flow.allow(acme)
        clock.shift(timedelta(minutes=9, seconds=59))
        token = flow.exchange(early["code"]).json()["access_token"]
        _, late = flow.allow(acme)
        clock.shift(timedelta(minutes=10))
        assert flow.exchange(late["code"]).status_code == 400
        clock.shift(timedelta(minutes=49, seconds=59))
        assert flow.ask(token).status_code == 200
        clock.shift(timedelta(seconds=2))
        assert flow.ask(token).status_code == 401
        assert flow.ask(token).json()["error"] == "invalid_token"


def test_a_refresh_rotates_and_a_reused_one_kills_the_family(acme, flow):
    first = flow.connect(acme)
    second = flow.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert flow.ask(first["access_token"]).status_code == 401
    assert flow.ask(second["access_token"]).status_code == 200
    stolen = flow.refresh(first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert flow.ask(second["access_token"]).status_code == 401
    assert flow.refresh(second["refresh_token"]).status_code == 400
    assert AuditEvent.objects.filter(verb="refuse_reuse", subject_type="oauth_consent").exists()


def test_what_can_do_nothing_any_more_is_forgotten(acme, flow):
    """What lives or guards something that lives stays: a token, its refresh, and the one that was used before."""
    first = flow.connect(acme)
    second = flow.refresh(first["refresh_token"]).json()
    flow.allow(acme)

    def kept():
        return OAuthGrant.objects.count(), OAuthAccessToken.objects.count(), OAuthRefreshToken.objects.count()

    start = timezone.now()
    tasks.forget_tokens()
    assert kept() == (1, 1, 2)
    with time_machine.travel(start + timedelta(days=2), tick=False):
        tasks.forget_tokens()
    assert kept() == (0, 1, 2), "the code is gone; the pair can still be refreshed"
    assert flow.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert flow.refresh(second["refresh_token"]).json()["error"] == "invalid_grant", "the family died of it"
    applications.forget_tokens(start + timedelta(days=181))
    applications.forget_tokens(start + timedelta(days=181))
    assert kept() == (0, 0, 0)
    again = flow.connect(acme)
    applications.forget_tokens(start + timedelta(days=180))
    assert OAuthRefreshToken.objects.filter(revoked=None).exists()
    assert flow.refresh(again["refresh_token"]).status_code == 200


def test_a_refresh_may_narrow_scopes_and_never_widen_them(acme, flow):
    token = flow.connect(acme)
    wider = flow.refresh(token["refresh_token"], scope="account.person account.channel.admit")
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")
    narrow = flow.refresh(token["refresh_token"], scope="account.channel.readonly").json()
    assert flow.ask(narrow["access_token"], "/api/3/channels").status_code == 200
    assert flow.ask(narrow["access_token"], "/api/3/people").status_code == 403


def test_revoking_either_token_ends_both(acme, flow):
    basic = base64.b64encode(f"{flow.application.client_id}:{flow.secret}".encode()).decode()
    for hint in ("access_token", "refresh_token"):
        token = flow.connect(acme)
        sent = {"token": token[hint], "token_type_hint": hint}
        answer = flow.program.post("/oauth/revoke", sent, headers={"Authorization": f"Basic {basic}"})
        assert (answer.status_code, answer.json()) == (200, {})
        assert flow.ask(token["access_token"]).status_code == 401
        assert flow.refresh(token["refresh_token"]).status_code == 400
    unknown = flow.program.post("/oauth/revoke", {"token": "x"}, headers={"Authorization": f"Basic {basic}"})
    assert (unknown.status_code, unknown.json()) == (200, {})
    wrong = flow.program.post(
        "/oauth/revoke", {"token": "x", "client_id": flow.application.client_id, "client_secret": "y"}
    )
    assert (wrong.status_code, wrong.json()["error"]) == (403, "unauthorized_client")


def test_another_application_revokes_nothing_here(acme, flow):
    token = flow.connect(acme)
    other = applications.register("Other", redirect_uris=[BACK], scopes=["account.person"], by=BY, now=flow.now)
    sent = {"token": token["access_token"], "client_id": other.application.client_id, "client_secret": other.secret}
    assert flow.program.post("/oauth/revoke", sent).status_code == 200
    assert flow.ask(token["access_token"]).status_code == 200
    stolen = flow.refresh(token["refresh_token"], client_id=other.application.client_id, client_secret=other.secret)
    assert stolen.status_code == 400


@pytest.mark.parametrize("role", StaffRole)
def test_a_token_may_what_its_scopes_and_its_member_may(acme, role):
    flow = Flow(role, scopes=list(OF_SCOPE))
    token = flow.connect(acme)["access_token"]
    may = world.signed_in(flow.membership.user)
    assert may is not None
    statuses = {
        path: flow.ask(token, f"/api/3/{path}").status_code for path in ("account", "people", "channels", "events")
    }
    reading = 403 if role == StaffRole.HOST else 200
    assert statuses == {"account": 200, "people": reading, "channels": reading, "events": reading}
    answer = flow.program.post(
        "/api/3/people", {"first_name": "Ann"}, "application/json", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == (403 if role in (StaffRole.HOST, StaffRole.AUDITOR) else 201)


def _leave(flow):
    tenants.leave(flow.membership, by=BY, now=timezone.now())


def _leave_and_return(flow):
    _leave(flow)
    tenants.join(flow.membership.user, StaffRole.MANAGER, by=BY, now=timezone.now())


def _deactivate(flow):
    User.objects.filter(pk=flow.membership.user_id).update(is_active=False)


def _disconnect(flow):
    applications.disconnect(OAuthConsent.objects.get(ended_at=None), by=BY, now=timezone.now())


def _disable(flow):
    applications.change(flow.application, {"state": "disabled"}, by=BY, now=timezone.now())


@pytest.mark.parametrize("end", [_leave, _leave_and_return, _deactivate, _disconnect, _disable])
def test_a_connection_ends_at_once(acme, flow, end):
    token = flow.connect(acme)
    _, pending = flow.allow(acme)
    end(flow)
    assert flow.ask(token["access_token"]).status_code == 401
    assert flow.refresh(token["refresh_token"]).status_code in (400, 401)
    assert flow.exchange(pending["code"]).status_code in (400, 401)


def test_saying_no_tells_the_application_so(acme, flow):
    answer, back = flow.allow(acme, allow="no")
    assert (answer.status_code, back["error"], back["state"]) == (302, "access_denied", "xyz")
    assert not OAuthConsent.objects.exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "account.everything"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_a_bad_request_goes_back_to_the_application(acme, flow, changes, error):
    for answer in (flow.browser.get(flow.address(**changes)), flow.allow(acme, **changes)[0]):
        assert answer.status_code == 302
        back = parse_qs(urlsplit(answer["Location"]).query)
        assert answer["Location"].startswith(BACK)
        assert back["error"][0] in (error, "unsupported_response_type"), back
        assert "code" not in back


@pytest.mark.parametrize(
    "changes",
    [{"client_id": "nobody"}, {"client_id": "\x00"}, {"redirect_uri": "https://evil.example/"}, {"client_id": None}],
)
def test_what_is_not_proven_gets_a_page(acme, flow, changes):
    answer = flow.browser.get(flow.address(**changes))
    assert answer.status_code == 400
    assert "This cannot be connected" in answer.content.decode()


def test_whoever_is_not_signed_in_signs_in_first(acme, flow):
    answer = Client().get(flow.address())
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer["Location"]).query)["next"] == [flow.address()]


def test_staff_of_another_tenant_cannot_connect_it(acme, flow):
    [other] = world.tenants_named("Other")
    with tenant_context(other.pk):
        stranger = world.signed_in(world.a_member(StaffRole.OWNER, "mallory@other.example").user)
    assert stranger.get(flow.address()).status_code == 403
    for tenant in (acme, other):
        assert stranger.post(flow.address(), {"tenant": tenant.pk, "allow": "yes"}).status_code == 403
    assert not OAuthConsent.objects.exists()


def test_an_application_for_all_acts_in_the_tenant_that_was_chosen(acme):
    flow = Flow(is_for_all_tenants=True)
    [other] = world.tenants_named("Other")
    with tenant_context(other.pk):
        tenants.join(flow.membership.user, StaffRole.AUDITOR, by=BY, now=flow.now)
    page = flow.browser.get(flow.address()).content.decode()
    assert "In which organisation?" in page
    token = flow.connect(other)
    assert flow.ask(token["access_token"]).json()["name"] == "Other"
    with tenant_context(acme.pk):
        renewed = applications.renew_secret(flow.application, by=BY, now=flow.now)
    assert flow.refresh(token["refresh_token"]).status_code == 401
    token = flow.refresh(token["refresh_token"], client_secret=renewed).json()
    assert flow.ask(token["access_token"], "/api/3/people").status_code == 200
    assert flow.browser.post(flow.address(), {"tenant": "999999", "allow": "yes"}).status_code == 400
    with tenant_context(acme.pk):
        applications.change(flow.application, {"is_for_all_tenants": False}, by=BY, now=flow.now)
    assert flow.ask(token["access_token"]).status_code == 401


def test_a_program_without_pkce_needs_leave_and_a_secret(acme):
    without = {"code_challenge": None, "code_challenge_method": None}
    flow = Flow(pkce_optional=True)
    _, back = flow.allow(acme, **without)
    assert flow.exchange(back["code"], code_verifier=None).status_code == 200
    public = applications.register(
        "Telephone",
        redirect_uris=[BACK],
        scopes=["account.person"],
        is_public=True,
        pkce_optional=True,
        by=BY,
        now=flow.now,
    )
    assert public.secret is None
    flow.application, flow.secret, flow.scopes = public.application, None, ["account.person"]
    _, back = flow.allow(acme, **without)
    assert back["error"] == "invalid_request"
    _, back = flow.allow(acme)
    assert flow.exchange(back["code"]).status_code == 200


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://booking.example/",
        "https://a@b.example/",
        "https://x.example/#f",
        "javascript:alert(1)",
        "https://",
        "//x",
    ],
)
def test_an_address_that_is_not_safe_is_refused(acme, uri):
    with pytest.raises((applications.UnsafeRedirect, applications.NoWayBack)):
        applications.register("X", redirect_uris=[uri], scopes=["account.person"], by=BY, now=world.NOW)


def test_loopback_is_for_testing_alone(acme):
    made = applications.register(
        "X", redirect_uris=["http://localhost:3000/callback"], scopes=["account.person"], by=BY, now=world.NOW
    )
    with pytest.raises(applications.UnsafeRedirect):
        applications.change(made.application, {"state": "live"}, by=BY, now=world.NOW)


def test_the_token_endpoint_takes_garbage(acme, flow):
    for fields in (
        {},
        {"grant_type": "password"},
        {"grant_type": "refresh_token"},
        {"grant_type": "authorization_code"},
    ):
        answer = flow.token(**fields)
        assert answer.status_code in (400, 401)
        assert answer.json()["error"]
    assert flow.token(grant_type="refresh_token", refresh_token="\x00").status_code == 400
    assert flow.program.get("/oauth/token").status_code == 405
    assert flow.program.get("/oauth/token/info").status_code == 401
    assert flow.program.get("/oauth/token/info", headers={"X-API-Key": world.an_api_key()}).status_code == 401


def test_every_step_is_audited_by_whom(acme, flow):
    token = flow.connect(acme)
    given = OAuthConsent.objects.get()
    consent = AuditEvent.objects.get(verb="consent")
    assert (consent.actor_kind, consent.actor_id) == ("staff", flow.membership.pk)
    flow.program.post(
        "/api/3/people",
        {"first_name": "Ann"},
        "application/json",
        headers={"Authorization": f"Bearer {token['access_token']}"},
    )
    created = AuditEvent.objects.filter(verb="create", subject_type="person").latest("id")
    assert Actor(created.actor_kind, created.actor_id) == Actor("token", given.pk)
