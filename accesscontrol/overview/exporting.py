"""Everything that is known of one person, as one file: to read, and for other programs.

A ZIP with `person.json` and `person.html`. PINs and card numbers are not in it: the record of each is. Of staff who
acted only their number stands there, they are other people.
"""

import json
from collections.abc import Iterable
from datetime import date, datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from django.db import transaction
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from accesscontrol.access.models import Alarm, ChannelCommand, Event
from accesscontrol.credentials.models import Credential, CredentialState
from accesscontrol.people.models import GroupMembership, GroupRole, Person, PersonRole, PersonState
from accesscontrol.people.records import WRITABLE
from accesscontrol.reservations.models import GroupReservation, Reservation, ReservationChannel, ReservationPeriod
from accesscontrol.visits.models import BatchItem, ImportRow, RevealLink
from accesscontrol.webhooks.models import Dispatch
from accounts import audit
from accounts.models import AuditEvent, Tenant
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery


@transaction.atomic
def export(person: Person, *, by: audit.Actor, now: datetime) -> bytes:
    """The file; that it was made is part of what is known from then on."""
    tenant = Tenant.objects.get(pk=current_tenant_id())
    found = gather(person)
    audit.record("export", "person", person.pk, by=by, now=now)
    about = {"organisation": tenant.name, "made_at": now, "time_zone": tenant.time_zone}
    with timezone.override(tenant.zone):
        page = render_to_string("overview/person_export.html", {"about": about, "parts": _readable(found)})
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("person.json", json.dumps(_plain({**about, **found}), ensure_ascii=False, indent=2))
        archive.writestr("person.html", page)
    return file.getvalue()


def gather(person: Person) -> dict[str, Any]:
    """What is known of this person, part by part."""
    visits = Reservation.objects.filter(person=person)
    credentials = Credential.objects.filter(person=person)
    deliveries = Delivery.objects.about("person", [person.pk])
    return {
        "person": {
            "id": person.pk,
            **{name: getattr(person, name) for name in WRITABLE if name != "site"},
            "site": person.site.name if person.site else None,
            **_fields(person, "created_at", "updated_at", "deleted_at"),
        },
        "validity": _rows(
            PersonState.objects.filter(person=person), "enabled", "valid_from", "valid_to", "started_at", "ended_at"
        ),
        "groups": _periods(GroupMembership.objects.filter(person=person).select_related("group"), "group"),
        "access_levels": _periods(PersonRole.objects.filter(person=person).select_related("role"), "role"),
        "access_levels_of_groups": [
            {"group": row.group.name, **_period(row, "role")}
            for row in _of_groups(person).select_related("role", "group")
        ],
        "visits": [
            _visit(visit)
            for visit in visits.select_related("host__user", "shift", "group").order_by("start_time", "pk")
        ],
        "pins_and_cards": [_credential(credential) for credential in credentials.order_by("pk")],
        "events": [
            {"door": event.channel.name, "credential": event.credential.public_id if event.credential else None}
            | _fields(event, "id", "occurred_at", "recorded_at", "admitted", "reason")
            for event in Event.objects.filter(person=person)
            .select_related("channel", "credential")
            .order_by("occurred_at")
        ],
        "groups_for_a_time": [
            {"groups": [row.group.name for row in period.groups.all()]}
            | _fields(period, "start_time", "end_time", "ended_at")
            for period in GroupReservation.objects.filter(person=person)
            .prefetch_related("groups__group")
            .order_by("start_time", "pk")
        ],
        "named_as_host": _rows(_hosted(person), "id", "start_time", "end_time", "host_name"),
        "alarms": _rows(
            Alarm.objects.filter(person=person).order_by("raised_at", "pk"),
            *("kind", "raised_at", "ended_at", "acknowledged_at", "acknowledged_reason"),
        ),
        "doors_opened_for_them": [
            {"door": row.channel.name, **_fields(row, "kind", "issued_at", "reason", "outcome")}
            for row in ChannelCommand.objects.filter(person=person).select_related("channel").order_by("pk")
        ],
        "messages": _rows(
            deliveries.order_by("queued_at", "pk"),
            *("medium", "address", "template", "language", "state", "queued_at", "sent_at", "failed_at", "last_error"),
        ),
        "links_to_a_pin": _rows(
            RevealLink.objects.filter(credential__in=credentials),
            *("created_at", "expires_at", "views", "first_viewed_at", "last_viewed_at"),
        ),
        "bulk_steps": [
            {"kind": row.batch.kind, "created_at": row.batch.created_at, **_fields(row, "state", "reason")}
            for row in BatchItem.objects.filter(person=person).select_related("batch").order_by("pk")
        ],
        "files_they_stood_in": [
            {"file": row.source.name, "uploaded_at": row.source.created_at} | _fields(row, "line", "fate", "reason")
            for row in ImportRow.objects.filter(Q(person=person) | Q(other=person))
            .select_related("source")
            .order_by("pk")
        ],
        "told_to_other_systems": [
            {"system": row.subscription.name} | _fields(row, "type", "state", "occurred_at")
            for row in Dispatch.objects.filter(subject=f"person:{person.pk}")
            .select_related("subscription")
            .order_by("pk")
        ],
        "audit": _rows(
            _audited(person, visits, credentials, deliveries),
            *("occurred_at", "verb", "subject_type", "subject_id", "fields", "actor_kind", "actor_id"),
        ),
    }


