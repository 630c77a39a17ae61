import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from accesscontrol.embedded.account import SHARED, binaries, own_folder
from accesscontrol.embedded.places import (
    PATIENCE,
    EmbeddedError,
    last_line,
    make_private,
    open_log,
    socket_folder,
    wait,
)

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"


class Postgres:
    def __init__(self, data: Path, settings: dict[str, str]) -> None:
        self.data, self.link, self.settings = data, data / "postgres", settings
        self.log = data / "log" / "postgres.log"
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def cluster(self) -> Path:
        return self.link.resolve()

    def url(self, role: str, database: str, cluster: Path | None = None) -> str:
        folder = quote(str(self._sockets(cluster or self.cluster)), safe="")
        return f"postgres://{role}:{self._password(role)}@/{database}?host={folder}"

    def start(self, *, durable: bool) -> None:
        try:
            if not self.link.exists():
                self._create(durable=durable)
            self._run(self.cluster, durable=durable)
        except psycopg.Error as error:
            raise EmbeddedError(f"PostgreSQL: {str(error).strip().splitlines()[0]} ({self.log})") from error

    def stop(self) -> None:
        self._stop(self.cluster)

    def has_ended(self) -> bool:
        return _postmaster(self.cluster) is None

    def _password(self, role: str) -> str:
        return self.settings[f"EMBEDDED_PASSWORD_{role.upper()}"]

    def _sockets(self, cluster: Path) -> Path:
        return socket_folder(cluster, self.data, os.geteuid())

    def _create(self, *, durable: bool) -> None:
        """Builds the cluster beside its place, so that one that stands there is always complete."""
        if self.link.is_symlink():
            raise EmbeddedError(f"{self.link} points to {self.link.readlink()}, which is gone: restore it.")
        if os.geteuid() == 0:
            place = own_folder(self.link, durable=durable)
        else:
            place = self.data / "postgres.new"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(mode=0o700)
        try:
            self._initialise(place, durable=durable)
            self._run(place, durable=durable)
            self._furnish(place)
            self._stop(place)
            if os.geteuid() == 0:
                self.link.symlink_to(place)
            else:
                place.rename(self.link)
        except BaseException:
            self._stop(place)
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _initialise(self, place: Path, *, durable: bool) -> None:
        owner = place.stat()
        with tempfile.NamedTemporaryFile("w", dir=self.data if os.geteuid() else SHARED) as password:
            password.write(self._password("postgres"))
            password.flush()
            os.chown(password.name, owner.st_uid, owner.st_gid)
            options = [
                "--username=postgres",
                f"--pwfile={password.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
                "--builtin-locale=C.UTF-8",
            ]
            self._call("initdb", place, options if durable else [*options, "--no-sync"])

    def _furnish(self, place: Path) -> None:
        with self._connect(place, "postgres") as connection:
            connection.execute((DEPLOY / "roles.sql").read_bytes())
            connection.execute("CREATE DATABASE gatehouse OWNER gatehouse_owner")
            for role in ("gatehouse_owner", "gatehouse"):
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(self._password(role))))
        with self._connect(place, "gatehouse") as connection:
            connection.execute((DEPLOY / "database.sql").read_bytes())

    def _connect(self, cluster: Path, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.url("postgres", database, cluster), autocommit=True, connect_timeout=10)

    def _run(self, cluster: Path, *, durable: bool) -> None:
        deadline = time.monotonic() + PATIENCE
        failures = 0
        while complaint := self._complaint(cluster):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL does not answer: {complaint} ({self.log})")
            if self.child is not None and self.child.poll() is not None:
                failures += 1
                self.child = None
                if failures == 10:
                    raise EmbeddedError(f"PostgreSQL does not start: {last_line(self.log)} ({self.log})")
                # A postmaster that was killed leaves its back ends behind for a moment.
                time.sleep(0.3)
            if self.child is None and _postmaster(cluster) is None:
                make_private(self._sockets(cluster), cluster.stat().st_uid, cluster.stat().st_gid)
                options = self._options(cluster, durable=durable)
                self.child = self._call("postgres", cluster, options, finish=False)
            time.sleep(0.02)

    def _complaint(self, cluster: Path) -> str | None:
        try:
            self._connect(cluster, "postgres").close()
        except psycopg.OperationalError as error:
            complaint = str(error).strip().splitlines()[-1]
            if "password authentication failed" in complaint:
                file = self.data / "gatehouse.env"
                raise EmbeddedError(f"{file} does not hold the password of {self.link}: restore it.") from error
            return complaint
        return None

    def _options(self, cluster: Path, *, durable: bool) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._sockets(cluster)}"',
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Neither statements nor their values: errors quote both.
            "log_statement": "none",
            "log_min_messages": "log",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0",
            "log_checkpoints": "off",
        }
        if not durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def _call(
        self, program: str, cluster: Path, options: list[str], *, finish: bool = True
    ) -> "subprocess.Popen[bytes]":
        owner = cluster.stat()
        other = owner.st_uid != os.geteuid()
        command = [str(binaries(owner.st_uid, owner.st_gid) / program), "-D", str(cluster), *options]
        with open_log(self.log) as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                user=owner.st_uid if other else None,
                group=owner.st_gid if other else None,
                extra_groups=[] if other else None,
                # Ctrl-C in the terminal must not stop a server before those who use it.
                start_new_session=True,
            )
        if not finish:
            return child
        try:
            failed = child.wait() != 0
        except BaseException:
            child.kill()
            child.wait()
            raise
        if failed:
            raise EmbeddedError(f"{program} failed: {last_line(self.log)} ({self.log})")
        return child

    def _stop(self, cluster: Path) -> None:
        for number, seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 10)):
            pid = _postmaster(cluster)
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            wait(lambda: _postmaster(cluster) is None, seconds)
        if self.child is not None:
            with suppress(subprocess.TimeoutExpired):
                self.child.wait(10)
            self.child = None


def _postmaster(cluster: Path) -> int | None:
    """The process that serves the cluster; a number left over from before a crash or a reboot is none."""
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, IndexError, ProcessLookupError):
        return None
    except PermissionError:
        pass
    process = Path(f"/proc/{pid}")
    with suppress(FileNotFoundError, ProcessLookupError):
        name, _, state = (process / "stat").read_text().partition(" (")[2].rpartition(") ")
        serves = name == "postgres" and not state.startswith("Z")
        # In a container root may not see where another account's process works.
        with suppress(PermissionError):
            serves = serves and (process / "cwd").readlink() == cluster
        if not serves:
            # PostgreSQL itself would take the stranger for a server and refuse to start.
            pid_file.unlink(missing_ok=True)
            return None
    return pid
