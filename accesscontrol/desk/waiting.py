"""Doors that wait after wrong PINs, and who lifts a wait."""

from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from accesscontrol.access import attempts
from accesscontrol.desk.entry import Desk, at_desk, back
from accesscontrol.doors.models import Channel
from accounts.models import Site
from accounts.rights import Right
from pins.throttle.models import Throttle


def waiting_doors(site: Site, now: datetime) -> list[tuple[Channel, datetime]]:
    """Doors of the site that take no PIN now, and until when."""
    by_id = {attempts.subject_of(door.pk).id: door for door in Channel.objects.filter(site=site).order_by("name")}
    kind = attempts.subject_of(0).kind
    waits = Throttle.objects.filter(subject_kind=kind, subject_id__in=by_id, wait_until__gt=now)
    return [(by_id[wait.subject_id], wait.wait_until) for wait in waits.order_by("subject_id") if wait.wait_until]


def door_of(desk: Desk, channel_id: int) -> Channel:
    """A door at the sites of the caller; anything else is not there."""
    door = Channel.objects.filter(pk=channel_id, site__in=[site.pk for site in desk.sites]).first()
    if door is None:
        raise Http404
    return door


@require_POST
@at_desk(Right.THROTTLE_LIFT)
def lift(desk: Desk, channel_id: int) -> HttpResponse:
    """Let a door take PINs again at once."""
    door = door_of(desk, channel_id)
    lifted = attempts.lift_wait(door, by=desk.caller.actor, now=desk.now)
    done = gettext("%(door)s takes PINs again.") if lifted else gettext("%(door)s was not waiting any more.")
    messages.success(desk.request, done % {"door": door.name})
    return back(desk.request)
