"""Each endpoint with a PIN, and each way in which a request can be wrong: what status and which number."""

import json
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey
from accounts.tenancy import tenant_context
from pins.signin import pin, tokens
from pins.signin.account import of_subscriber
from pins.signin.api import routes
from pins.signin.models import ResetCode, SignInSettings, Subscriber, Token
from pins.signin.resetting import codes, forgetting
from pins.signin.subscribers import questions
from pins.throttle.models import Throttle
from tests import world
from tests.signin_world import OTHER, PIN, QUESTIONS
from tests.world import BY, PASSWORD

PHONE = "+4915112345678"
WHO = {"email": {"Email": "ann@app.example"}, "username": {"UserName": "ann"}, "phone": {"Phone": PHONE}}
NOBODY = {
    "email": {"Email": "no@app.example"},
    "username": {"UserName": "nobody"},
    "phone": {"Phone": "+4915199999999"},
}


class Shop:
    """A tenant with one account, live tokens and codes of it, and such that are over."""

    def __init__(self, tenant, name="ann"):
        self.now = timezone.now()
        self.pair = keys.mint("app", kind=ApiKey.Kind.SIGNIN, by=BY, now=self.now, requests_per_minute=10**6)
        self.settings, _ = SignInSettings.objects.get_or_create(security_questions=QUESTIONS)
        self.ann = world.a_subscriber(name, pin=PIN, now=self.now, user_name=name, user_name_shown=name, phone=PHONE)
        self.ids = [questions.id_of(text) for text in QUESTIONS[:2]]
        questions.answer(self.ann, dict(zip(self.ids, ("rex", "main street"), strict=True)), by=BY, now=self.now)
        self.client = Client(raise_request_exception=False)

    def token(self, kind, *, over=False, used=False):
        opened = tokens.open_token(kind, self.ann.pk, life=timedelta(hours=1), now=self.now)
        if over:
            Token.objects.filter(pk=opened.token.pk).update(expires_at=self.now)
        if used:
            Token.objects.filter(pk=opened.token.pk).update(used_at=self.now)
        return opened.value

    def code(self, medium, *, over=False, used=False):
        value, _ = codes.issue(self.ann, medium, self.settings, now=self.now)
        if over:
            ResetCode.objects.update(expires_at=self.now)
        if used:
            ResetCode.objects.update(used_at=self.now)
        return value

    def ask(self, method, path, body=None, *, key=None, raw=None, kind="application/json", secret=None, **query):
        text = raw if raw is not None else json.dumps(body) if body is not None else ""
        query = {"apiKey": self.pair.value if key is None else key} | query
        address = f"/identity/v2{path}?" + "&".join(f"{name}={value}" for name, value in query.items() if value)
        headers = {"X-LoginRadius-ApiSecret": secret} if secret else {}
        response = self.client.generic(method, address, text, content_type=kind, headers=headers)
        found = response.json()
        if response.status_code != 200:
            assert set(found) - {"Data"} == {
                "Description",
                "ErrorCode",
                "Message",
                "IsProviderError",
                "ProviderErrorResponse",
            }
        assert response["Cache-Control"] == "no-store"
        return response.status_code, found.get("ErrorCode") if isinstance(found, dict) else None


@pytest.fixture
def shop(acme):
    return Shop(acme)


# Method, path, the body's fields, the query's fields. `…` stands for what the test makes.
ENDPOINTS = {
    "login": ("POST", "/auth/login/pin", {"PIN": PIN}, "session_token"),
    "set": ("POST", "/auth/pin/set/pinauthtoken", {"PIN": OTHER}, "pinAuthToken"),
    "change": ("PUT", "/auth/pin/change", {"OldPIN": PIN, "NewPIN": OTHER}, "access_token"),
    "forgot email": ("POST", "/auth/pin/forgot/email", WHO["email"], ""),
    "forgot username": ("POST", "/auth/pin/forgot/username", WHO["username"], ""),
    "forgot phone": ("POST", "/auth/pin/forgot/otp", WHO["phone"], ""),
    "invalidate": ("GET", "/auth/session_token/invalidate", None, "session_token"),
    "reset token": ("PUT", "/auth/pin/reset/token", {"PIN": OTHER, "ResetToken": "…"}, ""),
    "reset otp email": ("PUT", "/auth/pin/reset/otp/email", {"PIN": OTHER, "Otp": "…"} | WHO["email"], ""),
    "reset otp phone": ("PUT", "/auth/pin/reset/otp/phone", {"PIN": OTHER, "Otp": "…"} | WHO["phone"], ""),
    "reset otp username": ("PUT", "/auth/pin/reset/otp/username", {"PIN": OTHER, "Otp": "…"} | WHO["username"], ""),
    "reset answer email": ("PUT", "/auth/pin/reset/securityanswer/email", {"PIN": OTHER} | WHO["email"], ""),
    "reset answer phone": ("PUT", "/auth/pin/reset/securityanswer/phone", {"PIN": OTHER} | WHO["phone"], ""),
    "reset answer username": ("PUT", "/auth/pin/reset/securityanswer/username", {"PIN": OTHER} | WHO["username"], ""),
    "step up": ("PUT", "/auth/account/reauth/pin", {"PIN": PIN}, "access_token"),
    "confirm": ("POST", "/manage/account/{uid}/reauth/pin", {"SecondFactorValidationToken": "…"}, ""),
}
KINDS = {
    "session_token": Token.Kind.SESSION,
    "pinAuthToken": Token.Kind.PIN_AUTH,
    "access_token": Token.Kind.ACCESS,
}


