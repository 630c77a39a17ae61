"""People who may be let in, and the groups that share roles. Belonging keeps its periods."""

import unicodedata
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from phonenumbers import NumberParseException, is_possible_number, parse

from accesscontrol.doors.models import Role
from accounts.models import Site
from accounts.tenancy import TenantForeignKey, TenantModel


def one_line(text: str) -> None:
    """Refuse line breaks and other control characters: names stand in subjects, messages and lists."""
    if any(unicodedata.category(sign) == "Cc" for sign in text):
        raise ValidationError(_("Write this on one line."))


def e164(number: str) -> None:
    """Refuse what is not a phone number in the international form."""
    try:
        possible = number.startswith("+") and number[1:].isdecimal() and is_possible_number(parse(number))
    except NumberParseException:
        possible = False
    if not possible:
        raise ValidationError(_("Write the number with country code and without spaces, such as +493012345678."))


class Person(TenantModel):
    """A credential holder: someone who may be let in."""

    class Kind(models.TextChoices):
        PERSON = "person", _("Person")
        VISITOR = "visitor", _("Visitor")
        SHARED = "shared", _("Shared, not traceable to one individual")

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)
    first_name = models.CharField(max_length=120, validators=[one_line])
    last_name = models.CharField(max_length=120, blank=True, validators=[one_line])
    salutation = models.CharField(max_length=40, blank=True)
    job_title = models.CharField(max_length=120, blank=True)
    department = models.CharField(max_length=120, blank=True)
    email = models.EmailField(blank=True)
    # Under row security PostgreSQL uses no index on lower(): what is searched is stored.
    lower_email = models.GeneratedField(
        expression=Lower("email"), output_field=models.CharField(max_length=254), db_persist=True
    )
    mobile = models.CharField(max_length=16, blank=True, validators=[e164])
    telephone = models.CharField(max_length=40, blank=True)
    language = models.CharField(max_length=10, blank=True)
    birthday = models.DateField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_to = models.DateTimeField(null=True, blank=True)
    notes = models.TextField(blank=True)
    system_id = models.CharField("id in another system", max_length=120, blank=True)
    # Other systems' own words about a person: kept and given back, read by nothing here.
    barcode = models.CharField(max_length=120, blank=True)
    custom_1 = models.CharField(max_length=250, blank=True)
    custom_2 = models.CharField(max_length=250, blank=True)
    custom_3 = models.CharField(max_length=250, blank=True)
    custom_4 = models.CharField(max_length=250, blank=True)
    custom_5 = models.CharField(max_length=250, blank=True)
    site = TenantForeignKey(Site, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    deleted_at = models.DateTimeField(null=True, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)
    # When a tick must look whether the person is to be erased; see overview/retention.py.
    retention_at = models.DateTimeField(null=True, default=timezone.now, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "system_id"],
                condition=~Q(system_id="") & Q(deleted_at=None),
                name="person_system_id_unique",
            ),
            models.CheckConstraint(
                condition=Q(valid_from=None) | Q(valid_to=None) | Q(valid_from__lt=F("valid_to")),
                name="person_validity",
                violation_error_message="The validity must end after it starts.",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "last_name", "first_name"], name="person_by_name"),
            models.Index(fields=["tenant", "lower_email"], name="person_by_email"),
            models.Index(fields=["tenant", "-updated_at"], name="person_by_update"),
            models.Index(
                fields=["retention_at", "tenant"], condition=Q(retention_at__isnull=False), name="person_retention_due"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        if self.erased_at is not None:
            return gettext("Erased person")
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def is_shared(self) -> bool:
        """Several individuals use its PIN: what it does is not traceable to one of them."""
        return self.kind == Person.Kind.SHARED

    @property
    def listed_name(self) -> str:
        """The name as lists show it: what happened with a shared PIN cannot be traced to one individual."""
        if self.kind == self.Kind.SHARED:
            return f"{self.name} (shared, not traceable to one individual)"
        return self.name

    def is_active(self, now: datetime) -> bool:
        """Enabled, not deleted, and inside the validity."""
        return (
            self.enabled
            and self.deleted_at is None
            and (self.valid_from is None or self.valid_from <= now)
            and (self.valid_to is None or now < self.valid_to)
        )


class PersonWord(TenantModel):
    """A word that the person is found by (see people/words.py), in byte order."""

    person = TenantForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    word = models.CharField(max_length=60, db_collation="C")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "person", "word"], name="person_word_unique")]
        indexes = [models.Index(fields=["tenant", "word", "person"], name="person_word_found")]


class PersonState(TenantModel):
    """What a person's enabled state and validity were, for a period."""

    person = TenantForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    enabled = models.BooleanField()
    valid_from = models.DateTimeField(null=True)
    valid_to = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "person"], condition=Q(ended_at=None), name="person_state_current"
            )
        ]
        indexes = [models.Index(fields=["tenant", "person", "started_at"], name="person_state_history")]


class Group(TenantModel):
    """People who share roles. Without a site it is global."""

    name = models.CharField(max_length=120)
    site = TenantForeignKey(Site, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("name"), name="group_name_unique")]

    def __str__(self) -> str:
        return self.name


class GroupMembership(TenantModel):
    """A person was in a group, for a period."""

    person = TenantForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    group = TenantForeignKey(Group, on_delete=models.CASCADE, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "person", "group"],
                condition=Q(ended_at=None),
                name="group_membership_unique",
            )
        ]
        indexes = [models.Index(fields=["tenant", "group", "person"], name="group_membership_of_group")]


class GroupRole(TenantModel):
    """A group had a role, for a period."""

    group = TenantForeignKey(Group, on_delete=models.CASCADE, related_name="+")
    role = TenantForeignKey(Role, on_delete=models.CASCADE, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "group", "role"], condition=Q(ended_at=None), name="group_role_unique"
            )
        ]


class PersonRole(TenantModel):
    """A person had a role of their own, for a period."""

    person = TenantForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    role = TenantForeignKey(Role, on_delete=models.CASCADE, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "person", "role"], condition=Q(ended_at=None), name="person_role_unique"
            )
        ]
