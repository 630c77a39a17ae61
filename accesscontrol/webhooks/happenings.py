"""What happened, read from the rows that were written anyway: AuditEvents, Events and Alarms, merged in one order.

No outbox beside them: each is written in the transaction of its deed, carries its transaction's number and is kept,
so that a write costs nothing more, a period can be told again, and nothing is lost that an outbox would have held.
The order is (transaction, source, row). Ids only: no name, no address, no PIN is read here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db.models import Model, Q

from accesscontrol.access.following import after
from accesscontrol.access.models import Alarm, Event
from accesscontrol.webhooks.models import Kind
from accounts.models import AuditEvent

AUDIT, EVENT, ALARM = 0, 1, 2
_LAST: Final = 2**62
_MODELS: Final[dict[int, type[Model]]] = {AUDIT: AuditEvent, EVENT: Event, ALARM: Alarm}
_LETTERS: Final = {AUDIT: "u", EVENT: "e", ALARM: "a"}
_AUDITED: Final = {Kind.PERSON, Kind.CREDENTIAL, Kind.RESERVATION, Kind.ALARM, Kind.DELIVERY}

# What AuditEvents call it -> what it is told as. A verb that is not here is told as "changed".
WORDS: Final = {
    "create": "created",
    "change": "changed",
    "delete": "deleted",
    "issue": "issued",
    "enable": "enabled",
    "disable": "disabled",
    "revoke": "revoked",
    "rotate": "rotated",
    "expire": "expired",
    "erase": "erased",
    "reserve": "reserved",
    "reschedule": "rescheduled",
    "cancel": "cancelled",
    "check_in": "checked_in",
    "check_out": "checked_out",
    "acknowledge": "acknowledged",
    "send": "sent",
    "fail": "failed",
    "bounce": "bounced",
    "resend": "resent",
}
# Reading and trying change nothing.
SILENT: Final = ("reveal", "refuse", "deliver", "not_delivered", "postpone", "export", "view", "open")


@dataclass(frozen=True)
class Happening:
    """One thing that happened; `row` is the row that says so."""

    source: int
    row: Any = field(repr=False)
    type: str
    occurred_at: datetime

    @property
    def kind(self) -> str:
        return self.type.partition(".")[0]

    @property
    def position(self) -> tuple[int, int, int]:
        return self.row.xact_id, self.source, self.row.pk

    @property
    def message_id(self) -> str:
        """The same at every try and every replay: by it a receiver knows what it has seen."""
        return f"msg_{self.row.tenant_id}{_LETTERS[self.source]}{self.row.pk}"


def collect(
    kinds: Iterable[str], position: tuple[int, int, int], most: int, *, of_events: Q
) -> tuple[list[Happening], bool]:
    """Up to so many happenings after a position, in order, and whether there may be more; of Events those that fit."""
    xact_id, source, row_id = position
    found: list[Happening] = []
    for each in _sources(kinds):
        # In the transaction of the position the sources before its own are done, those after it are not.
        passed = _LAST if each < source else (row_id if each == source else 0)
        rows = _rows(each, kinds, of_events).filter(after((xact_id, passed)))
        found += [_told(each, row) for row in rows.order_by("xact_id", "id")[: most + 1]]
    found.sort(key=lambda happening: happening.position)
    return found[:most], len(found) > most


def collect_period(
    kinds: Iterable[str], after_this: tuple[datetime, int, int], until: datetime, most: int, *, of_events: Q
) -> tuple[list[Happening], bool]:
    """The same by the time at which it happened."""
    moment, source, row_id = after_this
    found: list[Happening] = []
    for each in _sources(kinds):
        clock = "raised_at" if each == ALARM else "occurred_at"
        passed = _LAST if each < source else (row_id if each == source else 0)
        past = Q(**{f"{clock}__gt": moment}) | Q(**{clock: moment, "id__gt": passed})
        rows = _rows(each, kinds, of_events).filter(past, **{f"{clock}__gte": moment, f"{clock}__lt": until})
        found += [_told(each, row) for row in rows.order_by(clock, "id")[: most + 1]]
    found.sort(key=lambda happening: (happening.occurred_at, happening.source, happening.row.pk))
    return found[:most], len(found) > most


def _sources(kinds: Iterable[str]) -> list[int]:
    wanted = set(kinds)
    sources = [AUDIT] if wanted & _AUDITED else []
    return sources + [EVENT] * (Kind.ACCESS in wanted) + [ALARM] * (Kind.ALARM in wanted)


def _rows(source: int, kinds: Iterable[str], of_events: Q) -> Any:
    rows = _MODELS[source]._default_manager.all()
    if source == AUDIT:
        return rows.filter(subject_type__in=sorted(set(kinds) & _AUDITED)).exclude(verb__in=SILENT)
    return rows.filter(of_events).select_related("credential") if source == EVENT else rows


def _told(source: int, row: Any) -> Happening:
    if source == AUDIT:
        return Happening(source, row, f"{row.subject_type}.{WORDS.get(row.verb, 'changed')}", row.occurred_at)
    if source == ALARM:
        return Happening(source, row, "alarm.raised", row.raised_at)
    return Happening(source, row, "access.admitted" if row.admitted else "access.rejected", row.occurred_at)
