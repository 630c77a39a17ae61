"""The whole product with one command: servers, database, two demo tenants, web, worker and clock.

The parent owns the processes and never uses Django's database; a child of its own (`--prepare`) migrates and
seeds, because only there the settings have been read with the servers' addresses.
"""

import fcntl
import http.client
import json
import os
import secrets
import signal
import socket
import sys
import time
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db.migrations.loader import MigrationLoader

from accesscontrol import embedded
from accesscontrol.management.seed import is_seeded, seed
from accesscontrol.management.seed.logins import email_of
from accesscontrol.management.supervisor import Supervisor
from accounts.refusals import Refusal
from accounts.rights import StaffRole

PROJECT = Path(__file__).resolve().parents[3]
GRACE = 10.0
START_LIMIT = 90.0
LOG_LIMIT = 10_000_000


class Stopped(BaseException):
    """Somebody asked for the end; no error."""


class Command(BaseCommand):
    help = "Runs everything on this machine, with two demo tenants; nothing else needs to be started."
    # The settings have no servers yet; the child that prepares the database runs the checks.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--stream-port", type=int, default=None, help="of the event streams (default: the next one)"
        )
        parser.add_argument("--data", type=Path, default=None, help="the data folder (default: var)")
        parser.add_argument("--prepare", action="store_true", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        data = (options["data"] or embedded.data_folder()).absolute()
        port = options["port"]
        if options["prepare"]:
            self._prepare(data, _urls(port, options["stream_port"]))
            return
        supervisor = Supervisor(PROJECT)
        _listen_to_signals(supervisor)
        try:
            self._run(data, port, options["stream_port"], supervisor)
        except Stopped:
            self._say("Stopped.")
        except embedded.EmbeddedError as error:
            sys.exit(str(error))

    def _run(self, data: Path, port: int, stream_port: int | None, supervisor: Supervisor) -> None:
        _check_port(port)
        if stream_port is None:
            stream_port = _free_port_from(port + 1)
        _check_port(stream_port)
        with ExitStack() as stack:
            with self._step("Starting PostgreSQL and Redis"):
                environment = stack.enter_context(embedded.servers(data))
            environment.export()
            stack.enter_context(_alone(data))
            stack.callback(self._stop, supervisor)
            # Where `collectstatic` would put files; without it every start warns.
            (data / "static").mkdir(exist_ok=True)
            variables = self._variables(data, port)
            if not _is_prepared(data, _urls(port, stream_port)):
                self._have_prepared(data, port, stream_port, supervisor, variables)
            # Only migrations need the owner of the tables.
            variables.pop("DATABASE_OWNER_URL", None)
            commands = _commands(data, port, stream_port)
            with self._step("Starting web"):
                self._start("web", commands, data, supervisor, variables)
                self._wait_for_answer(port, supervisor)
            # Later than the web, since all of them together would keep the first page waiting.
            for name in ("worker", "beat", "streams"):
                self._start(name, commands, data, supervisor, variables)
            self._introduce(json.loads((data / "quickstart.json").read_text()), data)
            while True:
                self._keep_running(environment, supervisor)
                time.sleep(0.5)

    def _have_prepared(
        self, data: Path, port: int, stream_port: int, supervisor: Supervisor, variables: dict[str, str]
    ) -> None:
        command = [sys.executable, "manage.py", "quickstart", "--prepare"]
        command += ["--data", str(data), "--port", str(port), "--stream-port", str(stream_port)]
        preparation = supervisor.start("preparation", command, variables)
        failed = preparation.process.wait() != 0
        supervisor.children.remove(preparation)
        if failed:
            sys.exit(1)

    def _variables(self, data: Path, port: int) -> dict[str, str]:
        defaults = {
            # django-environ takes one slash of the path for the end of an empty host.
            "EMAIL_URL": f"filemail:///{quote(str(data / 'outbox'))}",
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
        variables = {**defaults, **os.environ, "GATEHOUSE_DATA": str(data), "PYTHONUNBUFFERED": "1"}
        if variables.pop("PYTHONDONTWRITEBYTECODE", ""):
            # Else each of the children would compile everything it imports, at every start.
            variables["PYTHONPYCACHEPREFIX"] = str(data / "bytecode")
        return variables

    def _start(
        self,
        name: str,
        commands: dict[str, list[str]],
        data: Path,
        supervisor: Supervisor,
        variables: dict[str, str],
    ) -> None:
        log = data / "log" / f"{name}.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        supervisor.start(name, commands[name], variables, log=log)

    def _wait_for_answer(self, port: int, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if dead := supervisor.dead():
                self._mourn(supervisor, dead.name)
            if _answers(port):
                return
            time.sleep(0.1)
        self._mourn(supervisor, "web")

    def _keep_running(self, environment: embedded.Environment, supervisor: Supervisor) -> None:
        for name in environment.revive():
            self._say(f"{name} had ended; it was started again.")
        while dead := supervisor.dead():
            code = dead.process.returncode
            if not supervisor.start_again(dead):
                self._mourn(supervisor, dead.name)
            self._say(f"{dead.name} had ended ({code}); it was started again. Its log is {dead.log}")

    def _mourn(self, supervisor: Supervisor, name: str) -> None:
        child = next(child for child in supervisor.children if child.name == name)
        state = "does not answer" if child.process.poll() is None else f"ended ({child.process.returncode})"
        lines = "".join(f"    {line}\n" for line in child.last_lines())
        sys.exit(f"\n{name} {state}. The end of {child.log}:\n{lines}")

    def _stop(self, supervisor: Supervisor) -> None:
        for name in ("preparation", "streams", "beat", "worker", "web"):
            for child in [child for child in supervisor.children if child.name == name]:
                with self._step(f"Stopping {name}"):
                    supervisor.stop(child, GRACE)

    def _prepare(self, data: Path, urls: dict[str, str]) -> None:
        if _has_migrations_to_run():
            with self._step("Migrating the database"):
                call_command("migrate", verbosity=0)
        file = data / "quickstart.json"
        tenants = _facts(file).get("tenants")
        if tenants is None or not is_seeded():
            title = "Making the demo tenants"
            if is_seeded():
                title = f"{file.name} was lost: giving the demo tenants new passwords and keys"
            try:
                with self._step(title):
                    tenants = seed(now=datetime.now(UTC))
            except Refusal as refusal:
                sys.exit(f"The demo tenants cannot be made in this database: {refusal}")
        text = json.dumps({**urls, "tenants": tenants}, indent=2) + "\n"
        draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(text)
        draft.replace(file)

    def _introduce(self, facts: dict[str, Any], data: Path) -> None:
        self._say(f"\nGatehouse runs at {facts['url']} (Ctrl-C stops it)\n")
        for slug, tenant in facts["tenants"].items():
            for role in ("manager", "front_desk", "host", "auditor"):
                login = tenant[role]
                self._say(f"  {slug:8} {role.replace('_', ' '):11} {login['email']:32} {login['password']}")
        mail = os.environ.get("EMAIL_URL")
        self._say("\nMail goes to " + ("the server in EMAIL_URL" if mail else f"files in {data / 'outbox'}"))
        self._say(f"Logs are in {data / 'log'}, all keys in {data / 'quickstart.json'}")
        self._say("\nCreate a visitor, issue a PIN for the coming week, try it at the door:\n")
        for line in _curl_lines(facts["url"], next(iter(facts["tenants"].values()))):
            self._say(line)
        self._say("")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.stdout.write(f"{title} … ", ending="")
        self.stdout.flush()
        started = time.monotonic()
        try:
            yield
        except BaseException as error:
            self._say("stopped" if isinstance(error, Stopped) else "failed")
            raise
        self._say(f"{time.monotonic() - started:.1f} s")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _facts(file: Path) -> dict[str, Any]:
    """What an earlier start has written."""
    try:
        facts = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and isinstance(facts.get("tenants"), dict) else {}


def _urls(port: int, stream_port: int) -> dict[str, str]:
    return {"url": f"http://127.0.0.1:{port}", "stream_url": f"http://127.0.0.1:{stream_port}"}


def _is_prepared(data: Path, urls: dict[str, str]) -> bool:
    """Whether an earlier start did everything: then nobody waits for a process that finds nothing to do."""
    facts = _facts(data / "quickstart.json")
    if any(facts.get(name) != url for name, url in urls.items()) or _has_migrations_to_run():
        return False
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        managers = [email_of(slug, StaffRole.MANAGER) for slug in _facts(data / "quickstart.json")["tenants"]]
        found = connection.execute("SELECT count(*) FROM accounts_user WHERE email = ANY(%s)", [managers])
        return found.fetchone() == (len(managers),)


def _commands(data: Path, port: int, stream_port: int) -> dict[str, list[str]]:
    python = [sys.executable, "-m"]
    celery = [*python, "celery", "--app", "accesscontrol.celery"]
    web = ["granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    web += [
        "--blocking-threads",
        "8",
        "--no-ws",
        "--no-access-log",
        "--workers-kill-timeout",
        str(int(GRACE) - 2),
    ]
    streams = ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(stream_port), "--workers", "1"]
    # Streams do not end by themselves; whoever follows goes on after the next start.
    streams += ["--no-ws", "--no-access-log", "--workers-kill-timeout", "1"]
    worker = ["worker", "--concurrency", "2", "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    beat = ["beat", "--loglevel", "INFO", "--schedule", str(data / "beat-schedule"), "--pidfile="]
    return {
        "web": [*python, *web, "accesscontrol.wsgi:application"],
        "worker": [*celery, *worker],
        "beat": [*celery, *beat],
        "streams": [*python, *streams, "accesscontrol.asgi:application"],
    }


def _curl_lines(url: str, tenant: dict[str, Any]) -> list[str]:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    channel = tenant["channels"][0]["id"]

    def post(path: str, key: str, body: str) -> str:
        headers = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        return f"curl -sS {url}/api/3/{path} {headers} -d {body}"

    def field(name: str) -> str:
        return f"""python3 -c 'import json, sys; print(json.load(sys.stdin)["{name}"])'"""

    person = """'{"first_name": "Vera", "last_name": "Visitor", "email": "vera@example.com"}'"""
    credential = """'{"person_credential": {"credential_type_id": 6, "value": "******", "enabled": true}}'"""
    start, end = (f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in (now, now + timedelta(days=7)))
    period = f'"start_time": "{start}", "end_time": "{end}"'
    reservation = f"""'{{"person_id": '$PERSON', "channel_ids": [{channel}], {period}}}'"""
    attempt = """'{"value": "'$PIN'"}'"""
    key = tenant["api_key"]
    issue = post("people/$PERSON/credentials", key, credential)
    return [
        f"PERSON=$({post('people', key, person)} | {field('id')}); echo person $PERSON",
        f"PIN=$({issue} | {field('value')}); echo PIN $PIN; {post('reservations', key, reservation)}; echo",
        f"{post(f'channels/{channel}/access_attempts', tenant['reader_key'], attempt)}; echo",
    ]


def _free_port_from(port: int) -> int:
    """This port, or any other where something else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # A port of connections that have just ended is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            sys.exit(f"Port {port} cannot be used ({reason}): free it, or name another with --port.")


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    with open(data / "quickstart.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Quickstart already runs with {data}: stop it, or name another folder with --data.")
        yield


def _has_migrations_to_run() -> bool:
    """Whether the database is older than this code; ends the command where it is newer."""
    url = os.environ.get("DATABASE_OWNER_URL") or os.environ["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,):
            return True
        applied = set(connection.execute("SELECT app, name FROM django_migrations").fetchall())
    migrations = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    known = set(migrations).union(*(migration.replaces for migration in migrations.values()))
    if unknown := sorted(applied - known):
        app, name = unknown[0]
        sys.exit(
            f"The database is of a newer version: its migration {app}.{name} is unknown here. "
            "Update Gatehouse, or name another folder with --data."
        )
        kept = connection.execute("SELECT to_regprocedure('events_kept_months()')").fetchone() != (None,)
        if kept and connection.execute("SELECT events_kept_months()").fetchone() != (settings.EVENTS_KEPT_MONTHS,):
            return True
    return not applied.issuperset(migrations)


def _listen_to_signals(supervisor: Supervisor) -> None:
    asked = False

    def listen(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            # Whoever asks twice does not want to wait for the children.
            if number == signal.SIGINT:
                supervisor.kill()
            return
        asked = True
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, listen)
