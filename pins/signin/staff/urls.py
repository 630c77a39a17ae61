"""Signing in, the lock screen, one's own account."""

from django.urls import path

from pins.signin.staff.stepping_up import step_up_page
from pins.signin.staff.views import account, invitation, lock, own_pin, passwords, sign_in, two_step

app_name = "staff"
urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/code/", sign_in.code, name="code"),
    path("sign-in/forgot/", passwords.forgot, name="forgot"),
    path("sign-in/new-password/<uidb64>/<token>/", passwords.new_password, name="new_password"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("start/", lock.start, name="start"),
    path("lock/", lock.lock, name="lock"),
    path("locked/", lock.locked, name="locked"),
    path("seen/", lock.seen, name="seen"),
    path("step-up/", step_up_page, name="step_up"),
    path("invitation/<slug:invitation_token>/", invitation.invitation, name="invitation"),
    path("account/", account.account, name="account"),
    path("account/sessions/end/", account.end_others, name="end_others"),
    path("account/password/", passwords.change_password, name="password"),
    path("account/pin/", own_pin.pin, name="pin"),
    path("account/pin/forgot/", own_pin.forgot_pin, name="forgot_pin"),
    path("account/two-step/", two_step.two_step, name="two_step"),
    path("account/two-step/codes/", two_step.renew_codes, name="codes"),
    path("account/two-step/off/", two_step.switch_off, name="two_step_off"),
]
