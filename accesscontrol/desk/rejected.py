"""A known visitor was not let in: let them in once, start their visit now, or add the door to it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from accesscontrol.access import letting_in
from accesscontrol.access.models import Event
from accesscontrol.desk.entry import Desk, at_desk, back
from accounts.refusals import Refusal
from accounts.rights import Right


def _do(desk: Desk, event_id: int, done: str, verb: Callable[..., Any], **values: Any) -> HttpResponse:
    here = [site.pk for site in desk.sites]
    event = Event.objects.filter(pk=event_id, admitted=False, person__isnull=False, channel__site__in=here).first()
    if event is None:
        raise Http404
    try:
        verb(event, **values, by=desk.caller.actor, now=desk.now)
    except Refusal as refusal:
        messages.error(desk.request, refusal.in_words(), extra_tags="bad")
    else:
        assert event.person is not None
        messages.success(desk.request, done % {"name": event.person.name, "door": event.channel.name})
    return back(desk.request)


@require_POST
@at_desk(Right.CHANNELS_ADMIT)
def let_in(desk: Desk, event_id: int) -> HttpResponse:
    """Open this door once."""
    done = gettext("%(door)s opens for %(name)s.")
    return _do(desk, event_id, done, letting_in.let_in, reason=gettext("Let in from the front desk"))


@require_POST
@at_desk(Right.VISITS_WRITE)
def start_now(desk: Desk, event_id: int) -> HttpResponse:
    """Begin the visit before its time."""
    return _do(desk, event_id, gettext("The visit of %(name)s starts now."), letting_in.start_now)


@require_POST
@at_desk(Right.VISITS_WRITE)
def add_door(desk: Desk, event_id: int) -> HttpResponse:
    """Let the visit open this door too."""
    return _do(desk, event_id, gettext("%(name)s may open %(door)s from now on."), letting_in.add_door)
