"""Issue on one screen: person, PIN, visit and message by one click; the PIN is shown by this answer alone."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods

from accesscontrol.credentials.wording import in_groups_of_digits
from accesscontrol.desk.entry import Desk, at_desk
from accesscontrol.desk.visit_form import VisitorForm
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import returning, visiting
from accounts.refusals import Refusal
from accounts.rights import Right
from pins.deliveries.models import Delivery
from pins.signin.staff.stepping_up import ask


@require_http_methods(["GET", "HEAD", "POST"])
@at_desk(Right.VISITS_WRITE, Right.VISITS_OWN)
def issue(desk: Desk) -> HttpResponse:
    """The form, and what became of it."""
    form = VisitorForm(desk, desk.request.POST or None)
    overlaps: list[Any] = []
    if form.is_bound and form.is_valid():
        person = form.person()
        # What others issued is none of a host's business.
        if not desk.is_host and not desk.request.POST.get("overlap_seen"):
            overlaps = _overlaps(person, form)
        if not overlaps:
            if tells_elsewhere(person, form) and (asking := ask(desk.request)) is not None:
                return asking
            try:
                visit = visiting.issue(person=person, **form.values(), by=desk.caller.actor, now=desk.now)
            except Refusal as refusal:
                form.refuse(refusal)
            else:
                return answer(desk, visit)
    status = 422 if form.errors else 409 if overlaps else 200
    return desk.page("desk/issue.html", form=form, overlaps=overlaps, status=status)


def tells_elsewhere(person: Person | None, form: VisitorForm) -> bool:
    """Whether a PIN that somebody holds would be sent to an address that is not theirs yet: as good as shown."""
    deliver, (email, mobile) = form.cleaned_data["deliver"], form.cleaned_data["address"]
    if person is None or deliver is None or visiting.pin_of(person) is None:
        return False
    return bool(email.lower() != person.lower_email if deliver == "email" else mobile != person.mobile)


def answer(desk: Desk, visit: visiting.Visit) -> HttpResponse:
    """The PIN, once; the visit's page where there is none to show."""
    if visit.value:
        return shown(desk, visit.reservation, visit.value, delivery=visit.delivery)
    if visit.is_new:
        messages.info(desk.request, gettext("The visit was issued. The visitor keeps the PIN they have."))
    else:
        messages.info(desk.request, gettext("This visit was issued already; its PIN was shown then."))
    return HttpResponseRedirect(reverse("desk:visit", args=[visit.reservation.pk]))


def shown(
    desk: Desk,
    visit: Reservation,
    pin: str,
    *,
    delivery: Delivery | None = None,
    how: str = "issued",
) -> HttpResponse:
    """The page with a PIN; `how` it came to be shown: issued, again, or as a new one."""
    rows = ReservationChannel.objects.filter(OPEN, reservation=visit).order_by("channel__name")
    return desk.page(
        "desk/issued.html",
        visit=visit,
        pin=in_groups_of_digits(pin),
        hours=visit.shift.name if visit.shift else "",
        doors=list(rows.values_list("channel__name", flat=True)),
        delivery=delivery,
        how=how,
    )


def _overlaps(person: Any, form: VisitorForm) -> list[Any]:
    if person is None:
        return []
    values = form.cleaned_data
    return list(returning.overlapping(person, values["start"], values["end"]))


@require_GET
@at_desk(Right.PEOPLE_READ)
def suggestions(desk: Desk) -> HttpResponse:
    """Known visitors whose name begins like what is being typed."""
    text = desk.request.GET.get("name", "")[:120].strip()
    found = returning.suggestions(text, now=desk.now, site_ids=desk.caller.site_ids) if len(text) >= 2 else []
    return render(desk.request, "desk/found.html", {"found": found})


@require_GET
@at_desk(Right.PEOPLE_READ)
def overlaps(desk: Desk) -> HttpResponse:
    """Other visits of the same person in the time that the form says, before anything is issued."""
    form = VisitorForm(desk, desk.request.GET)
    form.full_clean()
    found = []
    if {"start", "end", "name"} <= set(form.cleaned_data):
        found = _overlaps(form.person(), form)
    return render(desk.request, "desk/overlaps.html", {"overlaps": found})
