"""How much of a bare view's throughput `/v1/generate/pin` keeps: `python -m tests.bench_generator`.

One granian worker as in quickstart, embedded servers in a folder that is thrown away. The bare view is DRF's, with
the same key found by the same middleware. Short runs alternate, and the median of the ratios of neighbours is told.
"""

import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROUNDS, REQUESTS, CONNECTIONS, PORT = 31, 300, 16, 8765
PATHS = {"bare": "/bare", "generate": "/v1/generate/pin?length=6", "weak": "/v1/generate/pin?length=6&exclude_weak=1"}


def serve() -> object:
    """What granian serves: the product, and one view more."""
    # Django is set up by this import, which the others need.
    application = import_module("accesscontrol.wsgi").application
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from accesscontrol.urls import urlpatterns
    from accounts.rights import Right

    class Bare(APIView):
        rights = {"GET": Right.GENERATE}

        def get(self, request: object) -> Response:
            return Response({"ok": True})

    urlpatterns.insert(0, path("bare", Bare.as_view()))
    return application


if os.environ.get("BENCH_SERVES"):
    application = serve()


def requests_per_second(path: str, key: str) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nX-API-Key: {key}\r\n\r\n".encode()
    loop = selectors.DefaultSelector()
    received: dict[socket.socket, bytes] = {}
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", PORT))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.register(connection, selectors.EVENT_READ)
        received[connection] = b""
        connection.sendall(request)
    answered, started = 0, time.perf_counter()
    while answered < REQUESTS:
        for ready, _ in loop.select(1):
            connection = ready.fileobj
            received[connection] += connection.recv(65536)
            head, _, body = received[connection].partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if length and len(body) >= int(length[1]):
                assert head.startswith(b"HTTP/1.1 200"), head
                answered += 1
                received[connection] = b""
                connection.sendall(request)
    seconds = time.perf_counter() - started
    for connection in received:
        connection.close()
    return answered / seconds


def main() -> None:
    from accesscontrol import embedded

    with tempfile.TemporaryDirectory() as folder, embedded.servers(Path(folder) / "var", durable=False) as servers:
        os.environ["GATEHOUSE_DATA"] = str(Path(folder) / "var")
        servers.export()
        os.environ["DJANGO_SETTINGS_MODULE"] = "accesscontrol.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from accounts import keys
        from accounts.models import ApiKey
        from accounts.tenancy import tenant_transaction
        from tests import world

        with tenant_transaction(world.live().acme.pk):
            minted = keys.mint(
                "bench", kind=ApiKey.Kind.GENERATOR, by=world.BY, now=world.NOW, requests_per_minute=10**9
            )
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
        command += ["--port", str(PORT), "--workers", "1", "--blocking-threads", "8", "--no-ws", "--no-access-log"]
        server = subprocess.Popen(
            [*command, "tests.bench_generator:application"], env=os.environ | {"BENCH_SERVES": "1"}
        )
        try:
            for _ in range(300):
                with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=1):
                    break
                time.sleep(0.1)
            for path in PATHS.values():
                requests_per_second(path, minted.value)
            measured: dict[str, list[float]] = {name: [] for name in PATHS}
            for _ in range(ROUNDS):
                for name, path in PATHS.items():
                    measured[name].append(requests_per_second(path, minted.value))
        finally:
            server.terminate()
            server.wait()
    for name, values in measured.items():
        ratio = statistics.median(value / bare for value, bare in zip(values, measured["bare"], strict=True))
        print(f"{name:10} {statistics.median(values):7.0f} requests/s, {ratio:.0%} of bare")


if __name__ == "__main__":
    main()
