"""One visit: what it allows, what happened to it, and what the desk can do with it, one verb each."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from accesscontrol.access import board
from accesscontrol.access.models import Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.desk import issue
from accesscontrol.desk.entry import Desk, at_desk, back
from accesscontrol.desk.visit_steps import ExtendForm, MoveForm
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import arriving, belonging, changing, replacing
from accesscontrol.visits import messages as telling
from accounts.models import AuditEvent
from accounts.refusals import Refusal
from accounts.rights import Right
from pins.deliveries.models import Delivery
from pins.signin.staff.stepping_up import ask

WRITERS = (Right.VISITS_WRITE, Right.VISITS_OWN)


def visit_of(desk: Desk, reservation_id: int) -> Reservation:
    """A visit at the sites of the caller; a host's only their own; anything else is not there."""
    rows = Reservation.objects.filter(pk=reservation_id, person__deleted_at=None).select_related("person", "shift")
    if desk.is_host:
        rows = rows.filter(host_id=desk.caller.actor.id)
    if desk.caller.site_ids is not None:
        rows = rows.filter(pk__in=belonging.now_at(desk.caller.site_ids).values("reservation_id"))
    visit = rows.first()
    if visit is None:
        raise Http404
    return visit


def version_of(desk: Desk) -> int | None:
    """The state that whoever pressed the button was looking at."""
    text = desk.request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


@require_GET
@at_desk(Right.VISITS_READ, Right.VISITS_OWN)
def page(desk: Desk, reservation_id: int) -> HttpResponse:
    """Who, where, when; its messages and what happened at the doors."""
    return shown(desk, visit_of(desk, reservation_id))


def shown(desk: Desk, visit: Reservation, *, status: int = 200, **forms: Any) -> HttpResponse:
    """The page of a visit; with a form that was refused, what was typed in it stands there still."""
    channels = ReservationChannel.objects.filter(reservation=visit).select_related("channel__site")
    doors = [row.channel for row in channels.order_by("channel__name") if row.ended_at is None or visit.cancelled_at]
    deliveries = list(Delivery.objects.about("reservation", [visit.pk]).order_by("-queued_at")[:20])
    states = telling.states_of(deliveries)
    events = Event.objects.filter(
        person_id=visit.person_id, occurred_at__gte=visit.created_at, channel__in=[door.pk for door in doors]
    )
    changes = AuditEvent.objects.filter(subject_type="reservation", subject_id=str(visit.pk)).order_by("-pk")[:20]
    editable = desk.may(Right.VISITS_WRITE) or desk.is_host
    forms.setdefault("extend_form", ExtendForm(desk, visit))
    forms.setdefault("move_form", MoveForm(desk, visit))
    return desk.page(
        "desk/visit.html",
        visit=visit,
        state=board.states_of([visit], doors[0].site if doors else desk.site, now=desk.now)[visit.pk],
        hours=visit.shift.name if visit.shift else "",
        doors=doors,
        messages_sent=[(delivery, states[delivery.pk]) for delivery in deliveries],
        events=events.select_related("channel").order_by("-occurred_at")[:20],
        changes=changes,
        can_change=editable and not visit.is_over(desk.now),
        may_show=desk.may(Right.PINS_READ),
        has_pin=_pin_of(visit).exists(),
        may_people=desk.may(Right.PEOPLE_READ),
        status=status,
        **forms,
    )


def _pin_of(visit: Reservation) -> Any:
    live = {"revoked_at": None, "erased_at": None, "ends_at": None}
    return Credential.objects.filter(person_id=visit.person_id, type=CredentialType.PIN, **live)


def _do(desk: Desk, reservation_id: int, done: str, verb: Callable[..., Any], **values: Any) -> HttpResponse:
    """Do one thing and say so; a Refusal is said on the visit's page, which shows what is true now."""
    visit = visit_of(desk, reservation_id)
    try:
        verb(visit, **values, by=desk.caller.actor, now=desk.now)
    except Refusal as refusal:
        return refused(desk, reservation_id, refusal)
    messages.success(desk.request, done % {"name": visit.person.name})
    return back(desk.request)


def refused(desk: Desk, reservation_id: int, refusal: Refusal, **forms: Any) -> HttpResponse:
    visit = visit_of(desk, reservation_id)
    messages.error(desk.request, refusal.in_words(), extra_tags="bad")
    return shown(desk, visit, status=refusal.status, **forms)


@require_POST
@at_desk(*WRITERS)
def extend(desk: Desk, reservation_id: int) -> HttpResponse:
    """Let it last longer: by a button, or until a time."""
    visit = visit_of(desk, reservation_id)
    form = ExtendForm(desk, visit, desk.request.POST)
    if not form.is_valid():
        return shown(desk, visit, status=422, extend_form=form)
    values = {"end_time": form.cleaned_data["end"], "expected_version": version_of(desk)}
    try:
        belonging.refuse_elsewhere([visit], desk.caller.site_ids)
        changing.extend(visit, **values, by=desk.caller.actor, now=desk.now)
    except Refusal as refusal:
        form.refuse(refusal)
        return refused(desk, reservation_id, refusal, extend_form=form)
    messages.success(desk.request, gettext("The visit of %(name)s was extended.") % {"name": visit.person.name})
    return back(desk.request)


