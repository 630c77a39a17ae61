"""What the pages of sign-in ask. Whether it is right is said by the domain; here stand the words around it."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.rates import sender
from pins.signin.staff import passwords

# A browser must not offer to keep a PIN as somebody's password.
_PIN = forms.PasswordInput({"autocomplete": "one-time-code", "inputmode": "numeric", "maxlength": 12, "class": "pin"})
_CURRENT = forms.PasswordInput({"autocomplete": "current-password"})


class SignInForm(AuthenticationForm):
    """By e-mail address and password."""

    error_messages = {
        "invalid_login": _("This e-mail address and password do not belong together. Passwords are case-sensitive."),
        "inactive": _("This account is switched off."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        address = self.fields["username"]
        address.label = _("E-mail address")
        address.widget.input_type = "email"
        address.widget.attrs |= {"autocomplete": "username", "autofocus": True, "maxlength": 254}
        self.fields["password"].label = _("Password")

    def clean(self) -> dict[str, Any]:
        address = sender(self.request) if self.request else ""
        try:
            passwords.count_try(self.cleaned_data.get("username", ""), address, now=timezone.now())
        except passwords.TooOften as refusal:
            raise forms.ValidationError(refusal.sentence, code=refusal.code) from refusal
        values: dict[str, Any] = super().clean()
        return values


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=forms.TextInput(
            {"autocomplete": "one-time-code", "autofocus": True, "class": "pin", "spellcheck": "false"}
        ),
        help_text=_("Six digits from your authenticator app, or one of your backup codes."),
    )


class ForgotForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "username", "autofocus": True}),
    )


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _in_our_words(self)


class ChangePasswordForm(PasswordChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _in_our_words(self)
        self.fields["old_password"].label = _("Password until now")


class JoinForm(SetPasswordForm):  # type: ignore[type-arg]
    """Somebody who is invited and has no account yet."""

    name = forms.CharField(
        label=_("Your name"), max_length=120, widget=forms.TextInput({"autocomplete": "name", "autofocus": True})
    )
    field_order = ("name", "new_password1", "new_password2")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _in_our_words(self)


def _in_our_words(form: forms.BaseForm) -> None:
    form.fields["new_password1"].label = _("New password")
    form.fields["new_password1"].help_text = _(
        "At least 12 characters. Three or four words that do not belong together are good."
    )
    form.fields["new_password2"].label = _("Once more")
    form.fields["new_password2"].help_text = ""


class ProveForm(forms.Form):
    """Whoever changes how they sign in shows first that it is their account, not only their screen."""

    password = forms.CharField(label=_("Password"), strip=False, widget=_CURRENT)
    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        widget=forms.TextInput({"autocomplete": "one-time-code", "class": "pin", "spellcheck": "false"}),
        help_text=_("From your authenticator app, or a backup code."),
    )

    def __init__(self, *args: Any, asks_password: bool, asks_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks_password:
            del self.fields["password"]
        if not asks_code:
            del self.fields["code"]


class EnrolForm(ProveForm):
    field_order = ("code", "password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, asks_code=True, **kwargs)
        self.fields["code"].help_text = _("The six digits that the app shows now.")


class NewPinForm(ProveForm):
    """A first PIN, or a new one for somebody who has forgotten theirs."""

    pin = forms.CharField(label=_("New PIN"), widget=_PIN)
    again = forms.CharField(label=_("New PIN once more"), widget=_PIN)
    field_order: tuple[str, ...] = ("password", "code", "pin", "again")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("pin") and values.get("again") and values["pin"] != values["again"]:
            self.add_error("again", _("The two are not the same."))
        return values


class ChangePinForm(NewPinForm):
    current = forms.CharField(label=_("PIN until now"), widget=_PIN)
    field_order = ("current", "pin", "again")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, asks_password=False, asks_code=False, **kwargs)


class PinForm(forms.Form):
    """The PIN alone: unlocking, and confirming."""

    pin = forms.CharField(label=_("PIN"), widget=_PIN)
