"""Who sees the platform's pages: a platform owner with a second factor, whether or not they belong to a tenant.

Where they belong to one, the screen locks by that tenant's rules; where to none, an idle sign-in ends instead.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Final

from django.contrib.auth import logout
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django_otp import login as otp_login

from accounts.admin_site import caller_of
from accounts.models import User
from accounts.rates import sender
from accounts.refusals import Refusal
from pins.signin.staff import passwords, second_factor, sessions
from pins.signin.staff.forms import EnrolForm, ProveForm
from pins.signin.staff.models import StaffSession
from pins.signin.staff.pages import page, refuse, to_sign_in

View = Callable[..., HttpResponseBase]
IDLE: Final = timedelta(minutes=15)
# The staff's pages of the second step, as the platform shows them.
_LOOK: Final = {"layout": "platform/base.html", "of_platform": True}


def platform_owner(view: View) -> View:
    """A page for platform owners who have shown a code of their app; others are refused or asked for it."""

    @_known
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_verified():  # type: ignore[union-attr]
            return redirect("platform:two_step")
        return view(request, *args, **kwargs)

    return answer


def _known(view: View) -> View:
    """Signed in, of late, and a platform owner."""

    @page
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        if not _user(request).is_platform_owner:
            raise PermissionDenied
        now, row = timezone.now(), sessions.session_of(request)
        if row is None or (caller_of(request) is None and row.is_locked(IDLE, now)):
            logout(request)
            return to_sign_in(request)
        sessions.see(row, at_desk=False, now=now)
        return view(request, *args, **kwargs)

    return answer


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@_known
def two_step(request: HttpRequest) -> HttpResponseBase:
    """Add an app, or show a code of the one that there is."""
    user = _user(request)
    if request.user.is_verified():  # type: ignore[union-attr]
        return redirect("platform:tenants")
    if caller_of(request) is not None:
        # A member of staff has this page already, with all that their tenant is told of it.
        return redirect("/account/two-step/?next=/platform/")
    return _verify(request, user) if second_factor.is_enrolled(user) else _enrol(request, user)


def _verify(request: HttpRequest, user: User) -> HttpResponseBase:
    form = ProveForm(request.POST or None, asks_password=False, asks_code=True)
    if request.method == "POST" and form.is_valid():
        try:
            accepted = second_factor.check(user, form.cleaned_data["code"], now=timezone.now())
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            otp_login(request, accepted.device)
            return redirect("platform:tenants")
    return render(request, "staff/verify.html", {**_LOOK, "form": form})


def _enrol(request: HttpRequest, user: User) -> HttpResponseBase:
    now = timezone.now()
    row: StaffSession | None = sessions.session_of(request)
    is_fresh = row is not None and now - row.opened_at < sessions.FRESH_FOR
    form = EnrolForm(request.POST or None, asks_password=not is_fresh)
    if request.method == "POST" and form.is_valid():
        try:
            if "password" in form.fields:
                passwords.prove(user, form.cleaned_data["password"], address=sender(request), now=now)
            device, codes = second_factor.switch_on(user, form.cleaned_data["code"], now=now)
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            otp_login(request, device)
            shown = {"codes": codes, "next": "/platform/", "user_email": user.email}
            return render(request, "staff/codes.html", shown)
    device = second_factor.begin(user)
    context = {
        **_LOOK,
        "form": form,
        "square": second_factor.square_of(device),
        "secret": second_factor.secret_of(device),
    }
    return render(request, "staff/two_step.html", context)
