"""A real PostgreSQL and a real Redis from wheels, wherever DATABASE_URL or REDIS_URL is not set.

All lives in one data folder (GATEHOUSE_DATA) that belongs to one user; both listen on Unix sockets only.
Whoever enters `servers()` starts what does not run yet; whoever leaves it last stops them, strays included.
PostgreSQL refuses to run as root: see `account`. Nobody's permissions are ever widened.
"""

import fcntl
import os
import signal
import stat
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from accesscontrol.embedded.places import PATIENCE, EmbeddedError, name_of, reason, wait
from accesscontrol.embedded.postgres import Postgres
from accesscontrol.embedded.redis import Redis
from accesscontrol.embedded.secrets import load_secrets

__all__ = ["EmbeddedError", "Environment", "data_folder", "for_command", "servers"]

NEEDS_NO_SERVER = {
    "-h", "--help", "--version", "check", "collectstatic", "compilemessages", "diffsettings", "generate_pin",
    "help", "makemessages", "makemigrations", "spectacular", "startapp", "version",
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Environment:
    secret_key: str
    pin_keys_file: str
    database_url: str
    database_owner_url: str | None
    admin_url: str | None
    redis_url: str
    installation: "_Installation" = field(compare=False)

    def revive(self) -> list[str]:
        """Start again what ended by itself, for whoever is inside `servers()`; returns the names of those."""
        ended = [server for server in self.installation.servers if server.has_ended()]
        if ended:
            data = self.installation.data
            with open(data / "servers.lock", "a") as gate, _locked(gate.fileno(), data):
                for server in ended:
                    server.start(durable=True)
        return [type(server).__name__ for server in ended]

    def export(self) -> None:
        values = {
            "SECRET_KEY": self.secret_key,
            "PIN_KEYS_FILE": self.pin_keys_file,
            "DATABASE_URL": self.database_url,
            "DATABASE_OWNER_URL": self.database_owner_url,
            "REDIS_URL": self.redis_url,
        }
        for name, value in values.items():
            if value is not None:
                os.environ.setdefault(name, value)


@contextmanager
def servers(data: Path, *, durable: bool = True) -> Iterator[Environment]:
    """Run what the environment does not name; not durable gives up crash safety for speed, for tests."""
    with ExitStack() as stack:
        try:
            installation = _Installation(data)
            gate = stack.enter_context(open(installation.data / "servers.lock", "a"))
            users = stack.enter_context(open(installation.data / "servers.users", "a"))
            with _locked(gate.fileno(), installation.data):
                stack.callback(_leave, gate.fileno(), users.fileno(), installation)
                fcntl.flock(users, fcntl.LOCK_SH)
                for server in installation.servers:
                    server.start(durable=durable)
        except OSError as error:
            raise EmbeddedError(reason(error, data)) from error
        yield installation.environment()


@contextmanager
def for_command(argv: Sequence[str]) -> Iterator[None]:
    """What manage.py needs around one command: servers, or only the addresses they will have, or nothing."""
    command = argv[1] if len(argv) > 1 else "help"
    named = all(os.environ.get(name) for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"))
    if command == "quickstart":
        _prefer_folder(argv[2:])
    if named or command == "quickstart":
        yield
        return
    offline = command in NEEDS_NO_SERVER or "--help" in argv or "-h" in argv
    if command == "check" and any(word.startswith("--database") for word in argv):
        offline = False
    with ExitStack() as stack:
        try:
            if offline:
                environment = _Installation(data_folder()).environment()
            else:
                if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                    # Without this, SIGTERM would leave the servers behind.
                    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
                environment = stack.enter_context(servers(data_folder()))
        except EmbeddedError as error:
            sys.exit(str(error))
        environment.export()
        yield


def _prefer_folder(words: Sequence[str]) -> None:
    """The settings are read before the command's options: secrets must be those of the folder that is named there."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path)
    data = parser.parse_known_args(words)[0].data
    if data is not None:
        os.environ["GATEHOUSE_DATA"] = str(data.absolute())
    try:
        if (data_folder() / "gatehouse.env").exists():
            environment = _Installation(data_folder()).environment()
            os.environ.setdefault("SECRET_KEY", environment.secret_key)
            os.environ.setdefault("PIN_KEYS_FILE", environment.pin_keys_file)
    except EmbeddedError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(reason(error, data_folder()))


def data_folder() -> Path:
    return Path(os.environ.get("GATEHOUSE_DATA") or Path(__file__).resolve().parent.parent.parent / "var")


class _Installation:
    def __init__(self, data: Path) -> None:
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.data = data.resolve()
            found = self.data.stat()
            if found.st_uid != os.geteuid():
                owner = name_of(found.st_uid)
                raise EmbeddedError(f"{data} belongs to {owner}: run this as {owner}, or name another folder.")
            if found.st_mode & stat.S_IWOTH:
                raise EmbeddedError(f"Everybody may write to {data}: make it private, or name another folder.")
            self.settings = load_secrets(self.data)
        except OSError as error:
            raise EmbeddedError(reason(error, data)) from error
        self.postgres = None if os.environ.get("DATABASE_URL") else Postgres(self.data, self.settings)
        self.redis = None if os.environ.get("REDIS_URL") else Redis(self.data)
        self.servers: list[Postgres | Redis] = [server for server in (self.postgres, self.redis) if server]

    def environment(self) -> Environment:
        keys = self.settings["PIN_KEYS_FILE"]
        postgres, redis = self.postgres, self.redis
        return Environment(
            secret_key=self.settings["SECRET_KEY"],
            # The folder may have been moved since its secrets were written.
            pin_keys_file=keys if Path(keys).exists() else str(self.data / "pin-keys.json"),
            database_url=postgres.url("gatehouse", "gatehouse") if postgres else os.environ["DATABASE_URL"],
            database_owner_url=(
                postgres.url("gatehouse_owner", "gatehouse") if postgres else os.environ.get("DATABASE_OWNER_URL")
            ),
            admin_url=postgres.url("postgres", "postgres") if postgres else None,
            redis_url=f"unix://{quote(str(redis.socket))}?db=0" if redis else os.environ["REDIS_URL"],
            installation=self,
        )


def _leave(gate: int, users: int, installation: _Installation) -> None:
    with _locked(gate, installation.data):
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for server in reversed(installation.servers):
            server.stop()


@contextmanager
def _locked(descriptor: int, data: Path) -> Iterator[None]:
    def taken() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if not wait(taken, 2 * PATIENCE):
        raise EmbeddedError(f"Another process has been starting or stopping the servers in {data} for too long.")
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
