"""Who did what to what, written in the same transaction as the deed. Ids and names of fields, never values."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from accounts.models import AuditEvent


@dataclass(frozen=True)
class Actor:
    """Who acts: `kind` is staff, api, reader, token, platform, system or command; `id` the membership, key, user."""

    kind: str
    id: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id is not None else self.kind


SYSTEM = Actor("system")


def record(
    verb: str,
    subject_type: str,
    subject_id: object,
    *,
    by: Actor,
    now: datetime,
    fields: Iterable[str] = (),
) -> None:
    """Write one AuditEvent for the current tenant."""
    record_many(verb, subject_type, [subject_id], by=by, now=now, fields=fields)


def record_many(
    verb: str,
    subject_type: str,
    subject_ids: Iterable[object],
    *,
    by: Actor,
    now: datetime,
    fields: Iterable[str] = (),
) -> None:
    """Write one AuditEvent for each subject, in one statement."""
    names = sorted(fields)
    record_each(verb, subject_type, ((subject_id, names) for subject_id in subject_ids), by=by, now=now)


def record_each(
    verb: str, subject_type: str, fields_of: Iterable[tuple[object, Iterable[str]]], *, by: Actor, now: datetime
) -> None:
    """Write one AuditEvent for each subject, with fields of its own, in one statement."""
    AuditEvent.objects.bulk_create(
        AuditEvent(
            actor_kind=by.kind,
            actor_id=by.id,
            verb=verb,
            subject_type=subject_type,
            subject_id=str(subject_id),
            fields=sorted(fields),
            occurred_at=now,
        )
        for subject_id, fields in fields_of
    )