def prepared(shop, name, **state):
    """The request that is right, with what it shows in this state."""
    method, path, body, shown = ENDPOINTS[name]
    body = None if body is None else dict(body)
    query = {shown: shop.token(KINDS[shown], **state)} if shown else {}
    if name == "set":
        pin.remove_pin(of_subscriber(shop.ann.pk), by=BY, now=shop.now)
    if name == "reset token":
        body["ResetToken"] = shop.token(Token.Kind.RESET, **state)
    if "otp" in name:
        body["Otp"] = shop.code("sms" if "phone" in name else "email", **state)
    if "answer" in name:
        body["SecurityAnswer"] = dict(zip(shop.ids, ("rex", "main street"), strict=True))
    values = {}
    if name == "confirm":
        body["SecondFactorValidationToken"] = shop.token(Token.Kind.STEP_UP, **state)
        values = {"secret": shop.pair.secret}
    return method, path.replace("{uid}", shop.ann.uid.hex), body, query | values


def ask(shop, name, change=lambda body, query: None, **state):
    method, path, body, query = prepared(shop, name, **state)
    change(body, query)
    return shop.ask(method, path, body, **query)


def test_every_endpoint_with_a_pin_is_in_the_table():
    found = {
        (method, path.replace("/{uid}", "/{uid}")) for method, path in routes.AUTH | routes.MANAGE if "pin" in path
    }
    found = {(method, path) for method, path in found if not path.endswith("/forgotpin")}
    assert found | {("GET", "/auth/session_token/invalidate")} == {
        (method, path) for method, path, *_ in ENDPOINTS.values()
    }


@pytest.mark.parametrize("name", ENDPOINTS)
def test_what_is_right_is_answered(shop, settings, name):
    settings.SMS_URL = "json://127.0.0.1:9/{phone}"
    assert ask(shop, name) == (200, None)


# Each field of the body or of the query that is missing.
MISSING = {
    ("login", "PIN"): (403, 1234),
    ("login", "session_token"): (403, 1245),
    ("set", "PIN"): (403, 1234),
    ("set", "pinAuthToken"): (403, 1239),
    ("change", "OldPIN"): (403, 1234),
    ("change", "NewPIN"): (403, 1234),
    ("change", "access_token"): (400, 1060),
    ("forgot email", "Email"): (403, 1032),
    ("forgot username", "UserName"): (400, 1075),
    ("forgot phone", "Phone"): (400, 1076),
    ("invalidate", "session_token"): (403, 1245),
    ("reset token", "PIN"): (403, 1234),
    ("reset token", "ResetToken"): (403, 908),
    ("reset otp email", "PIN"): (403, 1234),
    ("reset otp email", "Otp"): (403, 908),
    ("reset otp email", "Email"): (403, 1032),
    ("reset otp phone", "PIN"): (403, 1234),
    ("reset otp phone", "Otp"): (403, 908),
    ("reset otp phone", "Phone"): (400, 1076),
    ("reset otp username", "PIN"): (403, 1234),
    ("reset otp username", "Otp"): (403, 908),
    ("reset otp username", "UserName"): (400, 1075),
    ("reset answer email", "PIN"): (403, 1234),
    ("reset answer email", "SecurityAnswer"): (403, 1091),
    ("reset answer email", "Email"): (403, 1032),
    ("reset answer phone", "PIN"): (403, 1234),
    ("reset answer phone", "SecurityAnswer"): (403, 1091),
    ("reset answer phone", "Phone"): (400, 1076),
    ("reset answer username", "PIN"): (403, 1234),
    ("reset answer username", "SecurityAnswer"): (403, 1091),
    ("reset answer username", "UserName"): (400, 1075),
    ("step up", "PIN"): (403, 1234),
    ("step up", "access_token"): (400, 1060),
    ("confirm", "SecondFactorValidationToken"): (403, 1193),
    ("confirm", "secret"): (400, 923),
}


