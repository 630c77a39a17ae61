"""The report as a file: rows leave as they are found, each batch in a transaction of its own.

What held in the past does not change, so that batches agree with each other. A cell that a spreadsheet would take for
a formula is made text.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from accesscontrol.access.models import Event
from accesscontrol.doors.models import Channel
from accesscontrol.overview.who_could.report import BATCH, Report
from accounts.admin.exporting import harmless
from accounts.tenancy import tenant_transaction

COULD = ("site", "door", "person_id", "person", "through", "weekly_hours", "from", "until", "stretches", "let_in")
COULD_TOO = ("first_let_in", "last_let_in")
DID = ("site", "door", "time", "person_id", "person", "how")
Row = Sequence[object]


class _Line:
    """Where csv writes a row to: it is handed on at once."""

    def write(self, text: str) -> str:
        return text


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Rows as CSV, with the mark by which spreadsheets know UTF-8."""
    writer = csv.writer(_Line())
    yield "\ufeff"
    for row in rows:
        yield writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])


def could_rows(tenant_id: int, channels: Sequence[Channel], begin: datetime, end: datetime) -> Iterator[Row]:
    """Who could, for each of these doors."""
    yield (*COULD, *COULD_TOO)
    for channel in channels:
        with tenant_transaction(tenant_id):
            report = Report(channel, begin, end)
            ids = list(report.people().values_list("pk", flat=True))
            held_open = report.door.held_open
        at = _clock(report.zone)
        for span in held_open:
            yield (*_door(channel), "", "Anybody", "Door held open", "", at(span[0]), at(span[1]), 1, "", "", "")
        for place in range(0, len(ids), BATCH):
            with tenant_transaction(tenant_id):
                found = report.could_rows(ids[place : place + BATCH])
            for row in found:
                let_in = (row.did.count, at(row.did.first), at(row.did.last))
                period = (at(row.since), at(row.until), len(row.spans))
                yield (*_door(channel), row.person.pk, row.person.name, row.through, row.hours, *period, *let_in)


def did_rows(tenant_id: int, channels: Sequence[Channel], begin: datetime, end: datetime) -> Iterator[Row]:
    """Everybody who was let in, event by event."""
    yield DID
    for channel in channels:
        with tenant_transaction(tenant_id):
            report = Report(channel, begin, end)
        at, batches = _clock(report.zone), report.each_event()
        while True:
            with tenant_transaction(tenant_id):
                batch = next(batches, None)
            if batch is None:
                break
            for event in batch:
                who = (event.person_id or "", event.person.name if event.person else "")
                yield (*_door(channel), at(event.occurred_at), *who, how(event))


def how(event: Event) -> str:
    """By what the door opened."""
    if event.credential_type is None:
        return "Opened by command"
    if event.code == 16:
        return f"{event.get_credential_type_display()}, while the door was held open"
    return str(event.get_credential_type_display())


def _door(channel: Channel) -> tuple[str, str]:
    return channel.site.name, channel.name


def _clock(zone: ZoneInfo) -> Callable[[datetime | None], str]:
    def written(moment: datetime | None) -> str:
        if moment is None:
            return ""
        # An instant is asked for as the shortest period there is.
        return moment.replace(microsecond=0).astimezone(zone).isoformat()

    return written


INSTANT = timedelta(microseconds=1)
