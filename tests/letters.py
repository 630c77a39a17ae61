"""Messages to send, and where they arrive: a mail server and a gateway for text messages of the test's own."""

import email.policy
import http.server
import json
import socket
import threading
from email import message_from_bytes

import pytest
from aiosmtpd.controller import Controller

from accounts.audit import Actor
from accounts.tenancy import tenant_transaction
from pins.deliveries import queueing
from pins.deliveries.models import Delivery
from pins.deliveries.sending import send_next
from tests.world import NOW

PIN = "48151623"
SHOWN = "48-15-1623"
BY = Actor("test")
CONTEXT = {
    "tenant_name": "Acme & Sons",
    "person_name": "Ann <b>Archer</b>",
    "site_name": "Head Office",
    "site_address": "Main Street 1",
    "doors": ["Front Door", "Lab"],
    "when": ["Wednesday, 1 July 2026, 11:00 to 13:00 (local time)"],
    "short_when": "Wed 1 Jul 11:00-13:00 (local time)",
    "starts": "Wednesday, 1 July 2026, 11:00",
    "pin": PIN,
    "help_phone": "+49 30 123456",
}
STATE = Delivery.State


def queue(medium="email", address="ann@example.com", template="visit", language="en", now=NOW, **values):
    about = values.pop("about", [("person", 12), ("credential", 5), ("reservation", 7)])
    return queueing.queue(
        medium=medium,
        address=address,
        template=template,
        language=language,
        context=CONTEXT | values,
        about=about,
        now=now,
    )


def queued(tenant, **values):
    with tenant_transaction(tenant.pk):
        return queue(**values)


def now_of(tenant, delivery):
    with tenant_transaction(tenant.pk):
        return Delivery.objects.get(pk=delivery.pk)


class Mailbox:
    """A mail server that keeps what it gets; `answer` is what it says to the receiver and to the text."""

    def __init__(self):
        self.messages, self.to_receiver, self.to_text = [], "250 OK", "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.to_receiver.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_receiver

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.to_text.startswith("250"):
            self.messages.append(message_from_bytes(envelope.content, policy=email.policy.default))
        return self.to_text


@pytest.fixture(name="mailbox")
def mailbox_fixture(settings):
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=0)
    # With port 0 the controller would look for itself at port 0.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 5
    settings.DEFAULT_FROM_EMAIL = "gatehouse@acme.example"
    try:
        yield box
    finally:
        controller.stop()


class SmsGateway(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(name="sms_gateway")
def sms_gateway_fixture(settings):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SmsGateway)
    server.taken, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings.SMS_URL = f"json://127.0.0.1:{server.server_port}/sms?:to={{phone}}"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send_all(tenant, now=NOW):
    while send_next(tenant.pk, clock=lambda: now):
        pass
