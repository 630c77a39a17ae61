"""Every flow of PIN sign-in, driven by the official SDK against the running server."""

import re
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import requests
from django.db import connections
from django.utils import timezone

from accounts.models import AuditEvent
from pins.signin.models import SignInPin, Subscriber, Token
from pins.throttle.models import Throttle
from tests import signin_world
from tests.conftest import _empty
from tests.signin_world import OTHER, PASSWORD, PIN, QUESTIONS, THIRD

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture(scope="module")
def url(django_db_setup, django_db_blocker, tmp_path_factory):
    with django_db_blocker.unblock():
        try:
            with signin_world.server(tmp_path_factory.mktemp("web") / "web.log") as url:
                yield url
        finally:
            connections.close_all()
            _empty()


@pytest.fixture
def app(url, settings):
    settings.PUBLIC_URL = url
    settings.SMS_URL = "json://127.0.0.1:9/{phone}"
    return signin_world.application(signin_world.a_tenant(), url)


@pytest.fixture
def ann(app):
    """Registered with a PIN; what the registration answered."""
    answer = app.register(PINInfo={"PIN": PIN, "Skipped": False})
    assert answer.get("IsPosted") is True, answer
    return answer["Data"]


def code_of(answer):
    return answer.get("ErrorCode"), sorted(answer) == [
        "Description",
        "ErrorCode",
        "IsProviderError",
        "Message",
        "ProviderErrorResponse",
    ]


def is_tokens(answer):
    assert "ErrorCode" not in answer, answer
    for name in ("access_token", "refresh_token", "session_token"):
        assert str(uuid.UUID(answer[name])) == answer[name]
    for name in ("expires_in", "session_expires_in"):
        assert answer[name].endswith("Z")
        assert datetime.fromisoformat(answer[name]) > datetime.now(UTC)
    return True


