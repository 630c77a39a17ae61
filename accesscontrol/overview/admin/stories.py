"""The sections of a page that tells the whole story of one row: a few lines each, and the way to all of them.

A section of a page that the caller may not view is left out; its rows are those that the page itself shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accesscontrol.access.models import Alarm, Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.overview.navigation import list_of, may_view
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import messages
from accesscontrol.visits.admin.deliveries import STATES as MESSAGE_STATES
from accesscontrol.visits.admin.deliveries import TEMPLATE_WORDS
from accesscontrol.visits.admin.reservations import STATES as VISIT_STATES
from accesscontrol.visits.admin.reservations import state_of as state_of_visit
from accounts.admin.audit_events import actor_in_words, deed_in_words
from accounts.admin.moments import read_at, read_period
from accounts.admin.records import visible_rows
from accounts.models import AuditEvent, Membership
from pins.deliveries.models import Delivery, DeliverySubject

MOST = 6


@dataclass(frozen=True)
class Line:
    """One row of a section; the title leads to it where it has a page."""

    title: str
    about: str = ""
    link: str = ""
    label: str = ""
    tone: str = "info"
    # More of the same, each with a page of its own: words and address.
    parts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Section:
    title: str
    lines: Sequence[Line]
    empty: str
    # Words and address: all of them, and what can be done.
    links: Sequence[tuple[str, str]] = field(default=())


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def link_to(request: HttpRequest, row: Model) -> str:
    """The page of a row, where the caller may view pages of its kind."""
    return page_of(row) if may_view(request, type(row)) else ""


def list_link(words: str, model: type[Model], **query: Any) -> tuple[str, str]:
    return words, f"{list_of(model)}?{urlencode(query)}"


def events(request: HttpRequest, rows: QuerySet[Event], link: tuple[str, str], *, at_door: bool = False) -> Section:
    """The latest events; at a door each names who it was, elsewhere where it was."""
    lines = []
    for event in rows.select_related("channel__site", "person").order_by("-occurred_at", "-id")[:MOST]:
        known = event.person if event.person is not None and event.person.deleted_at is None else None
        who = known.listed_name if known else "Deleted person" if event.person_id else "Nobody known"
        title, about = (who, "") if at_door else (event.channel.name, f"{event.channel.site.name}, ")
        by = "Opened by command" if event.credential_type is None else str(CredentialType(event.credential_type).label)
        why = "" if event.admitted else f" · {Reason(event.reason).label}"
        lines.append(
            Line(
                title,
                about=f"{about}{read_at(event.occurred_at, event.channel.site.zone, seconds=True)} · {by}{why}",
                link=(link_to(request, known) if known else "") if at_door else link_to(request, event.channel),
                label="Let in" if event.admitted else "Not let in",
                tone="success" if event.admitted else "danger",
            )
        )
    return Section("What happened", lines, "Nothing yet.", [link] if lines else [])


def visits(
    request: HttpRequest, rows: QuerySet[Reservation], now: datetime, links: Sequence[tuple[str, str]], *,
    title: str, with_person: bool = False,
) -> Section:  # fmt: skip
    """A few visits, with their doors as far as the caller may know of them."""
    doors = ReservationChannel.objects.filter(channel__in=visible_rows(request, Channel)).select_related("channel")
    named = Prefetch("reservationchannels", doors.order_by("channel__name"), to_attr="known_channels")
    lines = []
    for visit in rows.select_related("person").prefetch_related(named)[:MOST]:
        state = state_of_visit(visit, now)
        known: Iterable[ReservationChannel] = visit.known_channels
        names = ", ".join(sorted({row.channel.name for row in known if row.ended_at is None or visit.cancelled_at}))
        period = read_period(visit.start_time, visit.end_time)
        lines.append(
            Line(
                visit.person.listed_name if with_person else period,
                about=f"{period} · {names}" if with_person else names,
                link=page_of(visit),
                label=state,
                tone=VISIT_STATES[state],
            )
        )
    return Section(title, lines, "None.", links)


def sent(request: HttpRequest, kind: str, row: Model) -> Section:
    """The latest messages about a row."""
    subjects = DeliverySubject.objects.filter(kind=kind, object_id=row.pk)
    rows = visible_rows(request, Delivery).filter(pk__in=subjects.values("delivery_id"))
    found = list(rows.prefetch_related("reveal_links").order_by("-queued_at", "-id")[:MOST])
    lines = []
    for delivery in found:
        state = messages.state_of(delivery)
        lines.append(
            Line(
                TEMPLATE_WORDS.get(delivery.template, delivery.template),
                about=" · ".join(filter(None, (delivery.address, read_at(delivery.queued_at), state.reason))),
                link=page_of(delivery),
                label=state.word,
                tone=MESSAGE_STATES[state.word],
            )
        )
    links = [list_link("All messages", Delivery, about=f"{kind}-{row.pk}")] if lines else []
    return Section("Messages", lines, "Nothing was sent.", links)


def alarms(request: HttpRequest, rows: QuerySet[Alarm], link: tuple[str, str]) -> Section:
    """The latest alarms."""
    lines = [
        Line(
            alarm.get_kind_display(),
            about=" · ".join(filter(None, (read_at(alarm.raised_at, alarm.site.zone), alarm.acknowledged_reason))),
            link=page_of(alarm),
            label="Open" if alarm.acknowledged_at is None else "Acknowledged",
            tone="danger" if alarm.acknowledged_at is None else "success",
        )
        for alarm in rows.select_related("site").order_by("-raised_at", "-id")[:MOST]
    ]
    return Section("Alarms", lines, "All quiet: no alarm was raised.", [link] if lines else [])


def audit(request: HttpRequest, kind: str, row: Model) -> Section:
    """Who did what to a row, latest first; staff by name."""
    rows = list(
        AuditEvent.objects.filter(subject_type=kind, subject_id=str(row.pk)).order_by("-occurred_at", "-id")[:MOST]
    )
    staff_ids = {event.actor_id for event in rows if event.actor_kind == "staff" and event.actor_id is not None}
    named = Membership.objects.filter(pk__in=staff_ids).select_related("user")
    names = {member.pk: str(member.user) for member in named} if may_view(request, Membership) and staff_ids else {}
    lines = [
        Line(
            deed_in_words(event.verb),
            about=" · ".join(
                filter(
                    None,
                    (
                        names.get(event.actor_id or 0) or actor_in_words(event),
                        read_at(event.occurred_at),
                        ", ".join(event.fields).replace("_", " "),
                    ),
                )
            ),
            link=page_of(event),
        )
        for event in rows
    ]
    return Section(
        "Audit", lines, "Nothing was changed or read.",
        [list_link("All of the audit", AuditEvent, subject_type=kind, subject_id=row.pk)] if lines else [],
    )  # fmt: skip
