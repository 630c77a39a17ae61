"""The product on a port of this machine, in threads of the test's process and on the test's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.db import connections


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = False
    request_queue_size = 100


class _Handler(WSGIRequestHandler):
    def handle(self) -> None:
        super().handle()
        connections.close_all()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve what is committed; gives the base address."""
    from accesscontrol.wsgi import application

    connections.close_all()
    with make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
