"""Child processes that start together, are watched together, start again after an accident and stop in order.

Each has a session of its own, so that Ctrl-C reaches only the parent, which stops them one after the other; a
parent that is killed takes them along, where the system can do that (Linux).
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1


# One that ends again and again is broken, and starting it once more would only hide that.
MOST_RESTARTS = 5
RESTARTS_FORGOTTEN_AFTER = 600.0


@dataclass
class Child:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None
    process: "subprocess.Popen[bytes]"
    restarts: list[float] = field(default_factory=list)

    def last_lines(self, count: int = 20) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-count:] if self.log else []


class Supervisor:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[Child] = []

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, log: Path | None = None
    ) -> Child:
        child = Child(name, command, environment, log, self._launch(command, environment, log))
        self.children.append(child)
        return child

    def start_again(self, child: Child) -> bool:
        """Replace a child that ended by itself; False when that has happened too often lately."""
        _kill_group(child)
        now = time.monotonic()
        child.restarts = [moment for moment in child.restarts if now - moment < RESTARTS_FORGOTTEN_AFTER]
        if len(child.restarts) == MOST_RESTARTS:
            return False
        child.restarts.append(now)
        child.process = self._launch(child.command, child.environment, child.log)
        return True

    def _launch(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path | None
    ) -> "subprocess.Popen[bytes]":
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
        try:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        finally:
            if output is not None:
                os.close(output)

    def dead(self) -> Child | None:
        return next((child for child in self.children if child.process.poll() is not None), None)

    def stop(self, child: Child, seconds: float) -> None:
        child.process.terminate()
        try:
            child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill_group(child)
            child.process.wait()
        # Whatever a child that was killed or crashed had started itself.
        _kill_group(child)
        self.children.remove(child)

    def kill(self) -> None:
        for child in self.children:
            _kill_group(child)


def _kill_group(child: Child) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    # Loaded before the fork: nothing may be imported after it.
    library = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
