"""Who is this? One page for a person: rights, visits, events, messages, and whether a door would open, and why not."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accesscontrol.access import checking
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import Credential
from accesscontrol.desk.choosing import DeskForm, MomentField
from accesscontrol.desk.entry import Desk, at_desk
from accesscontrol.doors.models import Channel, RoleChannel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import finding
from accesscontrol.people.models import GroupMembership, GroupRole, Person, PersonRole
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import belonging
from accesscontrol.visits import messages as telling
from accounts.rights import Right
from pins.deliveries.models import Delivery

MOST = 30


def visible(desk: Desk) -> QuerySet[Person]:
    """People at the sites of the caller, and those without a site."""
    known = Person.objects.filter(deleted_at=None)
    if desk.caller.site_ids is not None:
        known = known.filter(Q(site=None) | Q(site_id__in=desk.caller.site_ids))
    return known


class CheckForm(DeskForm):
    """Which door, and when; the moment is now where none is written."""

    door = forms.ModelChoiceField(Channel.objects.none(), label=_("Door"), empty_label=None)
    at = MomentField(label=_("When"))

    def __init__(self, desk: Desk, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, auto_id="id_check_%s", **kwargs)
        door: Any = self.fields["door"]
        door.queryset = Channel.objects.filter(site=desk.site).order_by("-is_visitor_door", "name")
        self.fields["at"].initial = timezone.localtime(desk.now)


@require_GET
@at_desk(Right.PEOPLE_READ)
def people(desk: Desk) -> HttpResponse:
    """Find somebody by name, address or number."""
    text = desk.request.GET.get("q", "").strip()[:120]
    found: list[Person] = []
    if len(text) >= 2:
        found = list(finding.search(text).filter(pk__in=visible(desk).values("pk"))[: MOST + 1])
    return desk.page("desk/people.html", search=text, found=found[:MOST], has_more=len(found) > MOST, most=MOST)


@require_GET
@at_desk(Right.PEOPLE_READ)
def person(desk: Desk, person_id: int) -> HttpResponse:
    """Everything the desk may know of one person, and the answer to an access check."""
    known = visible(desk).filter(pk=person_id).first()
    if known is None:
        raise Http404
    asked = "door" in desk.request.GET
    form = CheckForm(desk, desk.request.GET if asked else None)
    answer = None
    if asked and form.is_valid():
        moment = form.cleaned_data["at"] or desk.now
        answer = checking.check(known, form.cleaned_data["door"], at=moment, now=desk.now)
    visits = Reservation.objects.filter(person=known)
    events = Event.objects.filter(person=known).select_related("channel__site")
    if desk.caller.site_ids is not None:
        visits = visits.filter(pk__in=belonging.now_at(desk.caller.site_ids).values("reservation_id"))
        events = events.filter(channel__site_id__in=desk.caller.site_ids)
    deliveries = list(Delivery.objects.about("person", [known.pk]).order_by("-queued_at")[:10])
    states = telling.states_of(deliveries)
    return desk.page(
        "desk/person.html",
        person=known,
        is_active=known.is_active(desk.now),
        groups=list(GroupMembership.objects.filter(OPEN, person=known).values_list("group__name", flat=True)),
        rights=_rights(known),
        pins=Credential.objects.filter(person=known, revoked_at=None, erased_at=None).order_by("type", "pk"),
        visits=visits.order_by("-end_time")[:10],
        events=events.order_by("-occurred_at")[:15],
        messages_sent=[(delivery, states[delivery.pk]) for delivery in deliveries],
        form=form,
        answer=answer,
        status=422 if asked and form.errors else 200,
    )


def _rights(known: Person) -> list[tuple[str, str, str]]:
    """Access level, its doors and its hours, of the person's own and of their groups."""
    groups = GroupMembership.objects.filter(OPEN, person=known).values("group_id")
    roles = set(PersonRole.objects.filter(OPEN, person=known).values_list("role_id", flat=True))
    roles |= set(GroupRole.objects.filter(OPEN, group_id__in=groups).values_list("role_id", flat=True))
    rows = RoleChannel.objects.filter(OPEN, role_id__in=roles).select_related("role", "channel", "shift")
    found: dict[int, tuple[str, list[str], str]] = {}
    for row in rows.order_by("role__name", "channel__name"):
        _name, doors, _hours = found.setdefault(row.role_id, (row.role.name, [], row.shift.name if row.shift else ""))
        doors.append(row.channel.name)
    return [(name, ", ".join(doors), hours) for name, doors, hours in found.values()]
