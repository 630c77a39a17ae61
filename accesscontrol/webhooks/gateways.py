"""The way out: one POST to one judged address. No redirect, no proxy, no cookie, and an end in sight.

All of a request together takes 15 seconds at most, however slowly a receiver sends; of its answer 300 signs are read.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any, Final

from accesscontrol.webhooks import addresses
from accounts.refusals import Refusal

CONNECT_SECONDS: Final = 5.0
WHOLE_SECONDS: Final = 15.0
ANSWER_BYTES: Final = 300


@dataclass(frozen=True)
class Outcome:
    """What came of a request: a status, or an error code where there was no answer."""

    milliseconds: int
    status: int | None = None
    error: str = ""
    answer: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(url: str, body: bytes, headers: Mapping[str, str], *, whole_seconds: float) -> Outcome:
    """Send this body once; whatever goes wrong is an outcome."""
    began = monotonic()

    def outcome(**values: Any) -> Outcome:
        return Outcome(milliseconds=round((monotonic() - began) * 1000), **values)

    try:
        target = addresses.read(url)
        judged = addresses.addresses_of(target)
        fixed = {"Host": target.authority, "Connection": "close"}
        with closing(_Connection(target, judged, began + whole_seconds)) as connection:
            connection.request("POST", target.path, body=body, headers={**headers, **fixed})
            with closing(connection.getresponse()) as response:
                answer = _readable(response.read(ANSWER_BYTES))
                error = "redirected" if 300 <= response.status < 400 else ""
                return outcome(status=response.status, answer=answer, error=error)
    except Refusal as refusal:
        return outcome(error=refusal.code)
    except TimeoutError:
        return outcome(error="timed_out")
    except ssl.SSLCertVerificationError:
        return outcome(error="certificate_refused")
    except ssl.SSLError:
        return outcome(error="no_encryption")
    except ConnectionRefusedError:
        return outcome(error="connection_refused")
    except (OSError, http.client.HTTPException, ValueError):
        is_late = monotonic() - began >= whole_seconds
        return outcome(error="timed_out" if is_late else "no_answer")


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was judged, under the name that was asked for, which ends at a deadline."""

    def __init__(self, target: addresses.Target, judged: list[str], deadline: float) -> None:
        super().__init__(target.host, target.port)
        self._target, self._judged, self._deadline = target, judged, deadline
        self._watch: threading.Timer | None = None

    def connect(self) -> None:
        self.sock = self._dial()
        try:
            if self._target.is_encrypted:
                self.sock = _tls().wrap_socket(
                    self.sock, server_hostname=self._target.host, do_handshake_on_connect=False
                )
            # Time limits of a socket begin anew with every byte; this one does not.
            left = max(0.1, self._deadline - monotonic())
            self.sock.settimeout(left)
            self._watch = threading.Timer(left, _cut, [self.sock])
            self._watch.daemon = True
            self._watch.start()
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.do_handshake()
        except BaseException:
            self.close()
            raise

    def _dial(self) -> socket.socket:
        for number, address in enumerate(self._judged, start=1):
            left = min(CONNECT_SECONDS, self._deadline - monotonic())
            if left <= 0:
                raise TimeoutError
            try:
                return socket.create_connection((address, self._target.port), timeout=left)
            except OSError:
                if number == len(self._judged):
                    raise
        raise TimeoutError

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().close()


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _readable(answer: bytes) -> str:
    text = answer.decode(errors="replace")
    return "".join(sign if sign.isprintable() else " " for sign in text)[:ANSWER_BYTES]


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
