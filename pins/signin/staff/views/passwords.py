"""The pages of a password: forgotten, set anew by the link of an e-mail, changed."""

import time
from typing import Final

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.rates import sender
from accounts.refusals import Refusal
from pins.signin.staff import passwords, sessions
from pins.signin.staff.forms import ChangePasswordForm, ForgotForm, NewPasswordForm
from pins.signin.staff.locking import Screen
from pins.signin.staff.pages import page, refuse, signed_in
from pins.signin.staff.views.account import user_of

# The answer is never sooner than this: finding nobody takes less time than writing a message.
ANSWERED_AFTER_SECONDS: Final = 0.25


@page
def forgot(request: HttpRequest) -> HttpResponseBase:
    """Ask for a link to a new password; the answer says nothing about who has an account."""
    began = time.monotonic()
    form = ForgotForm(request.POST or None, initial={"email": request.GET.get("email", "")})
    if request.method == "POST" and form.is_valid():
        try:
            passwords.send_link(form.cleaned_data["email"], address=sender(request), now=timezone.now())
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            response = render(request, "staff/link_sent.html", {"email": form.cleaned_data["email"]})
            time.sleep(max(0.0, ANSWERED_AFTER_SECONDS - (time.monotonic() - began)))
            return response
    return render(request, "staff/forgot.html", {"form": form})


class NewPassword(PasswordResetConfirmView):
    """The link of the e-mail: Django moves its token into the session, so that no address shows it."""

    form_class = NewPasswordForm
    template_name = "staff/new_password.html"
    success_url = reverse_lazy("staff:sign_in")
    reset_url_token = "new"  # noqa: S105  # a piece of the address, in place of the token

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:  # type: ignore[override]
        answer: HttpResponse = super().form_valid(form)
        # The session of this request ends by itself: its password is no longer the one it began with.
        passwords.changed(form.user, verb="reset", now=timezone.now(), but=self.request.session.session_key)
        messages.success(self.request, _("Your new password is set. Sign in with it."))
        return answer


new_password = page(NewPassword.as_view())


@signed_in
def change_password(request: HttpRequest) -> HttpResponseBase:
    """A new password with the one until now; every other session of theirs ends."""
    user, now = user_of(request), timezone.now()
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    form = ChangePasswordForm(user, request.POST or None)
    if request.method == "POST":
        try:
            passwords.count_try(user.email, sender(request), now=now)
        except Refusal as refusal:
            form.is_valid()
            form.add_error(None, refusal.sentence)
        if form.is_valid():
            form.save()
            update_session_auth_hash(request, user)
            screen.row.confirmed_at = None
            sessions.renew(request, screen.row)
            passwords.changed(user, verb="change", now=now, but=request.session.session_key)
            messages.success(request, _("Your password was changed. You are signed out everywhere else."))
            return redirect("staff:account")
    return render(request, "staff/change_password.html", {"form": form})
