"""The lock screen of a browser, and what its script asks for."""

from django import forms
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.audit import Actor
from accounts.refusals import Refusal
from pins.signin.staff import own_pin, sessions, signing_in
from pins.signin.staff.forms import PinForm
from pins.signin.staff.locking import DESK, LOCKED, Entry, came_from, is_page, screen_of
from pins.signin.staff.pages import page, refuse, to_sign_in


@page
def locked(request: HttpRequest) -> HttpResponseBase:
    """Whoever signed in here this shift unlocks with their own PIN; somebody else's page is not shown to them."""
    now = timezone.now()
    screen = screen_of(request, now=now)
    if screen is None or screen.is_over:
        return to_sign_in(request)
    wanted = signing_in.safe(request.POST.get("next") or request.GET.get("next"))
    if not screen.is_locked and request.method == "GET":
        return redirect(wanted or screen.start)
    entries = screen.entries(request)
    form = PinForm(request.POST or None)
    chosen = _chosen(request, entries)
    if request.method == "POST" and form.is_valid():
        if chosen is None:
            form.add_error(None, _("Choose who you are."))
        elif _unlocks(form, chosen):
            is_same = chosen.row.pk == screen.row.pk
            sessions.lock(screen.row, now=now)
            sessions.unlock(request, chosen.row, tenant_id=chosen.tenant_id, now=now)
            if not is_same:
                # A form that the earlier person left open in another tab must not be sent in this one's name.
                rotate_token(request)
            return redirect(wanted if wanted and is_same else reverse("staff:start"))
    if chosen is not None and not own_pin.has_pin(chosen.membership_id) and len(entries) == 1:
        return render(request, "staff/locked_without_pin.html", {"entry": chosen, "next": wanted})
    context = {"form": form, "entries": entries, "chosen": chosen, "next": wanted}
    return render(request, "staff/locked.html", context)


def _chosen(request: HttpRequest, entries: list[Entry]) -> Entry | None:
    wanted = request.POST.get("member")
    if wanted is None:
        return entries[0] if entries else None
    return next((entry for entry in entries if str(entry.membership_id) == wanted), None)


def _unlocks(form: forms.Form, entry: Entry) -> bool:
    by, now = Actor("staff", entry.membership_id), timezone.now()
    try:
        own_pin.check(entry.membership_id, form.cleaned_data["pin"], by=by, now=now)
    except Refusal as refusal:
        refuse(form, refusal)
    return form.is_valid()


@page
@require_POST
def lock(request: HttpRequest) -> HttpResponseBase:
    """Lock this screen now: the button, and the script of a screen that nobody has used."""
    screen = screen_of(request, now=timezone.now())
    if screen is None:
        return to_sign_in(request) if is_page(request) else JsonResponse({"locked": True}, status=401)
    sessions.lock(screen.row, now=screen.now)
    if not is_page(request):
        return JsonResponse({"locked": True})
    back = signing_in.safe(request.POST.get("next")) or came_from(request)
    return redirect(reverse("staff:locked", query={"next": back} if back else None))


@page
@require_POST
def seen(request: HttpRequest) -> HttpResponseBase:
    """The script tells of somebody who types without sending anything."""
    at_desk = request.POST.get("area") == "desk"
    screen = screen_of(request, now=timezone.now(), path=DESK if at_desk else "")
    if screen is None or screen.is_locked or screen.is_over:
        return JsonResponse({"locked": True}, status=401, headers={LOCKED: reverse("staff:locked")})
    sessions.see(screen.row, at_desk=at_desk, now=screen.now)
    return JsonResponse({"locked": False})


@page
def start(request: HttpRequest) -> HttpResponseBase:
    """The first page of whoever is signed in."""
    screen = screen_of(request, now=timezone.now())
    if screen is None and request.user.is_authenticated:
        return redirect(signing_in.start_without_place(request))
    return redirect(screen.start) if screen is not None else redirect("staff:sign_in")
