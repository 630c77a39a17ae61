from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin.only_row import OnlyRowAdmin
from accounts.admin.records import RecordForm
from accounts.rights import Right
from pins.signin.models import SignInSettings
from pins.signin.models.settings import MOST_QUESTIONS, reset_url

MOST_URLS = 20


class LinesField(forms.CharField):
    """A list, one entry a line."""

    def __init__(self, *, most: int, longest: int, label: str, help_text: str, check: Any = None) -> None:
        self.most, self.longest, self.check = most, longest, check
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 4})
        super().__init__(required=False, label=label, help_text=help_text, widget=widget)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = [" ".join(line.split()) for line in super().clean(value).splitlines()]
        found = list(dict.fromkeys(line for line in lines if line))
        if len(found) > self.most:
            raise ValidationError(f"Write {self.most} lines at most.")
        for line in found:
            if len(line) > self.longest:
                raise ValidationError(f"“{line[:40]}…” is longer than {self.longest} characters.")
            if self.check:
                self.check(line)
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return [line.strip() for line in (data or "").splitlines() if line.strip()] != (initial or [])


class SignInSettingsForm(RecordForm):
    allowed_reset_urls = LinesField(
        most=MOST_URLS,
        longest=300,
        check=reset_url,
        label="Pages of your own for a new PIN",
        help_text="One https address a line. A link may lead to these only; without any it leads to a page here.",
    )
    security_questions = LinesField(
        most=MOST_QUESTIONS,
        longest=200,
        label="Security questions",
        help_text="One a line. Without any, nobody can reset a PIN by answers.",
    )

    class Meta:
        labels = {
            "mode": "PIN of an account",
            "asked_at_registration": "Ask at registration",
            "asked_at_first_login": "Ask at the first login",
            "asked_at_each_login": "Ask at each login until one is set",
            "pin_login": "Sign in again with the PIN alone",
            "pin_length": "Shortest PIN (digits)",
            "failures_allowed": "Wrong entries before an account is locked",
            "session_minutes": "PIN session (minutes)",
            "access_token_minutes": "Access token (minutes)",
            "otp_minutes": "One-time code (minutes)",
            "reset_link_minutes": "Link for a new PIN (minutes)",
            "reset_email_carries": "E-mails for a forgotten PIN carry",
            "questions_asked": "Questions to answer",
        }
        help_texts = {
            "mode": "Required: nobody is signed in before a PIN is set.",
            "asked_at_first_login": "Your application reads this and asks; with “Required” the login itself does.",
            "pin_login": "While the PIN session lives. Otherwise the PIN only confirms what is sensitive.",
            "pin_length": "6 or more is recommended. PINs that are easy to guess are never accepted.",
            "failures_allowed": "3 to 10. The lock lasts 15 minutes and doubles with each wrong entry after it.",
            "session_minutes": "Keep it short: after it the password is asked for again.",
            "otp_minutes": "10 at most.",
        }

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        questions = values.get("security_questions")
        if questions and len(questions) < (values.get("questions_asked") or 0):
            self.add_error("security_questions", "Write at least as many questions as are to be answered.")
        return values


@admin.register(SignInSettings)
class SignInSettingsAdmin(OnlyRowAdmin):
    """PIN sign-in of one tenant: one page, no list."""

    form = SignInSettingsForm
    rights = {"view": Right.SETTINGS_WRITE, "change": Right.SETTINGS_WRITE}
    fieldsets = (
        (None, {"fields": ("mode", "pin_length", "failures_allowed")}),
        (
            "Accounts of your application",
            {
                "fields": (
                    "asked_at_registration",
                    "asked_at_first_login",
                    "asked_at_each_login",
                    "pin_login",
                    "session_minutes",
                    "access_token_minutes",
                )
            },
        ),
        (
            "A forgotten PIN",
            {
                "fields": (
                    "reset_email_carries",
                    "otp_minutes",
                    "reset_link_minutes",
                    "allowed_reset_urls",
                    "security_questions",
                    "questions_asked",
                )
            },
        ),
    )

    def visible(self, request: HttpRequest) -> QuerySet[SignInSettings]:
        return SignInSettings.objects.all()
