import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from accesscontrol import embedded
from accesscontrol.embedded.account import SHARED, binaries

PROJECT = Path(embedded.__file__).resolve().parents[2]
NAMES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "PIN_KEYS_FILE", "GATEHOUSE_DATA")

KEEP_RUNNING = """
import sys, time
from pathlib import Path
from accesscontrol import embedded
with embedded.servers(Path(sys.argv[1]), durable=False) as environment:
    print(environment.database_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all, since making it takes a second; none of the tests leaves servers running."""
    return tmp_path_factory.mktemp("embedded") / "a b" / "var"


@pytest.fixture
def running(data: Path) -> Iterator[embedded.Environment]:
    with embedded.servers(data, durable=False) as environment:
        yield environment


def other_process(data: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", KEEP_RUNNING, str(data)],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name not in NAMES},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgres://")
    return process


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate(timeout=180)
    assert process.returncode == 0


def postmaster(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_role_is_exactly_as_strong_as_it_must_be(running: embedded.Environment) -> None:
    columns = "rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolinherit"
    assert running.admin_url is not None
    with psycopg.connect(running.admin_url) as connection:
        query = f"SELECT rolname, {columns} FROM pg_roles WHERE rolname LIKE 'gatehouse%'"
        roles = {name: properties for name, *properties in connection.execute(query)}
        assert roles == {
            "gatehouse": [True, False, False, False, False, False],
            "gatehouse_owner": [True, False, False, False, False, True],
            "gatehouse_finder": [False, False, False, False, False, True],
        }
        members = "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
        granted = [row for row in connection.execute(members) if str(row[0]).startswith("gatehouse")]
        assert granted == [("gatehouse_finder", "gatehouse_owner")]


def test_the_application_can_use_the_schema_and_create_nothing(running: embedded.Environment) -> None:
    assert running.database_owner_url is not None
    with psycopg.connect(running.database_owner_url) as owner:
        assert owner.execute("SELECT current_user").fetchone() == ("gatehouse_owner",)
        owner.execute("CREATE TABLE made_by_owner ()")
        owner.rollback()
    with psycopg.connect(running.database_url) as application:
        facts = "current_user, has_schema_privilege('public', 'USAGE'), has_schema_privilege('public', 'CREATE')"
        assert application.execute(f"SELECT {facts}").fetchone() == ("gatehouse", True, False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("CREATE TABLE mine ()")


def test_the_right_password_is_needed(running: embedded.Environment) -> None:
    password = running.database_url.split(":")[2].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(running.database_url.replace(password, "wrong"))


def test_text_is_unicode_and_time_is_utc(running: embedded.Environment) -> None:
    with psycopg.connect(running.database_url) as connection:
        assert connection.execute("SELECT lower('Ä'), current_setting('TimeZone')").fetchone() == ("ä", "UTC")
        assert connection.info.server_version >= 180000


def test_redis_answers_and_drops_nothing(running: embedded.Environment) -> None:
    client = redis.Redis.from_url(running.redis_url)
    assert client.ping()
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.close()


def test_nothing_listens_on_a_network(running: embedded.Environment, data: Path) -> None:
    with psycopg.connect(running.database_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW unix_socket_permissions").fetchone() == ("0700",)
    client = redis.Redis.from_url(running.redis_url)
    assert client.config_get("port") == {"port": "0"}
    client.close()
    assert mode(data / "redis" / "redis.sock") == 0o700


def test_what_is_written_is_private_and_no_parent_is_opened(data: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = {parent: mode(parent) for parent in closed.parents}
    with embedded.servers(closed / "var", durable=False) as environment:
        assert answers(environment.database_url)
        for path in (closed, closed / "var", *(closed / "var").iterdir()):
            assert path.name.startswith("servers.") or mode(path) in (0o700, 0o600), path
    assert {parent: mode(parent) for parent in closed.parents} == before


def test_no_value_reaches_the_log(running: embedded.Environment, data: Path) -> None:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        for statement in ("SELECT %s::text::int", "SELECT 'x86420975'::int", "SELECT x86420975"):
            with pytest.raises(psycopg.Error):
                connection.execute(statement, ["x86420975"] if "%s" in statement else None)
    assert "86420975" not in (data / "log" / "postgres.log").read_text()


def test_secrets_are_made_once(data: Path) -> None:
    files = [data / "gatehouse.env", data / "pin-keys.json"]
    with embedded.servers(data, durable=False) as first:
        before = [file.read_text() for file in files]
    with embedded.servers(data, durable=False) as second:
        assert second == first
    assert [file.read_text() for file in files] == before


def test_lost_secrets_are_not_replaced(data: Path) -> None:
    with embedded.servers(data, durable=False):
        pass
    for name in ("gatehouse.env", "pin-keys.json"):
        file = data / name
        file.rename(data / "elsewhere")
        with pytest.raises(embedded.EmbeddedError, match=f"{name} is missing"), embedded.servers(data):
            pass
        (data / "elsewhere").rename(file)


def test_the_last_to_leave_stops_the_servers(data: Path) -> None:
    first = other_process(data)
    with embedded.servers(data, durable=False) as environment:
        pid = postmaster(data)
        leave(first)
        assert answers(environment.database_url)
        assert postmaster(data) == pid
    assert not answers(environment.database_url)
    assert not (data / "postgres" / "postmaster.pid").exists()
    assert not (data / "redis" / "redis.sock").exists()


def test_servers_of_a_killed_process_are_adopted_and_stopped(data: Path) -> None:
    owner = other_process(data)
    pid = postmaster(data)
    owner.kill()
    owner.communicate()
    with embedded.servers(data, durable=False) as environment:
        assert postmaster(data) == pid
        assert answers(environment.database_url)
    assert not answers(environment.database_url)


def test_a_killed_server_starts_again(data: Path) -> None:
    owner = other_process(data)
    os.kill(postmaster(data), signal.SIGKILL)
    owner.kill()
    owner.communicate()
    started = time.monotonic()
    with embedded.servers(data, durable=False) as environment:
        assert answers(environment.database_url)
    assert time.monotonic() - started < 40


def test_a_pid_file_that_names_a_stranger_is_stale(data: Path) -> None:
    with embedded.servers(data, durable=False):
        lines = (data / "postgres" / "postmaster.pid").read_text().splitlines()
    # As after a restart of a container, where numbers repeat.
    (data / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with embedded.servers(data, durable=False) as environment:
        assert answers(environment.database_url)


def test_only_what_is_not_named_is_started(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/gatehouse")
    with embedded.servers(data, durable=False) as environment:
        assert environment.database_url == "postgres://elsewhere/gatehouse"
        assert environment.database_owner_url is None
        assert not (data / "postgres" / "postmaster.pid").exists()
        assert (data / "redis" / "redis.sock").exists()


def test_a_command_without_a_database_starts_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded.servers(data, durable=False):
        pass  # the first start decides where the cluster lives
    for name in NAMES:
        # Set first, so that what the command exports is taken back afterwards.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEHOUSE_DATA", str(data))
    with embedded.for_command(["manage.py", "makemigrations", "--check"]):
        assert os.environ["PIN_KEYS_FILE"] == str(data / "pin-keys.json")
        assert not answers(os.environ["DATABASE_URL"])
        offline = os.environ["DATABASE_URL"]
        for name in NAMES[:-1]:
            monkeypatch.delenv(name)
    with embedded.for_command(["manage.py", "shell"]):
        assert os.environ["DATABASE_URL"] == offline
        assert answers(offline)


def test_a_folder_that_cannot_be_made_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEHOUSE_DATA", "/proc/nowhere")
    with pytest.raises(SystemExit) as exit, embedded.for_command(["manage.py", "shell"]):
        pass
    assert str(exit.value.code).startswith("/proc/nowhere: ")
    assert "\n" not in str(exit.value.code)


def test_a_folder_open_to_everybody_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(embedded.EmbeddedError, match="Everybody may write"), embedded.servers(folder):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(embedded.EmbeddedError, match="Permission denied"), embedded.servers(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_gives_the_database_an_account_and_a_folder_of_its_own(running: embedded.Environment, data: Path) -> None:
    cluster = (data / "postgres").readlink()
    owner = cluster.stat()
    assert cluster.parent == SHARED
    assert owner.st_uid != 0
    assert mode(cluster) == 0o700
    assert Path(f"/proc/{postmaster(data)}").stat().st_uid == owner.st_uid
    assert (binaries(owner.st_uid, owner.st_gid) / "postgres").exists()


def test_a_long_path_gets_a_short_private_folder_for_its_sockets(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    with embedded.servers(long, durable=False) as environment:
        assert answers(environment.database_url)
        path = Path(environment.redis_url.removeprefix("unix://").partition("?")[0])
        assert mode(path.parent) == 0o700
        assert len(str(path)) < 100
    if path.parent != long / "redis":
        path.parent.rmdir()