def test_every_field_is_missed(shop):
    found = {}
    for name in ENDPOINTS:
        _, _, body, query = prepared(shop, name)
        for field in [*(body or {}), *query]:
            for empty in (True, False):

                def change(body, query, field=field, empty=empty):
                    place = query if field in query else body
                    place.pop(field)
                    if empty and place is body:
                        body[field] = ""

                answer = ask(shop, name, change)
                assert found.setdefault((name, field), answer) == answer, (name, field)
            pin.set_pin(of_subscriber(shop.ann.pk), PIN, by=BY, now=shop.now) if name == "set" and not pin.state(
                of_subscriber(shop.ann.pk)
            ).is_set else None
    assert found == MISSING


# Expired, used, and of a form that is none, where something is shown that can be so.
STALE = {
    "login": ((403, 1246), (403, 1245), (403, 1245)),
    "set": ((403, 1240), (403, 1239), (403, 1239)),
    "change": ((403, 906), (403, 905), (403, 905)),
    "invalidate": ((403, 1246), (403, 1245), (403, 1245)),
    "reset token": ((403, 975), (403, 1242), (403, 973)),
    "reset otp email": ((403, 1187), (403, 1186), (403, 1185)),
    "reset otp phone": ((403, 1069), (403, 1068), (403, 1067)),
    "reset otp username": ((403, 1187), (403, 1186), (403, 1185)),
    "step up": ((403, 906), (403, 905), (403, 905)),
    "confirm": ((403, 1193), (403, 1193), (403, 1193)),
}


@pytest.mark.parametrize("name", STALE)
def test_what_is_over_used_or_unknown(shop, name):
    def unknown(body, query):
        for place in (body or {}, query):
            for field in ("session_token", "pinAuthToken", "access_token"):
                if field in place:
                    place[field] = str(uuid.uuid4())
            for field in ("ResetToken", "Otp", "SecondFactorValidationToken"):
                if field in place:
                    place[field] = "nothing"

    found = (ask(shop, name, over=True), ask(shop, name, used=True), ask(shop, name, unknown))
    assert found == STALE[name]


# A PIN, a code or an answer that is wrong; and what an account that waits is told after five of them.
WRONG = {
    "login": (401, 1236),
    "change": (401, 1241),
    "step up": (401, 1236),
    "reset otp email": (403, 1185),
    "reset otp phone": (403, 1067),
    "reset otp username": (403, 1185),
    "reset answer email": (403, 1093),
    "reset answer phone": (403, 1093),
    "reset answer username": (403, 1093),
}


def spoil(body, query):
    if "SecurityAnswer" in body:
        body["SecurityAnswer"] = dict.fromkeys(body["SecurityAnswer"], "wrong")
    elif "Otp" in body:
        body["Otp"] = f"{(int(body['Otp']) + 1) % 10**6:06}"
    elif "OldPIN" in body:
        body["OldPIN"] = "999999"
    else:
        body["PIN"] = "999999"


@pytest.mark.parametrize("name", WRONG)
def test_five_wrong_tries_lock(shop, name):
    assert [ask(shop, name, spoil) for _ in range(5)] == [WRONG[name]] * 5
    assert ask(shop, name) == (403, 1198)


@pytest.mark.parametrize("name", [name for name in WRONG if name.startswith("reset")])
def test_nobody_is_answered_counted_and_locked_like_somebody(shop, name):
    def nobody(body, query):
        for who, fields in WHO.items():
            if set(fields) <= set(body):
                body.update(NOBODY[who])
        if "Otp" in body:
            body["Otp"] = "123456"

    assert [ask(shop, name, nobody) for _ in range(5)] == [WRONG[name]] * 5
    assert ask(shop, name, nobody) == (403, 1198)


