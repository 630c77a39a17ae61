"""Open, hold open, lock down, end: a reason, then one press, for a door or the whole site. And who may be inside."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods

from accesscontrol.access import commands, roll_call
from accesscontrol.desk.choosing import DeskForm
from accesscontrol.desk.entry import Desk, at_desk
from accesscontrol.desk.waiting import door_of
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import one_line
from accounts.refusals import Refusal
from accounts.rights import Right

REASONS = [
    ("fire", _("Fire or evacuation")),
    ("threat", _("Threat or intruder")),
    ("medical", _("Medical emergency")),
    ("known", _("Known person at the door")),
    ("other", _("Another reason")),
]
COMMANDS = {
    "open": _("Opens once"),
    "hold": _("Held open"),
    "lock": _("Locked down"),
    "end": _("Back to normal"),
}


class ReasonForm(DeskForm):
    """Why; it stands in the audit beside who and when."""

    reason = forms.ChoiceField(
        label=_("Reason"),
        choices=REASONS,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose a reason first.")},
    )
    words = forms.CharField(label=_("In your words"), max_length=200, required=False, validators=[one_line])

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("reason") == "other" and not values.get("words") and "words" not in self.errors:
            self.add_error("words", _("Write the reason."))
        return values

    def in_words(self) -> str:
        chosen = self.cleaned_data["reason"]
        words: str = self.cleaned_data["words"]
        if chosen == "other":
            return words
        label = str(dict(REASONS)[chosen])
        return f"{label}: {words}" if words else label


@require_http_methods(["GET", "HEAD", "POST"])
@at_desk(Right.CHANNELS_ADMIT)
def emergency(desk: Desk) -> HttpResponse:
    """Every door of the site with what it does now, and the four commands."""
    form = ReasonForm(desk, desk.request.POST or None)
    if form.is_bound and form.is_valid():
        command, _dot, target = desk.request.POST.get("command", "").partition(":")
        if command not in COMMANDS:
            raise Http404
        doors, name = _meant(desk, target)
        try:
            _command(desk, command, doors, form.in_words())
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            words = {"name": name, "what": COMMANDS[command]}
            messages.success(desk.request, gettext("%(name)s: %(what)s.") % words)
            return HttpResponseRedirect(reverse("desk:emergency"))
    rows = Channel.objects.filter(site=desk.site).order_by("-is_visitor_door", "name")
    states = [(door, door.stands(desk.now)) for door in rows]
    return desk.page(
        "desk/emergency.html", form=form, doors=states, State=Channel.State, status=422 if form.errors else 200
    )


def _command(desk: Desk, command: str, doors: list[Channel], reason: str) -> None:
    told: dict[str, Any] = {"reason": reason, "by": desk.caller.actor, "now": desk.now}
    if command == "open":
        for door in doors:
            commands.admit(door, **told)
    elif command == "hold":
        commands.hold_open(doors, **told)
    elif command == "lock":
        commands.lock_down(doors, **told)
    else:
        commands.end(doors, **told)


def _meant(desk: Desk, target: str) -> tuple[list[Channel], str]:
    if target == "site":
        return list(commands.doors_of(desk.site)), desk.site.name
    if not (target.isascii() and target.isdecimal() and len(target) <= 18):
        raise Http404
    door = door_of(desk, int(target))
    return [door], door.name


@require_GET
@at_desk(Right.EVENTS_READ)
def inside(desk: Desk) -> HttpResponse:
    """Who was let in and not seen to leave; says where nobody can know."""
    return desk.page("desk/inside.html", roll=roll_call.possibly_inside(desk.site, as_of=desk.now))
