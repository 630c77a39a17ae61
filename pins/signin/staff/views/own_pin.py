"""The pages of one's own PIN: choose, change, forget."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.admin_site import staff
from accounts.rates import sender
from accounts.refusals import Refusal
from pins.signin.staff import own_pin, passwords, second_factor, signing_in
from pins.signin.staff.forms import ChangePinForm, NewPinForm
from pins.signin.staff.locking import Screen
from pins.signin.staff.pages import refuse, signed_in
from pins.signin.staff.views.account import is_fresh, user_of


@signed_in
def pin(request: HttpRequest) -> HttpResponseBase:
    """Choose the first PIN, or change it."""
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    return _change(request, screen) if screen.has_pin else _choose(request, screen, is_forgotten=False)


@signed_in
def forgot_pin(request: HttpRequest) -> HttpResponseBase:
    """Choose a new PIN with the password, and the second factor where there is one."""
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    return _choose(request, screen, is_forgotten=True)


def _choose(request: HttpRequest, screen: Screen, *, is_forgotten: bool) -> HttpResponseBase:
    user, wanted = user_of(request), _wanted(request)
    asks_password = is_forgotten or not is_fresh(request)
    asks_code = is_forgotten and second_factor.is_enrolled(user)
    form = NewPinForm(request.POST or None, asks_password=asks_password, asks_code=asks_code)
    if request.method == "POST" and form.is_valid():
        now, values = timezone.now(), form.cleaned_data
        try:
            if asks_password:
                passwords.prove(user, values["password"], address=sender(request), now=now)
            if asks_code:
                second_factor.check(user, values["code"], now=now)
            own_pin.choose(screen.membership_id, values["pin"], by=staff(request).actor, now=now)
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, _("Your PIN is set."))
            return redirect(wanted or screen.start)
    context = {
        "form": form,
        "is_forgotten": is_forgotten,
        "is_offered": "offer" in request.GET,
        "is_required": wanted.startswith("/desk/"),
        "next": wanted,
        "later": wanted or screen.start,
        "length": own_pin.length(),
    }
    return render(request, "staff/choose_pin.html", context)


def _change(request: HttpRequest, screen: Screen) -> HttpResponseBase:
    form = ChangePinForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            own_pin.change(
                screen.membership_id, values["current"], values["pin"], by=staff(request).actor, now=timezone.now()
            )
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            messages.success(request, _("Your PIN was changed."))
            return redirect(_wanted(request) or reverse("staff:account"))
    return render(
        request, "staff/change_pin.html", {"form": form, "length": own_pin.length(), "next": _wanted(request)}
    )


def _wanted(request: HttpRequest) -> str:
    return signing_in.safe(request.POST.get("next") or request.GET.get("next"))
