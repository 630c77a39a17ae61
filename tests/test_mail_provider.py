"""A provider takes the mail over HTTP: whole, with what it reports by, and what it refuses is told apart."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from accounts.models import Tenant
from accounts.tenancy import tenant_transaction
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.deliveries.sending import send_next
from tests import world
from tests.test_mail_reports import bounce, provider, report, token_of
from tests.world import NOW

INACTIVE = (
    "You tried to send to recipient(s) that have been marked as inactive.\n"
    "Found inactive addresses: ann@example.com.\n"
    "Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression."
)
STATE = Delivery.State


class Postmark:
    """What Postmark's API takes and answers, over real HTTP; `answer` is its status and body."""

    def __init__(self):
        self.taken, self.answer = [], None
        postmark = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                postmark.taken.append((self.path, dict(self.headers), body))
                to = body["To"] if isinstance(body, dict) else ""
                fine = {"To": to, "SubmittedAt": "2026-07-01T08:00:00Z", "MessageID": "b7bc2f4a", "ErrorCode": 0}
                status, answer = postmark.answer or (200, {**fine, "Message": "OK"})
                said = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def postmark(settings):
    provider(settings, "postmark")
    server = Postmark()
    settings.ANYMAIL |= {"POSTMARK_SERVER_TOKEN": "token-of-server", "POSTMARK_API_URL": server.url}
    yield server
    server.stop()


def test_postmark_is_given_the_message_whole_and_what_it_reports_by(live, postmark):
    with tenant_transaction(live.acme.pk):
        Tenant.objects.update(name="Äcme")
        ann = world.a_person(now=NOW, email="ann@example.com")
        issued = world.a_pin(ann, now=NOW)
        world.a_reservation(ann, world.a_door(), start=NOW, now=NOW, deliver="email")
    assert send_next(live.acme.pk, clock=lambda: NOW)
    [(path, headers, body)] = postmark.taken
    assert path == "/email"
    assert headers["X-Postmark-Server-Token"] == "token-of-server"
    with tenant_transaction(live.acme.pk):
        delivery = Delivery.objects.get()
        assert delivery.state == STATE.SENT
    assert body["Metadata"] == {"message": token_of(delivery)}
    assert (body["TrackOpens"], body["TrackLinks"]) == (False, "None")
    assert issued.value in body["TextBody"].replace("-", "").replace(" ", "")
    assert issued.value not in body["Subject"]
    [calendar] = body["Attachments"]
    assert calendar["ContentType"].replace('"', "").startswith("text/calendar; method=REQUEST")
    assert b"BEGIN:VEVENT" in base64.b64decode(calendar["Content"])
    assert report(bounce(delivery)).status_code == 200
    with tenant_transaction(live.acme.pk):
        assert Delivery.objects.get().state == STATE.BOUNCED


@pytest.mark.parametrize(
    ("status", "answer", "state", "error"),
    [
        (422, {"ErrorCode": 406, "Message": INACTIVE}, "failed", "recipient_refused_500"),
        (422, {"ErrorCode": 401, "Message": "Sender signature not confirmed"}, "failed", "mail_back_end_failed_422"),
        (401, {"ErrorCode": 10, "Message": "Bad or missing token"}, "queued", "mail_server_refused_401"),
        (500, {"ErrorCode": 100, "Message": "Maintenance"}, "queued", "mail_back_end_failed_500"),
        (429, {"ErrorCode": 429, "Message": "Slow down"}, "queued", "mail_back_end_failed_429"),
    ],
)
def test_what_postmark_refuses_is_told_apart(live, postmark, status, answer, state, error):
    postmark.answer = status, answer
    with tenant_transaction(live.acme.pk):
        delivery = queueing.queue(
            medium="email",
            address="ann@example.com",
            template="pin",
            language="en",
            context={"tenant_name": "Acme", "pin": "48151623"},
            about=[],
            now=NOW,
        )
    send_next(live.acme.pk, clock=lambda: NOW)
    with tenant_transaction(live.acme.pk):
        delivery.refresh_from_db()
    assert delivery.state == state
    assert delivery.last_error == error


def test_a_provider_that_does_not_answer_is_tried_again(live, postmark):
    postmark.stop()
    with tenant_transaction(live.acme.pk):
        delivery = queueing.queue(
            medium="email", address="a@b.example", template="pin", language="en", context={}, about=[], now=NOW
        )
    assert not send_next(live.acme.pk, clock=lambda: NOW)
    with tenant_transaction(live.acme.pk):
        delivery.refresh_from_db()
    assert (delivery.state, delivery.last_error) == (STATE.QUEUED, "mail_server_unreachable")
