from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from accounts.admin.moments import read_at
from accounts.admin.records import TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.rights import Right
from pins.signin import pin
from pins.signin.account import of_subscriber
from pins.signin.models import Subscriber
from pins.signin.subscribers import blocking

STATES = {"Active": "success", "Blocked": "danger"}


def _is_locked(subscriber: Subscriber, now: datetime) -> bool:
    return blocking.locked_until(subscriber, now) is not None


@admin.register(Subscriber)
class SubscriberAdmin(TenantAdmin):
    """The accounts of the tenant's application: read, blocked, unlocked. They are made and changed through its API."""

    rights = {"view": Right.SUBSCRIBERS_READ}
    of_whole_tenant = True
    list_display = ("shown_name", "email_address", "shown_user_name", "phone", "created", "last_login", "state")
    ordering = ("-created_at", "-id")
    search_fields = ("email",)
    search_help_text = "Whole e-mail address, user name, phone number or uid"
    fields = (
        "shown_name",
        "uid",
        "email_address",
        "shown_user_name",
        "phone",
        "state",
        "locked",
        "pin_words",
        "created",
        "last_login",
    )
    readonly_fields = fields
    empty_words = "Nobody has registered yet. Your application adds accounts with a key for PIN sign-in."
    steps = (
        Step(
            "unlock",
            "Unlock",
            Right.SUBSCRIBERS_WRITE,
            "unlock",
            "Wrong entries are forgotten, and {} can try again at once. Make sure who asks for it.",
            icon="lock_open",
            is_possible=_is_locked,
        ),
        Step(
            "block",
            "Block",
            Right.SUBSCRIBERS_WRITE,
            "block",
            "{} is signed out everywhere and cannot sign in again until you unblock the account.",
            icon="block",
            danger=True,
            is_possible=lambda subscriber, _now: subscriber.blocked_at is None,
        ),
        Step(
            "unblock",
            "Unblock",
            Right.SUBSCRIBERS_WRITE,
            "unblock",
            "{} can sign in again.",
            icon="check_circle",
            is_possible=lambda subscriber, _now: subscriber.blocked_at is not None,
        ),
    )

    def search(self, rows: QuerySet[Subscriber], term: str) -> QuerySet[Subscriber]:
        known = Q(email=term.lower()) | Q(user_name=term.lower()) | Q(phone=term.replace(" ", ""))
        compact = term.replace("-", "")
        if len(compact) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in compact):
            known |= Q(uid=compact)
        return rows.filter(known)

    def unlock(self, request: HttpRequest, obj: Subscriber, values: dict[str, Any], now: datetime) -> str:
        blocking.unlock(obj, by=staff(request).actor, now=now)
        return f"{obj} can try again."

    def block(self, request: HttpRequest, obj: Subscriber, values: dict[str, Any], now: datetime) -> str:
        blocking.block(obj, by=staff(request).actor, now=now)
        return f"{obj} is blocked."

    def unblock(self, request: HttpRequest, obj: Subscriber, values: dict[str, Any], now: datetime) -> str:
        blocking.unblock(obj, by=staff(request).actor, now=now)
        return f"{obj} can sign in again."

    @display(description="Name")
    def shown_name(self, subscriber: Subscriber) -> str:
        return str(subscriber)

    @display(description="E-mail address")
    def email_address(self, subscriber: Subscriber) -> str:
        return subscriber.email or "-"

    @display(description="User name")
    def shown_user_name(self, subscriber: Subscriber) -> str:
        return subscriber.user_name_shown or "-"

    @display(description="Registered")
    def created(self, subscriber: Subscriber) -> str:
        return read_at(subscriber.created_at)

    @display(description="Last sign-in")
    def last_login(self, subscriber: Subscriber) -> str:
        return read_at(subscriber.last_login_at)

    @display(description="Locked until")
    def locked(self, subscriber: Subscriber) -> str:
        return read_at(blocking.locked_until(subscriber, timezone.now()))

    @display(description="PIN")
    def pin_words(self, subscriber: Subscriber) -> str:
        found = pin.state(of_subscriber(subscriber.pk))
        if found.is_set:
            return f"Set {read_at(found.set_at)}"
        return f"Skipped {read_at(found.skipped_at)}" if found.skipped_at else "Not set"

    @display(description="State", label=STATES)
    def state(self, subscriber: Subscriber) -> str:
        return "Blocked" if subscriber.blocked_at else "Active"
