"""The file of the PIN keys, changed while the product serves: a key is added, made current, or taken away.

Every change replaces the file as a whole, so no process ever reads half of it. Keys given in the environment cannot
be changed from here. What the file holds beside the keys is kept.
"""

import base64
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.refusals import Refusal
from pins.vault import keyring
from pins.vault.keyring import KEY_BYTES, NEWEST_POSSIBLE, Keyring


class KeyFileFault(Refusal):
    """The keys cannot be changed here; the sentence says what to do."""

    code = "key_file_fault"


@contextmanager
def changing() -> Iterator["KeyFile"]:
    """The file, for one process at a time; the lock goes with the process, however it ends."""
    if settings.PIN_KEYS:
        raise KeyFileFault(
            "The keys come from the environment variable PIN_KEYS, which no command can change: put its value as it is "
            "into a file (mode 0600) of the user that runs the product, name that file in PIN_KEYS_FILE, unset "
            "PIN_KEYS, restart the product, and run this again."
        )
    keyring.keyring()
    # A mounted or linked file is replaced where it really is.
    path = Path(settings.PIN_KEYS_FILE).resolve()
    if path.stat().st_mode & stat.S_IROTH:
        # Replaced by a private one, it might be out of reach for the user that serves.
        raise KeyFileFault(f"Everybody may read {path}: leave it to the user that runs the product first (mode 0600).")
    # The file itself is replaced at every change, so its folder carries the lock.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        _lock(folder, path)
        yield KeyFile(path, folder)
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise KeyFileFault(f"Another process is changing {path}: wait until it ends.") from None


class KeyFile:
    """The file while this process alone may change it."""

    def __init__(self, path: Path, folder: int) -> None:
        self.path, self._folder = path, folder

    def ring(self) -> Keyring:
        """What the file holds now."""
        return keyring.parse(self._text(), f"PIN_KEYS_FILE {self.path}")

    def add(self) -> int:
        """Add a key that is not current yet; returns its version."""
        version = max(self.ring().keys) + 1
        if version > NEWEST_POSSIBLE:
            raise KeyFileFault(f"There is no version left after {NEWEST_POSSIBLE}.")
        held = json.loads(self._text())
        held["keys"][str(version)] = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        self._replace(held)
        return version

    def make_current(self, version: int) -> None:
        """New values get this key from now on."""
        self._replace({**json.loads(self._text()), "current": version})

    def take_away(self, versions: Collection[int]) -> None:
        """Forget keys that nothing needs any more."""
        held = json.loads(self._text())
        held["keys"] = {version: key for version, key in held["keys"].items() if int(version) not in versions}
        self._replace(held)

    def _text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def _replace(self, held: dict[str, Any]) -> None:
        text = json.dumps(held) + "\n"
        keyring.parse(text, f"PIN_KEYS_FILE {self.path}")
        before = self.path.stat()
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    # Root may run this for the user that serves, who must be able to read the file afterwards.
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                # A group that was let in by its operator stays in; nobody else ever is.
                os.fchmod(descriptor, 0o600 | (before.st_mode & stat.S_IRGRP))
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            draft.replace(self.path)
            os.fsync(self._folder)
        except OSError as error:
            raise KeyFileFault(f"{self.path} cannot be replaced: {error.strerror}.") from None
        finally:
            draft.unlink(missing_ok=True)
        keyring.reload()
