import hashlib
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A socket's whole path may have 103 bytes on some systems, and PostgreSQL's file name takes 14 of them.
LONGEST_SOCKET_FOLDER = 88
LOG_LIMIT = 10_000_000
PATIENCE = 60.0


class EmbeddedError(Exception):
    """What a person has to put right, in one line."""


def socket_folder(folder: Path, data: Path, uid: int) -> Path:
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    return Path(f"/tmp/gatehouse-{uid}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}")


def make_private(folder: Path, uid: int, gid: int) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, gid)
    found = folder.lstat()
    # Anybody may have put something there first, to sit between us and the server.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise EmbeddedError(f"{folder} is not a private folder of {name_of(uid)}: remove it.")


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def last_line(log: Path) -> str:
    with suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()[-20:]
        telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror"))]
        return (telling or lines or [""])[-1].strip()
    return "no reason given"


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def reason(error: OSError, data: Path) -> str:
    return f"{error.filename or data}: {error.strerror or error}."