@pytest.mark.parametrize("who", WHO)
def test_forgetting_is_answered_alike_for_nobody(shop, settings, who):
    settings.SMS_URL = "json://127.0.0.1:9/{phone}"
    path = f"/auth/pin/forgot/{'otp' if who == 'phone' else who}"
    for body in (WHO[who], NOBODY[who]):
        assert [shop.ask("POST", path, body) for _ in range(10)] == [(200, None)] * 10
        # A flood on one address ends, nobody's too.
        assert shop.ask("POST", path, body) == (403, 1123 if who == "phone" else 1122)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_what_is_no_json_is_told_so(shop, name):
    method, path, body, query = prepared(shop, name)
    if body is None:
        return
    whole = json.dumps(body | {"note": "Zürich"})
    for raw in ("{", whole[:-3], "[]", '"x"', "null", whole.encode()[:-1], b'{"PIN": "\xff"}', '{"PIN": "\\ud800"}'):
        assert shop.ask(method, path, raw=raw, **query) == (400, 965), raw
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        assert shop.ask(method, path, raw=whole, kind=kind, **query) == (400, 965), kind
    for kind in ("", "application/json; charset=utf-8", "application/vnd.api+json"):
        status, number = shop.ask(method, path, raw="{", kind=kind, **query)
        assert (status, number) == (400, 965)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_keys(shop, name):
    method, path, body, query = prepared(shop, name)
    assert shop.ask(method, path, body, key="", **query) == (400, 922)
    for unknown in (str(uuid.uuid4()), "x", "\x00", "a" * 500):
        assert shop.ask(method, path, body, key=unknown.replace("\x00", "%00"), **query) == (400, 920)
    reader = world.a_reader_key()
    assert shop.ask(method, path, body, key=reader.value, **query) == (403, 901)
    other = "PATCH" if method != "PATCH" else "GET"
    assert shop.ask(other, path, body, **query) == (405, 405)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_another_tenants_key_reaches_nothing(shop, acme, name):
    method, path, body, query = prepared(shop, name)
    [globex] = world.tenants_named("Initech")
    with tenant_context(globex.pk):
        foreign = keys.mint("app", kind=ApiKey.Kind.SIGNIN, by=BY, now=shop.now, requests_per_minute=10**6)
        SignInSettings.objects.create(security_questions=QUESTIONS)
    if "secret" in query:
        assert shop.ask(method, path, body, key=foreign.value, **query) == (401, 902)
        query["secret"] = foreign.secret
    expected = {
        "login": (403, 1245),
        "set": (403, 1239),
        "change": (403, 905),
        "invalidate": (403, 1245),
        "reset token": (403, 973),
        "reset otp email": (403, 1185),
        "reset otp phone": (403, 1067),
        "reset otp username": (403, 1185),
        "step up": (403, 905),
        "confirm": (403, 938),
    }
    with tenant_context(acme.pk):
        before = Subscriber.objects.count(), Token.objects.filter(used_at=None, revoked_at=None).count()
    found = shop.ask(method, path, body, key=foreign.value, **query)
    if name.startswith("forgot"):
        assert found in ((200, None), (403, 908))
        with tenant_context(globex.pk):
            forgetting.work_off(by=BY, now=shop.now)
            assert not Token.objects.exists()
    else:
        assert found == expected.get(name, (403, 1093))
    with tenant_context(acme.pk):
        assert (Subscriber.objects.count(), Token.objects.filter(used_at=None, revoked_at=None).count()) == before


@pytest.mark.parametrize(
    ("path", "number"),
    [("/nothing", 404), ("", 404), ("/auth/pin/forgot", 404), ("/manage/account/x/y/z", 404), ("/%00", 404)],
)
def test_what_is_not_there_is_json_too(shop, path, number):
    assert shop.ask("GET", path) == (404, number)


@pytest.mark.parametrize("name", [name for name in ENDPOINTS if name.startswith(("reset", "set", "change"))])
@pytest.mark.parametrize("value", ["1", "12345", "1" * 13, "12345a", "123456", "345678", "٢٧١٨٢٨", " 805294", "\n"])
def test_a_new_pin_that_is_none_is_refused_and_costs_nothing(shop, name, value):
    def change(body, query):
        body["NewPIN" if "NewPIN" in body else "PIN"] = value

    assert ask(shop, name, change) == (403, 1234)
    assert not Throttle.objects.filter(failures__gt=0).exists()