def _hosted(person: Person) -> QuerySet[Reservation]:
    """Visits of others to whoever is called so, and has no place as a member of staff."""
    return Reservation.objects.filter(host_name=person.name).exclude(host_name="").order_by("start_time", "pk")


def _of_groups(person: Person) -> QuerySet[GroupRole]:
    return GroupRole.objects.filter(group__in=GroupMembership.objects.filter(person=person).values("group"))


def _audited(person: Person, *about: QuerySet[Any]) -> QuerySet[AuditEvent]:
    kinds = ("reservation", "credential", "delivery")
    wanted = Q(subject_type="person", subject_id=str(person.pk))
    for kind, rows in zip(kinds, about, strict=True):
        wanted |= Q(subject_type=kind, subject_id__in=[str(number) for number in rows.values_list("pk", flat=True)])
    return AuditEvent.objects.filter(wanted).order_by("occurred_at", "id")


def _visit(visit: Reservation) -> dict[str, Any]:
    doors = ReservationChannel.objects.filter(reservation=visit).select_related("channel").order_by("pk")
    stood = ReservationPeriod.objects.filter(reservation=visit).order_by("pk")
    return {
        **_fields(visit, "id", "start_time", "end_time", "cancelled_at", "purpose", "company", "external_id"),
        **_fields(
            visit, "arrived_at", "checked_in_at", "checked_out_at", "no_show_at", "uses", "max_uses", "created_at"
        ),
        "host": visit.hosted_by,
        "came_with": visit.group.name if visit.group else None,
        "weekly_hours": visit.shift.name if visit.shift else None,
        "doors": [_period(row, "channel") for row in doors],
        "as_it_stood": _rows(stood, "start_time", "end_time", "started_at", "ended_at"),
    }


def _credential(credential: Credential) -> dict[str, Any]:
    return {
        "id": credential.public_id,
        "type": credential.get_type_display(),
        **_fields(credential, "digits", "created_at", "expired_at", "revoked_at", "erased_at", "ends_at"),
        "enabled": _rows(
            CredentialState.objects.filter(credential=credential).order_by("pk"), "enabled", "started_at", "ended_at"
        ),
    }


def _periods(rows: Iterable[Any], name: str) -> list[dict[str, Any]]:
    return [_period(row, name) for row in rows]


def _period(row: Any, name: str) -> dict[str, Any]:
    return {"door" if name == "channel" else name: getattr(row, name).name, **_fields(row, "started_at", "ended_at")}


def _rows(rows: Iterable[Any], *names: str) -> list[dict[str, Any]]:
    return [_fields(row, *names) for row in rows]


def _fields(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _plain(value: Any) -> Any:
    """As JSON writes it: instants in UTC."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone.get_default_timezone()).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _readable(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part as a table: its title, its columns, its rows."""
    parts = []
    for name, part in found.items():
        rows = [part] if isinstance(part, dict) else part
        columns = list(rows[0]) if rows else []
        parts.append(
            {
                "title": _words(name),
                "is_one": isinstance(part, dict),
                "columns": [_words(column) for column in columns],
                "rows": [[_told(row[column]) for column in columns] for row in rows],
                "pairs": [(_words(column), _told(value)) for column, value in part.items()]
                if isinstance(part, dict)
                else [],
            }
        )
    return parts


def _words(name: str) -> str:
    text = name.removesuffix("_at").replace("_", " ")
    return text[:1].upper() + text[1:]


def _told(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S %Z}"
    if isinstance(value, list):
        return "; ".join(_told(one) for one in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{_words(name).lower()} {_told(one)}" for name, one in value.items() if one is not None)
    return str(value)
