"""Tenants, their sites, the staff who act for them, and the keys of machines that do."""

from datetime import datetime
from functools import cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.colours import STANDARD, known_colour
from accounts.oauth import (
    OAuthAccessToken,
    OAuthApplication,
    OAuthConsent,
    OAuthDeviceGrant,
    OAuthGrant,
    OAuthIDToken,
    OAuthRefreshToken,
)
from accounts.rights import StaffRole
from accounts.tenancy import TenantForeignKey, TenantModel

__all__ = [
    "ApiKey",
    "ApiKeySite",
    "AuditEvent",
    "IdempotentAnswer",
    "Membership",
    "MembershipSite",
    "OAuthAccessToken",
    "OAuthApplication",
    "OAuthConsent",
    "OAuthDeviceGrant",
    "OAuthGrant",
    "OAuthIDToken",
    "OAuthRefreshToken",
    "Site",
    "SiteZone",
    "Tenant",
    "TenantFigures",
    "TenantLogo",
    "User",
]


@cache
def time_zones() -> frozenset[str]:
    """Every name of the IANA time zone database; found by looking into each of its files."""
    return frozenset(available_timezones())


def known_time_zone(name: str) -> None:
    """Refuse what the IANA time zone database does not know."""
    if name not in time_zones():
        raise ValidationError("“%(name)s” is not an IANA time zone, such as Europe/Berlin.", params={"name": name})


class Tenant(models.Model):
    """An organisation walled off from the others; the API calls it `account`."""

    class WeakPins(models.TextChoices):
        WARN = "warn", "Accept with a warning"
        REFUSE = "refuse", "Refuse"

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    time_zone = models.CharField(max_length=60, default="UTC", validators=[known_time_zone])
    weak_chosen_pins = models.CharField(max_length=10, choices=WeakPins, default=WeakPins.WARN)
    erase_expired_after_days = models.PositiveSmallIntegerField(default=7)
    # Who has had no right to any door for so long is erased; empty: nobody is, but those who were deleted.
    erase_people_after_days = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(3650)]
    )
    # What the tick of retention has gone by; where it differs, everybody is looked at anew.
    retention_applied_days = models.PositiveSmallIntegerField(null=True, editable=False)
    # Both PINs work for so long when one is rotated.
    rotation_overlap_days = models.PositiveSmallIntegerField(default=3)
    keeps_neighbours_apart = models.BooleanField(default=False)
    # Written by visits/duress.py alone: every live PIN then holds its duress value too.
    duress_enabled = models.BooleanField(default=False, editable=False)
    # What visitors see: the language of those who have none, a colour, and whether a message holds the PIN itself.
    language = models.CharField(max_length=10, choices=settings.LANGUAGES, default="en")
    colour = models.CharField(max_length=7, default=STANDARD, validators=[known_colour])
    sends_reveal_links = models.BooleanField(default=False)
    # Of the picture in TenantLogo: 0 for none, another number for each new one.
    logo_version = models.PositiveIntegerField(default=0, editable=False)
    # What the front desk presets for a visit.
    needs_check_in = models.BooleanField("visitors check in before their PIN works", default=False)
    grace_seconds = models.PositiveIntegerField("PINs of visitors work before the start (seconds)", default=900)
    suspended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "settings"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(erase_people_after_days=None) | models.Q(erase_people_after_days__range=(1, 3650)),
                name="tenant_retention",
                violation_error_message="Between 1 and 3650 days.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Site(TenantModel):
    """A place with a time zone."""

    name = models.CharField(max_length=120)
    time_zone = models.CharField(max_length=60, default="UTC", validators=[known_time_zone])
    address = models.CharField(max_length=250, blank=True)
    help_phone = models.CharField(max_length=40, blank=True, help_text="Whom a visitor can call.")
    # How a PIN is typed there, in the words of the place; empty for the usual ones in the visitor's language.
    typing_hint = models.CharField(max_length=120, blank=True)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("name"), name="site_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class SiteZone(TenantModel):
    """Another time zone that a site was in until then: the hours of that time are read in it."""

    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")
    time_zone = models.CharField(max_length=60)
    ended_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["tenant", "site", "ended_at"], name="site_zone_of_site")]

    def __str__(self) -> str:
        return self.time_zone


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email=(email or "").strip().lower())