def test_names_are_taken_in_any_case(shop):
    value = shop.token(Token.Kind.SESSION)
    for path, body, query in (
        ("/Auth/Login/PIN", {"pin": PIN}, {"Session_Token": value, "apiKey": ""}),
        ("/auth/login/pin/", {"Pin": PIN}, {"SESSION_TOKEN": value.upper(), "apiKey": ""}),
    ):
        address = f"/IDENTITY/v2{path}?apikey={shop.pair.value}&" + "&".join(f"{k}={v}" for k, v in query.items() if v)
        response = shop.client.post(address, json.dumps(body), content_type="application/json")
        assert response.status_code == 200, response.content
    header = {"X-LoginRadius-apiKey": shop.pair.value}
    response = shop.client.post(
        f"/identity/v2/auth/login/pin?session_token={value}", {"PIN": PIN}, "application/json", headers=header
    )
    assert response.status_code == 200
    access = response.json()["access_token"]
    for address, headers in (
        (f"/identity/v2/auth/access_token/Validate?ApiKey={shop.pair.value}&access_token={access}", {}),
        (f"/identity/v2/auth/access_token/validate?apiKey={shop.pair.value}", {"Authorization": f"bearer  {access}"}),
    ):
        assert shop.client.get(address, headers=headers).status_code == 200
    # One client sends a plus as it is.
    path = f"/identity/v2/auth/securityquestion/phone?apiKey={shop.pair.value}&phone={PHONE}"
    asked = shop.client.get(path).json()
    assert {question["QuestionId"] for question in asked} == set(shop.ids)
    # A PIN that is a number has lost its zeros.
    assert shop.ask("POST", "/auth/login/pin", {"PIN": 805294}, session_token=value) == (403, 1234)


def test_a_code_dies_after_five_tries_and_a_resend_gives_no_tries_back(shop):
    shop.settings.failures_allowed = 10
    shop.settings.save()
    right = shop.code("email")
    body = {"PIN": OTHER, "Email": "ann@app.example"}
    wrong = f"{(int(right) + 1) % 10**6:06}"
    for _ in range(5):
        assert shop.ask("PUT", "/auth/pin/reset/otp/email", body | {"Otp": wrong}) == (403, 1185)
    assert shop.ask("PUT", "/auth/pin/reset/otp/email", body | {"Otp": right}) == (403, 1185)
    for _ in range(4):
        fresh = shop.code("email")
        assert shop.ask("PUT", "/auth/pin/reset/otp/email", body | {"Otp": "x"}) == (403, 1185)
    # Ten failures in a row, whatever codes there were meanwhile.
    assert shop.ask("PUT", "/auth/pin/reset/otp/email", body | {"Otp": fresh}) == (403, 1198)


def test_three_identifiers_of_one_account_have_no_three_times_as_many_tries(shop):
    for who in ("email", "username"):
        for _ in range(3 if who == "email" else 2):
            body = {"PIN": OTHER, **WHO[who], "SecurityAnswer": dict.fromkeys(shop.ids, "wrong")}
            assert shop.ask("PUT", f"/auth/pin/reset/securityanswer/{who}", body) == (403, 1093)
    answers = dict(zip(shop.ids, ("rex", "main street"), strict=True))
    body = {"PIN": OTHER, **WHO["phone"], "SecurityAnswer": answers}
    assert shop.ask("PUT", "/auth/pin/reset/securityanswer/phone", body) == (403, 1093)


def test_a_blocked_account_stays_out_and_nobody_learns_it_without_the_password(shop):
    from pins.signin.subscribers import blocking

    session = shop.token(Token.Kind.SESSION)
    blocking.block(shop.ann, by=BY, now=shop.now)
    body = {"email": "ann@app.example", "password": PASSWORD}
    assert shop.ask("POST", "/auth/login", body) == (403, 991)
    assert shop.ask("POST", "/auth/login", body | {"password": "x"}) == (401, 966)
    assert shop.ask("POST", "/auth/login/pin", {"PIN": PIN}, session_token=session) == (403, 1245)
    blocking.unblock(shop.ann, by=BY, now=shop.now)
    assert shop.ask("POST", "/auth/login", body) == (200, None)


def test_a_key_has_its_limit_and_the_connection_is_closed(shop):
    few = keys.mint("few", kind=ApiKey.Kind.SIGNIN, by=BY, now=shop.now, requests_per_minute=2)
    address = f"/identity/v2/serverinfo?apiKey={few.value}"
    answers = [shop.client.get(address) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1]["Connection"] == "close"
    assert int(answers[-1]["Retry-After"]) > 0
    assert answers[-1].json()["ErrorCode"] == 1420
