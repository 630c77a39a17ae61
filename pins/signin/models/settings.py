from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.tenancy import TenantModel
from pins.policy import LONGEST, SHORTEST

FEWEST_FAILURES: Final = 3
MOST_FAILURES: Final = 10
MOST_QUESTIONS: Final = 20
DAY_IN_MINUTES: Final = 24 * 60


def reset_url(address: str) -> None:
    """Refuse what is no https address of a page; http for the machine itself alone, for trying things out."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    is_secure = bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in ("localhost", "127.0.0.1"))
    )
    if not is_secure or not address.isprintable() or " " in address or parts.query or parts.fragment or parts.username:
        raise ValidationError("“%(address)s” is not an https address without “?” and “#”.", params={"address": address})


def _from(least: int, most: int) -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(least), MaxValueValidator(most)]


class SignInSettings(TenantModel):
    """How one tenant wants PINs of accounts; what only concerns Subscribers says so."""

    class Mode(models.TextChoices):
        OFF = "off", "Off"
        OPTIONAL = "optional", "Optional"
        REQUIRED = "required", "Required"

    class Carries(models.TextChoices):
        LINK = "link", "A link"
        OTP = "otp", "A one-time code"

    mode = models.CharField(max_length=10, choices=Mode, default=Mode.OPTIONAL)
    asked_at_registration = models.BooleanField(default=True)
    asked_at_first_login = models.BooleanField(default=True)
    asked_at_each_login = models.BooleanField(default=False)
    # Without it a PIN only confirms what is sensitive (step-up).
    pin_login = models.BooleanField(default=True)
    # NIST SP 800-63B-4: 6 digits for a secret that unlocks, 4 at the very least.
    pin_length = models.PositiveSmallIntegerField(default=6, validators=_from(SHORTEST, LONGEST))
    failures_allowed = models.PositiveSmallIntegerField(default=5, validators=_from(FEWEST_FAILURES, MOST_FAILURES))
    session_minutes = models.PositiveIntegerField(default=10, validators=_from(1, 7 * DAY_IN_MINUTES))
    access_token_minutes = models.PositiveIntegerField(default=15, validators=_from(1, DAY_IN_MINUTES))
    # NIST SP 800-63B-4: a code that was sent is void after 10 minutes.
    otp_minutes = models.PositiveSmallIntegerField(default=5, validators=_from(1, 10))
    reset_link_minutes = models.PositiveSmallIntegerField(default=60, validators=_from(5, DAY_IN_MINUTES))
    reset_email_carries = models.CharField(max_length=10, choices=Carries, default=Carries.LINK)
    allowed_reset_urls = ArrayField(
        models.CharField(max_length=300, validators=[reset_url]), default=list, blank=True, size=20
    )
    security_questions = ArrayField(models.CharField(max_length=200), default=list, blank=True, size=MOST_QUESTIONS)
    questions_asked = models.PositiveSmallIntegerField(default=2, validators=_from(1, 5))

    class Meta:
        verbose_name = "PIN sign-in"
        verbose_name_plural = "PIN sign-in"
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="signin_settings_one_per_tenant"),
            models.CheckConstraint(
                condition=Q(failures_allowed__range=(FEWEST_FAILURES, MOST_FAILURES)),
                name="signin_settings_failures_3_to_10",
            ),
            models.CheckConstraint(
                condition=Q(pin_length__range=(SHORTEST, LONGEST)), name="signin_settings_pin_length"
            ),
            models.CheckConstraint(condition=Q(otp_minutes__range=(1, 10)), name="signin_settings_otp_10_minutes"),
        ]

    def __str__(self) -> str:
        return "PIN sign-in"

    @classmethod
    def of_tenant(cls) -> "SignInSettings":
        """Those of the current tenant; whoever never changed them has the defaults, which are in no row."""
        return cls.objects.first() or cls()

    @property
    def is_on(self) -> bool:
        return self.mode != self.Mode.OFF

    @property
    def is_required(self) -> bool:
        return self.mode == self.Mode.REQUIRED

    @property
    def session_life(self) -> timedelta:
        return timedelta(minutes=self.session_minutes)

    @property
    def access_token_life(self) -> timedelta:
        return timedelta(minutes=self.access_token_minutes)

    @property
    def otp_life(self) -> timedelta:
        return timedelta(minutes=self.otp_minutes)

    @property
    def reset_link_life(self) -> timedelta:
        return timedelta(minutes=self.reset_link_minutes)