def test_register_with_a_pin_then_sign_in_with_the_pin_alone(app, ann):
    assert is_tokens(ann)
    assert ann["Profile"]["PIN"] | {"LastPINChangeDate": ""} == {
        "PIN": None,
        "Skipped": False,
        "SkippedDate": None,
        "LastPINChangeDate": "",
        "LastPINChangeToken": None,
        "IsSet": True,
    }
    again = app.sdk.pin_authentication.pin_login({"PIN": PIN}, ann["session_token"])
    assert is_tokens(again)
    assert again["access_token"] != ann["access_token"]
    # A PIN alone never lengthens what the password opened.
    assert again["session_token"] == ann["session_token"]
    assert again["session_expires_in"] == ann["session_expires_in"]
    lasts = datetime.fromisoformat(ann["session_expires_in"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < lasts <= timedelta(minutes=10)
    assert app.sdk.authentication.auth_validate_access_token(again["access_token"])["expires_in"] == again["expires_in"]
    assert app.sdk.authentication.get_access_token_info(again["access_token"])["provider"] == "Email"
    profile = app.sdk.authentication.get_profile_by_access_token(again["access_token"])
    assert (profile["Email"][0]["Value"], profile["UserName"]) == ("ann@app.example", "Ann")


def test_login_by_every_identifier(app, ann):
    phone = ann["Profile"]["PhoneId"]
    sdk = app.sdk
    assert is_tokens(sdk.authentication.login_by_email({"email": " ANN@app.example", "password": PASSWORD}))
    assert is_tokens(sdk.authentication.login_by_user_name({"username": "aNN", "password": PASSWORD}))
    assert is_tokens(sdk.phone_authentication.login_by_phone({"phone": phone, "password": PASSWORD}))
    for answer in (app.login(password="wrong"), app.login("nobody")):
        assert code_of(answer) == (966, True)


def test_a_required_pin_stands_before_the_login(app):
    app.set(mode="required", asked_at_registration=False)
    assert app.register() == {"IsPosted": True, "Data": None}
    demanded = app.login()
    assert demanded["ErrorCode"] == 1243
    assert "access_token" not in demanded
    token = demanded["Data"]["PINAuthToken"]
    sdk = app.sdk.pin_authentication
    # What is refused leaves the token as it was.
    assert sdk.set_pin_by_pin_auth_token({"PIN": "123456"}, token)["ErrorCode"] == 1234
    assert sdk.set_pin_by_pin_auth_token({"pin": "80529"}, token)["ErrorCode"] == 1234
    found = sdk.set_pin_by_pin_auth_token({"PIN": PIN}, token)
    assert is_tokens(found)
    assert code_of(sdk.set_pin_by_pin_auth_token({"PIN": PIN}, token)) == (1239, True)
    assert is_tokens(sdk.pin_login({"PIN": PIN}, found["session_token"]))
    assert is_tokens(app.login())
    # A PIN that is required is asked for at registration too, where the tenant wants that.
    app.set(mode="required", asked_at_registration=True)
    assert app.register("bob")["ErrorCode"] == 1234
    assert app.register("bob", PINInfo={"Skipped": True})["ErrorCode"] == 1234
    assert is_tokens(app.register("bob", PIN=OTHER)["Data"])


def test_an_optional_pin_is_skipped_or_set_through_the_profile(app):
    answer = app.register(PINInfo={"PIN": "", "Skipped": True})["Data"]
    assert answer["Profile"]["PIN"]["Skipped"] is True
    session, access = answer["session_token"], answer["access_token"]
    assert app.sdk.pin_authentication.pin_login({"PIN": PIN}, session)["ErrorCode"] == 1235
    update = app.sdk.authentication.update_profile_by_access_token
    assert update(access, {"PINInfo": {"PIN": "111111"}})["ErrorCode"] == 1234
    changed = update(access, {"PINInfo": {"PIN": PIN}, "FirstName": "Ann"})
    assert changed["IsPosted"] is True
    assert (changed["Data"]["FirstName"], changed["Data"]["PIN"]["IsSet"]) == ("Ann", True)
    assert is_tokens(app.sdk.pin_authentication.pin_login({"PIN": PIN}, session))
    # Whoever has the access token alone cannot replace a PIN.
    assert update(access, {"PINInfo": {"PIN": OTHER}})["ErrorCode"] == 908


def test_wrong_pins_lock_and_a_lock_ends(app, ann):
    sdk = app.sdk.pin_authentication
    for _ in range(5):
        assert code_of(sdk.pin_login({"PIN": OTHER}, ann["session_token"])) == (1236, True)
    locked = sdk.pin_login({"PIN": PIN}, ann["session_token"])
    assert locked["ErrorCode"] == 1198
    wait = datetime.fromisoformat(locked["Data"]["LoginLockedTimeout"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < wait <= timedelta(minutes=15)
    assert app.sdk.authentication.get_profile_by_access_token(ann["access_token"])["IsLoginLocked"] is True
    # The wait passes.
    app.inside(lambda: Throttle.objects.update(wait_until=timezone.now()))
    assert is_tokens(sdk.pin_login({"PIN": PIN}, ann["session_token"]))
    verbs = app.inside(lambda: list(AuditEvent.objects.order_by("id").values_list("verb", flat=True)))
    assert [verb for verb in verbs if verb in ("mistake", "lock", "bar", "confirm")] == [
        *["mistake"] * 5,
        "lock",
        "bar",
        "confirm",
    ]


def test_a_changed_pin_ends_other_logins(app, ann):
    second = app.login()
    change = app.sdk.pin_authentication.change_pin_by_access_token
    assert code_of(change(second["access_token"], {"OldPIN": OTHER, "NewPIN": THIRD})) == (1241, True)
    assert change(second["access_token"], {"OldPIN": PIN, "NewPIN": "000000"})["ErrorCode"] == 1234
    assert change(second["access_token"], {"OldPIN": PIN, "NewPIN": PIN})["ErrorCode"] == 1234
    assert change(second["access_token"], {"oldPIN": PIN, "newPIN": OTHER}) == {"IsPosted": True}
    validate = app.sdk.authentication.auth_validate_access_token
    assert code_of(validate(ann["access_token"])) == (905, True)
    assert "expires_in" in validate(second["access_token"])
    login = app.sdk.pin_authentication.pin_login
    assert login({"PIN": PIN}, second["session_token"])["ErrorCode"] == 1236
    assert is_tokens(login({"PIN": OTHER}, second["session_token"]))


def test_invalidating_ends_every_pin_session(app, ann):
    second = app.login()
    sdk = app.sdk.pin_authentication
    assert sdk.in_validate_pin_session_token(second["session_token"]) == {"IsPosted": True}
    for session in (ann["session_token"], second["session_token"]):
        assert code_of(sdk.pin_login({"PIN": PIN}, session)) == (1245, True)
        assert code_of(sdk.in_validate_pin_session_token(session)) == (1245, True)
    assert "expires_in" in app.sdk.authentication.auth_validate_access_token(ann["access_token"])
    assert app.sdk.authentication.auth_in_validate_access_token(ann["access_token"]) == {"IsPosted": True}
    assert code_of(app.sdk.authentication.auth_validate_access_token(ann["access_token"])) == (905, True)


def test_a_changed_password_ends_every_pin_session(app, ann):
    second = app.login()
    change = app.sdk.authentication.change_password
    new = "another quiet evening"
    assert change(second["access_token"], new, "wrong")["ErrorCode"] == 966
    assert change(second["access_token"], new, PASSWORD) == {"IsPosted": True}
    for session in (ann["session_token"], second["session_token"]):
        assert app.sdk.pin_authentication.pin_login({"PIN": PIN}, session)["ErrorCode"] == 1245
    assert app.login()["ErrorCode"] == 966
    assert is_tokens(app.login(password=new))
    assert app.sdk.account.set_account_password_by_uid(PASSWORD, ann["Profile"]["Uid"]) == {"IsPosted": True}
    assert code_of(app.sdk.authentication.auth_validate_access_token(second["access_token"])) == (905, True)


def test_step_up(app, ann):
    app.set(pin_login=False)
    sdk = app.sdk
    assert code_of(sdk.pin_authentication.pin_login({"PIN": PIN}, ann["session_token"])) == (1244, True)
    verify = sdk.re_authentication.verify_pin_authentication
    assert code_of(verify(ann["access_token"], {"PIN": OTHER})) == (1236, True)
    found = verify(ann["access_token"], {"pin": PIN})
    assert datetime.fromisoformat(found["ExpireIn"]) > datetime.now(UTC)
    confirm = sdk.re_authentication.verify_multi_factor_pin_reauthentication
    body = {"secondfactorvalidationtoken": found["SecondFactorValidationToken"]}
    bob = app.register("bob")["Data"]["Profile"]["Uid"]
    assert code_of(confirm(body, bob)) == (1193, True)
    assert confirm(body, ann["Profile"]["Uid"]) == {"IsValid": True}
    assert code_of(confirm(body, ann["Profile"]["Uid"])) == (1193, True)


def check_reset(app, ann, new):
    """The new PIN signs in, the old one does not, and every login that was open has ended."""
    login = app.sdk.pin_authentication.pin_login
    assert login({"PIN": PIN}, ann["session_token"])["ErrorCode"] == 1236
    assert is_tokens(login({"PIN": new}, ann["session_token"]))
    assert app.sdk.authentication.auth_validate_access_token(ann["access_token"])["ErrorCode"] == 905


def test_forgot_by_email_and_reset_by_the_link(app, ann):
    sdk = app.sdk.pin_authentication
    assert sdk.send_forgot_pin_email_by_email({"Email": "ann@app.example"}) == {"IsPosted": True}
    [(medium, address, content)] = app.messages()
    assert (medium, address, content["tenant_name"]) == ("email", "ann@app.example", app.tenant.name)
    link = re.fullmatch(rf"{re.escape(app.url)}/pin/reset/([0-9a-f]{{32}})", content["link"])
    token = link[1]
    assert sdk.reset_pin_by_reset_token({"PIN": "112233", "ResetToken": token})["ErrorCode"] == 1234
    assert sdk.reset_pin_by_reset_token({"PIN": OTHER, "ResetToken": token}) == {"IsPosted": True}
    check_reset(app, ann, OTHER)
    assert code_of(sdk.reset_pin_by_reset_token({"PIN": THIRD, "ResetToken": token})) == (1242, True)
    assert code_of(sdk.reset_pin_by_reset_token({"PIN": THIRD, "ResetToken": uuid.uuid4().hex})) == (973, True)


def test_forgot_by_user_name_leads_to_a_page_of_the_tenant(app, ann):
    app.set(allowed_reset_urls=["https://shop.example/new-pin"])
    sdk = app.sdk.pin_authentication
    for foreign in (
        "https://shop.example.evil.example/new-pin",
        "https://shop.example/new-pin/../evil",
        "https://shop.example@evil.example/new-pin",
        "javascript:alert(1)",
        "https://shop.example/",
    ):
        answer = sdk.send_forgot_pin_email_by_username({"UserName": "ann"}, None, foreign)
        assert code_of(answer) == (1248, True), foreign
    url = "https://shop.example/new-pin?lang=en"
    assert sdk.send_forgot_pin_email_by_username({"username": "ANN"}, "template", url) == {"IsPosted": True}
    [(_, address, content)] = app.messages()
    assert address == "ann@app.example"
    found = re.fullmatch(
        r"https://shop\.example/new-pin\?lang=en&vtype=resetpin&vtoken=([0-9a-f]{32})", content["link"]
    )
    assert sdk.reset_pin_by_reset_token({"PIN": OTHER, "ResetToken": found[1]}) == {"IsPosted": True}
    check_reset(app, ann, OTHER)


def test_forgot_by_phone_and_reset_by_the_code(app, ann):
    sdk, phone = app.sdk.pin_authentication, ann["Profile"]["PhoneId"]
    answer = sdk.send_forgot_pin_sms_by_phone({"Phone": phone}, "template")
    assert answer["IsPosted"] is True
    assert set(answer["Data"]) == {"AccountSid", "Sid"}
    [(medium, address, content)] = app.messages()
    assert (medium, address) == ("sms", phone)
    code = content["code"]
    assert re.fullmatch(r"[0-9]{6}", code)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    assert code_of(sdk.reset_pin_by_phone_and_otp({"PIN": OTHER, "Phone": phone, "Otp": wrong})) == (1067, True)
    body = {"PIN": OTHER, "Phone": phone, "Otp": code}
    assert sdk.reset_pin_by_phone_and_otp(body) == {"IsPosted": True}
    check_reset(app, ann, OTHER)
    assert code_of(sdk.reset_pin_by_phone_and_otp(body)) == (1068, True)


def test_a_code_by_email_resets_by_address_and_by_user_name(app, ann):
    app.set(reset_email_carries="otp")
    sdk = app.sdk.pin_authentication
    assert sdk.send_forgot_pin_email_by_email({"email": "ann@app.example"}) == {"IsPosted": True}
    [(medium, _, content)] = app.messages()
    assert medium == "email"
    body = {"PIN": OTHER, "Email": "ann@app.example", "Otp": content["code"]}
    assert sdk.reset_pin_by_email_and_otp(body) == {"IsPosted": True}
    check_reset(app, ann, OTHER)
    assert code_of(sdk.reset_pin_by_email_and_otp(body)) == (1186, True)
    multi = app.sdk.account.multipurpose_email_token_generation({"UserName": "ann"}, "forgotpin")
    body = {"pin": THIRD, "username": "ANN", "otp": multi["Token"]}
    assert sdk.reset_pin_by_username_and_otp(body) == {"IsPosted": True}
    assert is_tokens(sdk.pin_login({"PIN": THIRD}, ann["session_token"]))


def test_tokens_and_codes_without_a_mailbox(app, ann):
    make = app.sdk.account.multipurpose_email_token_generation
    assert code_of(make({"Email": "nobody@app.example"}, "forgotpin")) == (938, True)
    token = make({"Email": "ann@app.example"}, "forgotpin")
    assert re.fullmatch(r"[0-9a-f]{32}", token["Token"])
    sdk = app.sdk.pin_authentication
    assert sdk.reset_pin_by_reset_token({"PIN": OTHER, "ResetToken": token["Token"]}) == {"IsPosted": True}
    phone = ann["Profile"]["PhoneId"]
    code = app.sdk.account.multipurpose_sms_otp_generation({"Phone": phone}, "forgotpin")
    body = {"PIN": THIRD, "Phone": phone, "Otp": code["Token"]}
    assert sdk.reset_pin_by_phone_and_otp(body) == {"IsPosted": True}
    assert is_tokens(sdk.pin_login({"PIN": THIRD}, ann["session_token"]))


def test_security_answers_reset_by_every_identifier(app, ann):
    app.set(security_questions=QUESTIONS)
    sdk = app.sdk
    offered = sdk.configuration.get_configurations()["SecurityQuestions"]
    assert offered["SecurityQuestionCount"] == 2
    ids = [question["QuestionId"] for question in offered["Questions"]]
    assert all(re.fullmatch(r"[0-9a-f]{32}", number) for number in ids)
    assert [question["Question"] for question in offered["Questions"]] == QUESTIONS
    answers = {ids[0]: "Rex the dog", ids[2]: "A  red One"}
    update = sdk.authentication.update_profile_by_access_token
    assert update(ann["access_token"], {"securityquestionanswer": {ids[0]: "Rex"}})["ErrorCode"] == 1091
    assert update(ann["access_token"], {"securityquestionanswer": answers})["IsPosted"] is True
    phone = ann["Profile"]["PhoneId"]
    asked = sdk.authentication.get_security_questions_by_email("ann@app.example")
    assert {question["QuestionId"] for question in asked} == set(answers)
    assert sdk.authentication.get_security_questions_by_user_name("ANN") == asked
    assert sdk.authentication.get_security_questions_by_phone(phone) == asked
    assert sdk.authentication.get_security_questions_by_access_token(ann["access_token"]) == asked
    # Nobody is asked questions too, always the same.
    decoys = sdk.authentication.get_security_questions_by_email("nobody@app.example")
    assert len(decoys) == 2
    assert decoys == sdk.authentication.get_security_questions_by_email("nobody@app.example")
    pins = sdk.pin_authentication
    given = {ids[0]: "rex THE dog ", ids[2]: "a red one"}
    resets = (
        (pins.reset_pin_by_email_and_security_answer, {"Email": "ann@app.example"}, OTHER),
        (pins.reset_pin_by_phone_and_security_answer, {"Phone": phone}, THIRD),
        (pins.reset_pin_by_username_and_security_answer, {"Username": "ann"}, PIN),
    )
    for reset, who, new in resets:
        half = {ids[0]: "rex the dog", ids[2]: "blue"}
        assert code_of(reset({"PIN": new, **who, "SecurityAnswer": half})) == (1093, True)
        assert reset({"PIN": new, **who, "SecurityAnswer": given}) == {"IsPosted": True}
        assert is_tokens(pins.pin_login({"PIN": new}, ann["session_token"]))


def test_a_token_for_a_uid_is_a_first_level_sign_in(app):
    made = app.sdk.account.create_account(
        {"Email": [{"Type": "Primary", "Value": "zoe@app.example"}], "Password": PASSWORD}
    )
    found = app.sdk.account.get_access_token_by_uid(made["Uid"])
    assert is_tokens(found)
    app.set(mode="required")
    demanded = app.sdk.account.get_access_token_by_uid(made["Uid"])
    assert demanded["ErrorCode"] == 1243
    assert is_tokens(
        app.sdk.pin_authentication.set_pin_by_pin_auth_token({"PIN": PIN}, demanded["Data"]["PINAuthToken"])
    )
    renewed = app.sdk.account.refresh_access_token_by_refresh_token(found["refresh_token"])
    assert renewed["access_token"] != found["access_token"]
    assert app.sdk.account.refresh_access_token_by_refresh_token(found["refresh_token"])["ErrorCode"] == 905
    assert app.sdk.account.delete_account_by_uid(made["Uid"]) == {"IsDeleted": True}
    assert app.sdk.account.get_account_profile_by_uid(made["Uid"])["ErrorCode"] == 938


def test_off_is_off(app, ann):
    app.set(mode="off")
    sdk = app.sdk.pin_authentication
    for answer in (
        sdk.pin_login({"PIN": PIN}, ann["session_token"]),
        sdk.change_pin_by_access_token(ann["access_token"], {"OldPIN": PIN, "NewPIN": OTHER}),
        sdk.send_forgot_pin_email_by_email({"Email": "ann@app.example"}),
        sdk.reset_pin_by_email_and_otp({"PIN": OTHER, "Email": "ann@app.example", "Otp": "123456"}),
        app.sdk.re_authentication.verify_pin_authentication(ann["access_token"], {"PIN": PIN}),
        app.sdk.account.multipurpose_email_token_generation({"Email": "ann@app.example"}, "forgotpin"),
    ):
        assert code_of(answer) == (1233, True)
    found = app.login()
    assert "access_token" in found
    assert "session_token" not in found
    assert app.sdk.configuration.get_configurations()["PINAuthentication"]["IsEnabled"] is False


def test_registration_needs_a_proof_of_the_application(app):
    register = app.sdk.authentication.user_registration_by_email
    body = {"Email": [{"Type": "Primary", "Value": "eve@app.example"}], "Password": PASSWORD}
    good = app.sott()
    flipped = ("B" if good[0] == "A" else "A") + good[1:]
    for bad in ("x", flipped, good.partition("*")[0], app.sdk.get_sott(apiSecret=str(uuid.uuid4()))):
        assert code_of(register(body, bad)) == (1001, True)
    old = app.sdk.get_sott(startTime="2020/01/01 0:0:0", endTime="2020/01/01 0:10:0")
    assert code_of(register(body, old)) == (1001, True)
    with_server_time = app.sdk.get_sott(getLRserverTime=True)
    assert register(body, with_server_time)["IsPosted"] is True
    assert code_of(register(body, good)) == (936, True)


def test_of_32_pins_at_once_with_one_try_left_one_is_checked(app, ann):
    for number in range(4):
        app.sdk.pin_authentication.pin_login({"PIN": f"50000{number}"}, ann["session_token"])
    found, start = [], threading.Barrier(32)

    def attempt(number):
        start.wait()
        answer = requests.post(
            f"{app.url}/identity/v2/auth/login/pin?apiKey={app.apikey}&session_token={ann['session_token']}",
            json={"PIN": f"6000{number:02}"},
            timeout=300,
        )
        found.append(answer.json()["ErrorCode"])

    threads = [threading.Thread(target=attempt, args=[number]) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1198] * 31 + [1236]


def test_what_the_database_holds_reveals_nothing(app, ann):
    app.set(security_questions=QUESTIONS, questions_asked=1)
    ids = [q["QuestionId"] for q in app.sdk.configuration.get_configurations()["SecurityQuestions"]["Questions"]]
    app.sdk.authentication.update_profile_by_access_token(
        ann["access_token"], {"securityquestionanswer": {ids[0]: "Kanarienvogel"}}
    )
    code = app.sdk.account.multipurpose_sms_otp_generation({"Phone": ann["Profile"]["PhoneId"]}, "forgotpin")["Token"]
    app.sdk.pin_authentication.send_forgot_pin_email_by_email({"Email": "ann@app.example"})

    def texts():
        from django.db import connection

        found = []
        with connection.cursor() as cursor:
            for table in (
                "signin_subscriber",
                "signin_signinpin",
                "signin_token",
                "signin_resetcode",
                "signin_securityanswer",
                "signin_forgottenpin",
                "accounts_auditevent",
                "throttle_throttle",
            ):
                cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
                found.append((table, cursor.fetchone()[0]))
        return found

    for table, text in app.inside(texts):
        for secret in (PASSWORD, "Kanarienvogel", "kanarienvogel", ann["access_token"], ann["session_token"]):
            assert secret not in text, table
        if table in ("signin_signinpin", "signin_resetcode"):
            assert not re.search(rf"\b({PIN}|{code})\b", text), table
        if table == "signin_forgottenpin":
            assert "ann" not in text
    assert app.inside(SignInPin.objects.count) == app.inside(Subscriber.objects.count) == 1
    assert app.inside(Token.objects.count) >= 3
