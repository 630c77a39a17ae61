"""Signing in and out: password, code, and where to go on from there."""

import time
from typing import Final

from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.callers import Place
from accounts.models import User
from accounts.refusals import Refusal
from accounts.tenancy import tenant_context
from pins.signin.staff import mistakes, notices, own_pin, second_factor, sessions, signing_in
from pins.signin.staff.forms import CodeForm, SignInForm
from pins.signin.staff.locking import screen_of
from pins.signin.staff.pages import page, refuse

# What is wrong is answered never sooner than this: that somebody has an account is written down, nobody is not.
ANSWERED_AFTER_SECONDS: Final = 0.25


@page
def sign_in(request: HttpRequest) -> HttpResponseBase:
    """E-mail address and password. Also for the next person, while somebody else's screen is locked."""
    began = time.monotonic()
    wanted = signing_in.safe(request.POST.get("next") or request.GET.get("next"))
    screen = screen_of(request, now=timezone.now())
    if screen is not None and not screen.is_locked and request.method == "GET":
        return redirect(wanted or screen.start)
    form = SignInForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = form.get_user()
        if second_factor.is_enrolled(user):
            response: HttpResponseBase = redirect("staff:code")
            signing_in.remember_password_was_right(response, user, wanted)
            return response
        place = signing_in.enter(request, user, now=timezone.now())
        return went_in(request, place, wanted)
    if form.has_error(NON_FIELD_ERRORS, "invalid_login"):
        whose = User.objects.filter(email=form.cleaned_data["username"].lower()).first()
        mistakes.note(whose, "password", now=timezone.now())
        time.sleep(max(0.0, ANSWERED_AFTER_SECONDS - (time.monotonic() - began)))
    context = {"form": form, "next": wanted, "is_locked": screen is not None and screen.is_locked}
    return render(request, "staff/sign_in.html", context)


@page
def code(request: HttpRequest) -> HttpResponseBase:
    """The second factor, after the password was right."""
    found = signing_in.pending(request)
    if found is None:
        messages.info(request, _("Please begin with your password."))
        return redirect("staff:sign_in")
    user, wanted = found
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        try:
            accepted = second_factor.check(user, form.cleaned_data["code"], now=now)
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            place = signing_in.enter(request, user, device=accepted.device, now=now)
            if accepted.codes_left is not None:
                tell_of_used_code(request, place, accepted.codes_left)
            response = went_in(request, place, signing_in.safe(wanted))
            response.delete_cookie(signing_in.PENDING_COOKIE, path="/sign-in/")
            return response
    return render(request, "staff/code.html", {"form": form, "user_email": user.email})


def went_in(request: HttpRequest, place: Place | None, wanted: str) -> HttpResponseBase:
    """On to what was wanted, by way of choosing a PIN where there is none yet."""
    start = signing_in.start_of(place.staff_role) if place else signing_in.start_without_place(request)
    target = wanted or start
    if place is not None:
        with tenant_context(place.tenant_id):
            has_pin = own_pin.has_pin(place.membership_id)
        if not has_pin:
            target = f"{reverse('staff:pin')}?{urlencode({'next': target, 'offer': '1'})}"
    response = redirect(target)
    sessions.remember_browser(request, response)
    return response


def tell_of_used_code(request: HttpRequest, place: Place | None, left: int) -> None:
    """A backup code is gone for good: its owner hears of it here and by e-mail."""
    messages.warning(
        request,
        ngettext(
            "You signed in with a backup code. %(left)d code is left.",
            "You signed in with a backup code. %(left)d codes are left.",
            left,
        )
        % {"left": left},
    )
    if place is not None:
        with tenant_context(place.tenant_id):
            notices.tell(request.user, notices.BACKUP_CODE_USED, now=timezone.now(), left=left)  # type: ignore[arg-type]


@page
@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """End this person's session. Colleagues who signed in on this browser find their lock screen."""
    now = timezone.now()
    screen, row = screen_of(request, now=now), sessions.session_of(request)
    others = screen.others(request) if screen is not None else []
    logout(request)
    if others and row is not None:
        sessions.lock(others[0].row, now=now)
        request.session = sessions.store(others[0].row.session_id)
        request.session["tenant_id"] = others[0].tenant_id
        return redirect("staff:locked")
    messages.success(request, _("You are signed out."))
    return redirect("staff:sign_in")