class User(AbstractBaseUser):
    """Somebody who signs in to the product, by e-mail; what they may do stands in their memberships."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_platform_owner = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_is_lower_case")
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def clean(self) -> None:
        self.email = self.email.strip().lower()

    def get_full_name(self) -> str:
        return self.name

    # Django's admin asks the user; rights come from the membership that the request acts for.
    @property
    def is_staff(self) -> bool:
        return self.is_active

    @property
    def is_superuser(self) -> bool:
        return False

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return False

    def has_module_perms(self, app_label: str) -> bool:
        return False


class Membership(TenantModel):
    """The place of a user in a tenant: staff role, and the sites it is limited to."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=20, choices=[(role.value, role.value.replace("_", " ")) for role in StaffRole])
    all_sites = models.BooleanField(default=True)
    sites = models.ManyToManyField(Site, through="MembershipSite", related_name="+", blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "member of staff"
        verbose_name_plural = "staff"
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique")]

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()})"


class MembershipSite(TenantModel):
    membership = TenantForeignKey(Membership, on_delete=models.CASCADE, related_name="+")
    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "membership", "site"], name="membership_site_unique")]


class ApiKey(TenantModel):
    """A machine that acts for a tenant. The key itself is shown once; its keyed digest is kept."""

    class Kind(models.TextChoices):
        API = "api", "API"
        READER = "reader", "Reader"
        GENERATOR = "generator", "PIN generator"
        SIGNIN = "signin", "PIN sign-in"
        SEAM = "seam", "Seam"

    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.API)
    shown_prefix = models.CharField(max_length=16, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    secret_digest = models.BinaryField(max_length=32, null=True, blank=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    all_sites = models.BooleanField(default=True)
    sites = models.ManyToManyField(Site, through="ApiKeySite", related_name="+", blank=True)
    requests_per_minute = models.PositiveIntegerField(default=1000)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.shown_prefix}…)"

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeySite(TenantModel):
    api_key = TenantForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "api_key", "site"], name="api_key_site_unique")]


class AuditEvent(TenantModel):
    """Who did what to what: ids and names of fields, never their values. Only added and read."""

    actor_kind = models.CharField(max_length=20)
    actor_id = models.BigIntegerField(null=True)
    verb = models.CharField(max_length=40)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=60)
    fields = ArrayField(models.CharField(max_length=60), default=list)
    occurred_at = models.DateTimeField()
    # Followers go by (`xact_id`, `id`): an id alone would skip a transaction that commits late.
    xact_id = models.BigIntegerField(db_default=RawSQL("pg_current_xact_id()::text::bigint", []), editable=False)

    class Meta:
        verbose_name_plural = "audit"
        indexes = [
            models.Index(fields=["tenant", "-occurred_at", "-id"], name="audit_newest_first"),
            models.Index(fields=["tenant", "subject_type", "subject_id"], name="audit_of_subject"),
            models.Index(fields=["tenant", "xact_id", "id"], name="audit_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject_type} {self.subject_id}".replace("_", " ").capitalize()


class IdempotentAnswer(TenantModel):
    """What a write with an Idempotency-Key was answered, kept for 24 hours; without the value of any PIN."""

    caller = models.CharField(max_length=40)
    key_digest = models.BinaryField(max_length=32)
    request_digest = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField()
    body = models.JSONField(null=True)
    # Somebody named in the body was erased since.
    is_erased = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "caller", "key_digest"], name="idempotency_key_unique")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_answer_age")]


class TenantLogo(TenantModel):
    """The tenant's own mark, on messages and pages of visitors: always a PNG that was encoded here."""

    image = models.BinaryField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="tenant_logo_once")]

    def __str__(self) -> str:
        return f"logo, {self.width} × {self.height}"


class TenantFigures(TenantModel):
    """How big a tenant is and how well it runs, in numbers alone: what the platform owner is told of it."""

    people = models.PositiveIntegerField(default=0)
    doors = models.PositiveIntegerField(default=0)
    pins = models.PositiveIntegerField(default=0)
    # In the last 30 days.
    events = models.PositiveBigIntegerField(default=0)
    failed_deliveries = models.PositiveIntegerField(default=0)
    silent_doors = models.PositiveIntegerField(default=0)
    paused_webhooks = models.PositiveIntegerField(default=0)
    # Since when the oldest message or webhook waits that should have left by now.
    oldest_undone_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField()
    sized_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="tenant_figures_once")]

    def __str__(self) -> str:
        return f"figures of {self.counted_at:%Y-%m-%d %H:%M}"
