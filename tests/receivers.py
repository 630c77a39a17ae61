"""Real HTTP servers on loopback that take webhooks, each in the manner that a test asks for."""

import json
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """Whoever sends hangs up when it has waited enough."""


class Receiver:
    """Takes what is posted; `manner(message, times)` says what it does: a status, or one of the words below.

    "silent": never answers; "hang_up": closes without an answer; "endless": an answer without end; "drip": one sign
    of its headers a second; ("redirect", address).
    """

    def __init__(self, manner=None, port=0):
        self.manner = manner or (lambda message, times: 200)
        self.seen, self.taken = [], []
        self.lock = threading.Lock()
        self.port = port
        self.server = None
        self.start()

    def start(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                receiver.handle(self, body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *args):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()
            self.server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hooks"

    def handle(self, request, body):
        message = Message(dict(request.headers), body)
        with self.lock:
            self.seen.append(message)
            times = sum(1 for other in self.seen if other.id == message.id)
        what = self.manner(message, times)
        if what == "silent":
            time.sleep(60)
            return
        if what == "hang_up":
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        if what == "endless":
            self.endless(request)
            return
        if what == "drip":
            self.drip(request)
            return
        status, location = what if isinstance(what, tuple) else (what, None)
        if 200 <= status < 300:
            with self.lock:
                self.taken.append(message)
        request.send_response(status)
        if location:
            request.send_header("Location", location)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"ok")

    def endless(self, request):
        self.sent = 0
        request.send_response(500)
        request.end_headers()
        block = b"x" * 65536
        with suppress(OSError):
            while self.sent < 10_000_000_000:
                request.wfile.write(block)
                self.sent += len(block)

    def drip(self, request):
        with suppress(OSError):
            for sign in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 60:
                request.connection.sendall(bytes([sign]))
                time.sleep(0.3)


class Message:
    def __init__(self, headers, text):
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.text = text
        self.body = json.loads(text) if text else None
        self.id = self.headers.get("webhook-id") or text

    @property
    def type(self):
        return self.body["type"]

    @property
    def person(self):
        return self.body["data"].get("person_id")
