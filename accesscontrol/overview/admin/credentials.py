"""PINs and cards, each with its whole story. No value stands in it."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accesscontrol.access.admin import checks
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import Credential, CredentialState
from accesscontrol.doors.models import Channel
from accesscontrol.overview.admin import stories
from accesscontrol.overview.admin.people import doors_to_check, rights_lines
from accesscontrol.overview.admin.stories import Line, Section
from accesscontrol.overview.navigation import may_view
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits.admin.credentials import CredentialAdmin
from accounts.admin.moments import read_at
from accounts.admin.records import visible_rows
from accounts.models import AuditEvent
from pins.deliveries.models import Delivery


@admin.register(Credential)
class CredentialPage(CredentialAdmin):
    """A PIN or a card: whose it is, what it opens, and what became of it."""

    change_form_outer_before_template = "admin/story.html"

    def story(self, request: HttpRequest, obj: Credential, now: datetime) -> dict[str, Any]:
        sections = [_life(obj, now)]
        if may_view(request, Channel):
            none = "Nothing: no access level, neither their own nor through a group, and no visit."
            sections.append(Section("Opens", rights_lines(request, obj.person, now), none))
        if may_view(request, Reservation):
            rows = visible_rows(request, Reservation).filter(person_id=obj.person_id).order_by("-end_time", "-id")
            links = [stories.list_link("All visits", Reservation, person__id__exact=obj.person_id)]
            sections.append(stories.visits(request, rows, now, links, title="Visits of its person"))
        if may_view(request, Event):
            used = visible_rows(request, Event).filter(person_id=obj.person_id, credential=obj)
            link = stories.list_link("All events", Event, credential__id__exact=obj.pk, person__id__exact=obj.person_id)
            sections.append(stories.events(request, used, link))
        if may_view(request, Delivery):
            sections.append(stories.sent(request, "credential", obj))
        if may_view(request, AuditEvent):
            sections.append(stories.audit(request, "credential", obj))
        return {
            **super().story(request, obj, now),
            "sections": sections,
            "check": {"person": obj.person_id, "doors": doors_to_check(request)} if checks.may_check(request) else None,
        }


def _life(credential: Credential, now: datetime) -> Section:
    """From when until when it was enabled, and what is to come."""
    periods = CredentialState.objects.filter(credential=credential).order_by("-started_at", "-pk")[: stories.MOST]
    lines = [
        Line(
            "Enabled" if period.enabled else "Disabled",
            about=f"from {read_at(period.started_at)}"
            + (f" to {read_at(period.ended_at)}" if period.ended_at is not None else ""),
            label="Now" if period.ended_at is None else "",
            tone="success" if period.enabled else "warning",
        )
        for period in periods
    ]
    if credential.replaced_by is not None:
        words = f"works until {read_at(credential.ends_at)}" if not credential.is_over(now) else "works no more"
        lines.insert(0, Line("Was replaced", about=words, link=stories.page_of(credential.replaced_by)))
    elif credential.rotate_at is not None and credential.rotate_at > now:
        lines.insert(0, Line("To be replaced", about=f"from {read_at(credential.rotate_at)}"))
    return Section(
        "Its life",
        lines,
        "Nothing is known.",
        [(f"Of {credential.person.listed_name}", stories.page_of(credential.person))],
    )
