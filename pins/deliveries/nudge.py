"""Tell a worker at once that a tenant has something to send. The periodic tick finds whatever a nudge missed.

A request waits for no broker: after the commit it leaves the tenant's id with a thread of this process. That
thread makes one try with short time-outs; when the broker does not answer, nudges are dropped for 10 s.
"""

import logging
import os
import threading
from functools import partial
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

PAUSE_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


# A tenant with messages to send, or a task of another room that needs no tenant.
Wanted = int | str


class Messenger:
    """The thread that talks to the broker, and the tenants and tasks it has still to mention."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget the thread and its lock, as a forked process must: it has the lock, maybe held, and no thread."""
        self._changed = threading.Condition()
        self._waiting: set[Wanted] = set()
        self._thread: threading.Thread | None = None
        self._paused_until = 0.0

    def take(self, wanted: Wanted) -> None:
        """Accept one nudge, or drop it while the broker is given time; returns at once."""
        with self._changed:
            if monotonic() < self._paused_until:
                return
            self._waiting.add(wanted)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deliveries-nudge", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                wanted, self._waiting = self._waiting, set()
            try:
                publish(wanted)
            except Exception as error:  # noqa: BLE001  # whatever the client raises, the rows are safe
                with self._changed:
                    self._paused_until = monotonic() + PAUSE_SECONDS
                    self._waiting.clear()
                _log.warning("The broker did not take a nudge (%s); the tick will do.", type(error).__name__)


_messenger = Messenger()
os.register_at_fork(after_in_child=_messenger.start_afresh)


def nudge(tenant_id: int) -> None:
    """Once this transaction commits, have the tenant's due messages sent; never fails and never waits."""
    transaction.on_commit(partial(_leave_with_messenger, tenant_id), robust=True)


def nudge_task(name: str) -> None:
    """Once this transaction commits, have a task of another room run; likewise."""
    transaction.on_commit(partial(_leave_with_messenger, name), robust=True)


def publish(wanted: set[Wanted]) -> None:
    """Ask the broker, in one try, for a run of `send_one_tenant` for each tenant, and of each task."""
    app = import_string(settings.TASK_APP)
    patience = settings.BROKER_TIMEOUT_SECONDS
    # Without these, kombu retries for as long as it takes, whatever `retry=False` says further down.
    once = {"max_retries": 0, "socket_timeout": patience, "socket_connect_timeout": patience}
    with app.connection(transport_options=once) as connection:
        for each in sorted(wanted, key=str):
            is_tenant = isinstance(each, int)
            app.send_task(
                "pins.deliveries.tasks.send_one_tenant" if is_tenant else each,
                kwargs={"tenant_id": each} if is_tenant else {},
                connection=connection,
                retry=False,
                ignore_result=True,
                expires=60,
            )


def _leave_with_messenger(wanted: Wanted) -> None:
    try:
        _messenger.take(wanted)
    except Exception as error:  # noqa: BLE001  # such as no thread to be had
        _log.warning("A nudge was lost (%s); the tick will do.", type(error).__name__)
