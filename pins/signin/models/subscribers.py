import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from accounts.tenancy import TenantForeignKey, TenantModel


class Subscriber(TenantModel):
    """An account of a tenant's own application: e-mail, user name, phone and password of its own."""

    uid = models.UUIDField(default=uuid.uuid4, editable=False)
    # In lower case; user names too, which are told as they were typed.
    email = models.CharField(max_length=254, null=True, blank=True)
    user_name = models.CharField(max_length=100, null=True, blank=True)
    user_name_shown = models.CharField(max_length=100, blank=True)
    # In E.164.
    phone = models.CharField(max_length=20, null=True, blank=True)
    password = models.CharField(max_length=200)
    first_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100, blank=True)
    language = models.CharField(max_length=20, default="en")
    logins = models.PositiveIntegerField(default=0)
    last_login_at = models.DateTimeField(null=True, blank=True)
    password_set_at = models.DateTimeField()
    blocked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "uid"], name="subscriber_uid_unique"),
            models.UniqueConstraint(fields=["tenant", "email"], name="subscriber_email_unique"),
            models.UniqueConstraint(fields=["tenant", "user_name"], name="subscriber_user_name_unique"),
            models.UniqueConstraint(fields=["tenant", "phone"], name="subscriber_phone_unique"),
            models.CheckConstraint(
                condition=Q(email=Lower("email")) & Q(user_name=Lower("user_name")),
                name="subscriber_is_found_in_lower_case",
            ),
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(user_name__isnull=False) | Q(phone__isnull=False),
                name="subscriber_can_be_found",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at", "-id"], name="subscriber_newest_first")]

    def __str__(self) -> str:
        return self.name or self.email or self.user_name_shown or self.phone or str(self.uid)

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class SecurityAnswer(TenantModel):
    """The slow hash of an answer. The question stands with it: taken off the tenant's list, it is still asked."""

    subscriber = TenantForeignKey(Subscriber, on_delete=models.CASCADE, related_name="+", db_index=False)
    question_id = models.CharField(max_length=32)
    question = models.CharField(max_length=200)
    answer = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "subscriber", "question_id"], name="security_answer_unique")
        ]

    def __str__(self) -> str:
        return self.question
