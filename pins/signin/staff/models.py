"""What the sign-in of staff remembers: invitations, a tenant's rules, and the sessions of each browser."""

from datetime import datetime, timedelta
from typing import Self

from django.contrib.sessions.models import Session
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import Membership, Site, User
from accounts.rights import StaffRole
from accounts.tenancy import TenantForeignKey, TenantModel
from pins.vault.sealing import Tampered
from pins.vault.wrapping import unwrap, wrap


def _within(least: int, most: int) -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(least), MaxValueValidator(most)]


class StaffSettings(TenantModel):
    """How staff sign in to this tenant; a tenant without a row has the defaults."""

    requires_second_factor = models.BooleanField(default=False)
    desk_locks_after_minutes = models.PositiveSmallIntegerField(default=5, validators=_within(1, 60))
    admin_locks_after_minutes = models.PositiveSmallIntegerField(default=15, validators=_within(1, 120))
    shift_hours = models.PositiveSmallIntegerField(default=12, validators=_within(1, 24))

    class Meta:
        verbose_name = verbose_name_plural = "staff sign-in"
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="staff_settings_once"),
            models.CheckConstraint(
                condition=Q(desk_locks_after_minutes__range=(1, 60))
                & Q(admin_locks_after_minutes__range=(1, 120))
                & Q(shift_hours__range=(1, 24)),
                name="staff_settings_in_range",
            ),
        ]

    def __str__(self) -> str:
        return "Staff sign-in"

    @classmethod
    def current(cls) -> Self:
        """Those of the current tenant; unsaved defaults where it has not set any."""
        return cls.objects.first() or cls()

    @property
    def shift(self) -> timedelta:
        return timedelta(hours=self.shift_hours)

    @property
    def admin_idle(self) -> timedelta:
        return timedelta(minutes=self.admin_locks_after_minutes)

    @property
    def desk_idle(self) -> timedelta:
        return timedelta(minutes=self.desk_locks_after_minutes)

    def idle(self, *, at_desk: bool) -> timedelta:
        """How long a screen stays open that nobody uses."""
        return self.desk_idle if at_desk else self.admin_idle


class AuthenticatorApp(TOTPDevice):  # type: ignore[misc]
    """An app that shows the codes of the second step. The secret that it shares with us stands here as PINs do:
    whoever has the database alone can make no code."""

    class Meta:
        proxy = True

    def hold(self, secret: bytes) -> None:
        """Keep this secret, wrapped under the current key for this user."""
        self.key = wrap(secret, bound=self._bound)

    @property
    def bin_key(self) -> bytes:
        return unwrap(self.key, bound=self._bound)

    def opens(self) -> bool:
        """Whether the secret is what was put here, and its key still there."""
        try:
            return bool(self.bin_key)
        except Tampered:
            return False

    @property
    def _bound(self) -> str:
        return f"authenticator app of user {self.user_id}"


class Invitation(TenantModel):
    """An e-mail that asks somebody to join the staff. Only a keyed digest of the link's token is kept."""

    email = models.EmailField()
    name = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=20, choices=[(role.value, role.value.replace("_", " ")) for role in StaffRole])
    all_sites = models.BooleanField(default=True)
    sites = models.ManyToManyField(Site, through="InvitationSite", related_name="+", blank=True)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    membership = TenantForeignKey(Membership, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=Q(accepted_at=None, withdrawn_at=None),
                name="invitation_open_once",
            ),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="invitation_email_is_lower_case"),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(withdrawn_at=None), name="invitation_accepted_or_withdrawn"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def is_open(self, now: datetime) -> bool:
        return self.accepted_at is None and self.withdrawn_at is None and now < self.expires_at


class InvitationSite(TenantModel):
    invitation = TenantForeignKey(Invitation, on_delete=models.CASCADE, related_name="+")
    site = TenantForeignKey(Site, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "invitation", "site"], name="invitation_site_unique")]


class StaffSession(models.Model):
    """One sign-in by password: whose, on which browser, and when its screen was used, locked and confirmed.

    Of no tenant, like the session that it belongs to and ends with. A row that locks is changed by one statement
    and never by saving a session: a slow request that began before the lock must not take it back.
    """

    session = models.OneToOneField(Session, on_delete=models.CASCADE, primary_key=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    browser_digest = models.BinaryField(max_length=32, db_index=True)
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    # Used at the desk last: it locks after the desk's time then, whatever is opened next.
    at_desk = models.BooleanField(default=False)
    locked_at = models.DateTimeField(null=True)
    # Step-up: whose PIN was typed again, and when. Another tenant's membership has to be asked anew.
    confirmed_at = models.DateTimeField(null=True)
    confirmed_membership_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"Session of user {self.user_id} since {self.opened_at:%Y-%m-%d %H:%M}"

    def is_locked(self, idle: timedelta, now: datetime) -> bool:
        return self.locked_at is not None or now - self.seen_at >= idle

    def is_over(self, shift: timedelta, now: datetime) -> bool:
        return now - self.opened_at >= shift
