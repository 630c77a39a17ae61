"""The pages of the second factor: add an app, see the backup codes once, renew them, switch it off."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django_otp import login as otp_login

from accounts.admin_site import staff, tenant_of
from accounts.rates import sender
from accounts.refusals import Refusal
from pins.signin.staff import passwords, second_factor, signing_in
from pins.signin.staff.forms import EnrolForm, ProveForm
from pins.signin.staff.locking import Screen
from pins.signin.staff.pages import refuse, signed_in
from pins.signin.staff.views.account import is_fresh, user_of


@signed_in
def two_step(request: HttpRequest) -> HttpResponseBase:
    """Add an authenticator app. Whoever has one switches it off first, with its code."""
    user, now = user_of(request), timezone.now()
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    wanted = signing_in.safe(request.POST.get("next") or request.GET.get("next"))
    if second_factor.is_enrolled(user):
        return _verify(request, wanted or screen.start)
    form = EnrolForm(request.POST or None, asks_password=not is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            if "password" in form.fields:
                passwords.prove(user, form.cleaned_data["password"], address=sender(request), now=now)
            device, codes = second_factor.enrol(user, form.cleaned_data["code"], by=staff(request).actor, now=now)
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            otp_login(request, device)
            return _codes(request, codes, wanted or screen.start)
    device = second_factor.begin(user)
    context = {
        "form": form,
        "square": second_factor.square_of(device),
        "secret": second_factor.secret_of(device),
        "is_required": screen.rules.requires_second_factor,
        "tenant": tenant_of(request),
        "next": wanted,
    }
    return render(request, "staff/two_step.html", context)


def _verify(request: HttpRequest, wanted: str) -> HttpResponseBase:
    """Somebody with an app whose session has not shown a code: it began before the app was added elsewhere."""
    user = user_of(request)
    if user.is_verified():  # type: ignore[attr-defined]
        return redirect("staff:account")
    form = ProveForm(request.POST or None, asks_password=False, asks_code=True)
    if request.method == "POST" and form.is_valid():
        try:
            accepted = second_factor.check(user, form.cleaned_data["code"], now=timezone.now())
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            otp_login(request, accepted.device)
            return redirect(wanted)
    return render(request, "staff/verify.html", {"form": form, "next": wanted})


@signed_in
def renew_codes(request: HttpRequest) -> HttpResponseBase:
    """New backup codes in place of the earlier ones."""
    form = _proof(request)
    if form.is_bound and form.is_valid() and _is_proven(request, form):
        codes = second_factor.renew_codes(user_of(request), by=staff(request).actor, now=timezone.now())
        return _codes(request, codes, "/account/")
    return render(request, "staff/prove.html", {"form": form, "for_codes": True})


@signed_in
def switch_off(request: HttpRequest) -> HttpResponseBase:
    """Take the app away, such as for one on a new phone."""
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    form = _proof(request)
    if form.is_bound and form.is_valid() and _is_proven(request, form):
        second_factor.switch_off(user_of(request), by=staff(request).actor, now=timezone.now())
        request.session.pop("otp_device_id", None)
        messages.success(request, _("The app was removed. Signing in asks for no code any more."))
        return redirect("staff:two_step" if screen.rules.requires_second_factor else "staff:account")
    context = {"form": form, "for_codes": False, "is_required": screen.rules.requires_second_factor}
    return render(request, "staff/prove.html", context)


def _proof(request: HttpRequest) -> ProveForm:
    return ProveForm(request.POST or None, asks_password=True, asks_code=True)


def _is_proven(request: HttpRequest, form: ProveForm) -> bool:
    user, now = user_of(request), timezone.now()
    try:
        passwords.prove(user, form.cleaned_data["password"], address=sender(request), now=now)
        second_factor.check(user, form.cleaned_data["code"], now=now)
    except Refusal as refusal:
        refuse(form, refusal)
    return form.is_valid()


def _codes(request: HttpRequest, codes: list[str], wanted: str) -> HttpResponse:
    """The backup codes, this once."""
    return render(request, "staff/codes.html", {"codes": codes, "next": wanted, "user_email": user_of(request).email})