@require_POST
@at_desk(*WRITERS)
def move(desk: Desk, reservation_id: int) -> HttpResponse:
    """Give it other times or other doors."""
    visit = visit_of(desk, reservation_id)
    form = MoveForm(desk, visit, desk.request.POST)
    if not form.is_valid():
        return shown(desk, visit, status=422, move_form=form)
    offered: Any = form.fields["doors"]
    hidden = ReservationChannel.objects.filter(OPEN, reservation=visit).exclude(channel__in=offered.queryset.order_by())
    doors = [*form.cleaned_data["doors"], *(row.channel for row in hidden.select_related("channel"))]
    values = {"start_time": form.cleaned_data["start"], "end_time": form.cleaned_data["end"], "channels": doors}
    try:
        belonging.refuse_elsewhere([visit], desk.caller.site_ids)
        changing.move(visit, **values, expected_version=version_of(desk), by=desk.caller.actor, now=desk.now)
    except Refusal as refusal:
        form.refuse(refusal)
        return refused(desk, reservation_id, refusal, move_form=form)
    messages.success(desk.request, gettext("The visit of %(name)s was moved.") % {"name": visit.person.name})
    return back(desk.request)


@require_POST
@at_desk(*WRITERS)
def end(desk: Desk, reservation_id: int) -> HttpResponse:
    """End visit: before its start it never happens, after it it ends now."""
    done = gettext("The visit of %(name)s was ended.")

    def ended(visit: Reservation, **values: Any) -> None:
        belonging.refuse_elsewhere([visit], desk.caller.site_ids)
        changing.end(visit, **values)

    return _do(desk, reservation_id, done, ended, expected_version=version_of(desk))


@require_POST
@at_desk(Right.VISITS_WRITE)
def check_in(desk: Desk, reservation_id: int) -> HttpResponse:
    done = gettext("%(name)s is checked in.")
    return _do(desk, reservation_id, done, arriving.check_in, expected_version=version_of(desk))


@require_POST
@at_desk(Right.VISITS_WRITE)
def check_out(desk: Desk, reservation_id: int) -> HttpResponse:
    done = gettext("%(name)s is checked out.")
    return _do(desk, reservation_id, done, arriving.check_out, expected_version=version_of(desk))


@require_POST
@at_desk(*WRITERS)
def resend(desk: Desk, reservation_id: int) -> HttpResponse:
    """Send the message once more, by the medium that was chosen."""
    medium = desk.request.POST.get("medium") or "email"
    return _do(desk, reservation_id, gettext("The message is on its way to %(name)s."), replacing.resend, medium=medium)


@require_POST
@at_desk(Right.VISITS_WRITE)
def reissue(desk: Desk, reservation_id: int) -> HttpResponse:
    """A new PIN in the place of the old one, which is dead from now on."""
    visit = visit_of(desk, reservation_id)
    deliver = desk.request.POST.get("deliver") or None
    # A visitor's PIN opens what the desk gives visitors; a colleague's, whatever they may open.
    if visit.person.kind != Person.Kind.VISITOR and (asking := ask(desk.request)) is not None:
        return asking
    try:
        issued = replacing.reissue(
            visit, expected_version=version_of(desk), deliver=deliver, by=desk.caller.actor, now=desk.now
        )
    except Refusal as refusal:
        return refused(desk, reservation_id, refusal)
    return issue.shown(desk, visit, issued.value, delivery=issued.delivery, how="new")


@require_POST
@at_desk(Right.PINS_READ)
def show_pin(desk: Desk, reservation_id: int) -> HttpResponse:
    """Show the PIN again, to somebody who proves once more who they are."""
    visit = visit_of(desk, reservation_id)
    if (asking := ask(desk.request)) is not None:
        return asking
    revealed = lifecycle.reveal(_pin_of(visit), by=desk.caller.actor, now=desk.now)
    if not revealed:
        messages.error(desk.request, gettext("This visitor has no PIN any more."), extra_tags="bad")
        return HttpResponseRedirect(reverse("desk:visit", args=[visit.pk]))
    return issue.shown(desk, visit, next(iter(revealed.values())), how="again")


@require_GET
@at_desk(Right.VISITS_READ, Right.VISITS_OWN)
def badge(desk: Desk, reservation_id: int) -> HttpResponse:
    """A sheet to print and wear; never with the PIN."""
    visit = visit_of(desk, reservation_id)
    rows = ReservationChannel.objects.filter(OPEN, reservation=visit).order_by("channel__name")
    return desk.page("desk/badge.html", visit=visit, doors=list(rows.values_list("channel__name", flat=True)))
