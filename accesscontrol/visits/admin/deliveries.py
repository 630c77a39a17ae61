from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from accesscontrol.people.models import Person
from accesscontrol.visits import messages
from accounts.admin.moments import read_at
from accounts.admin.narrowing import SiteFilter
from accounts.admin.records import TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.rights import Right
from pins.deliveries import queueing
from pins.deliveries.models import Delivery, DeliverySubject

# The words of visits/messages/states.py; admin pages are in English.
STATES = {
    "On its way": "info",
    "Delayed": "warning",
    "Sent": "success",
    "Not opened": "warning",
    "Opened": "success",
    "Failed": "danger",
    "Bounced": "danger",
    "Withdrawn": "info",
}
TEMPLATE_WORDS = {
    "alarm": "Alarm",
    "code": "One-time code",
    "host_arrival": "Visitor has arrived",
    "pin": "PIN",
    "pin_reset_code": "Code for a new sign-in PIN",
    "pin_reset_link": "Link for a new sign-in PIN",
    "visit": "Visit with PIN",
    "visit_ended": "End of a visit",
    "invitation": "Invitation to the staff",
    "new_password": "Link to a new password",
    "account": "News of somebody's own account",
}


class AboutFilter(admin.SimpleListFilter):
    """Opened by links only, such as `about=person-7`: everything that was sent about one row."""

    title = "about"
    parameter_name = "about"
    kinds = ("person", "credential", "reservation")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = self.used_parameters.get(self.parameter_name)
        return [(value, value.replace("-", " "))] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        kind, _, number = (self.value() or "").partition("-")
        if kind not in self.kinds or not (number.isascii() and number.isdecimal() and len(number) <= 18):
            return queryset
        subjects = DeliverySubject.objects.filter(kind=kind, object_id=int(number))
        return queryset.filter(pk__in=subjects.values("delivery_id"))


class UndeliveredFilter(admin.SimpleListFilter):
    title = "arrival"
    parameter_name = "arrival"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Failed or bounced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        undelivered = (Delivery.State.FAILED, Delivery.State.BOUNCED)
        return queryset.filter(state__in=undelivered) if self.value() == "no" else queryset


@admin.register(Delivery)
class DeliveryAdmin(TenantAdmin):
    """Messages: only read, and those that failed sent again."""

    rights = {"view": Right.DELIVERIES_READ}
    list_display = ("what", "medium", "address", "queued", "sent", "state_word")
    list_filter = (UndeliveredFilter, "state", "medium", SiteFilter, AboutFilter)
    ordering = ("-queued_at", "-id")
    fields = ("what", "medium", "address", "state_word", "queued", "sent", "attempts", "reason")
    readonly_fields = fields
    empty_words = "Nothing was sent yet. PINs and visits can be sent by e-mail or text message."
    steps = (
        Step(
            "resend",
            "Send again",
            Right.DELIVERIES_WRITE,
            "resend",
            "The same message is sent to the same address once more.",
            icon="send",
            is_possible=lambda delivery, now: delivery.is_resendable(now),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).prefetch_related("reveal_links")

    def at_sites(self, rows: QuerySet[Delivery], site_ids: frozenset[int]) -> QuerySet[Delivery]:
        elsewhere = Person.objects.filter(site_id__isnull=False).exclude(site_id__in=site_ids)
        subjects = DeliverySubject.objects.filter(delivery=OuterRef("pk"))
        about = subjects.filter(kind="person", object_id__in=elsewhere.values("pk"))
        # Alarms are about a site and nobody in particular.
        of_sites = subjects.filter(kind="site").exclude(object_id__in=site_ids)
        return rows.filter(~Exists(about), ~Exists(of_sites))

    def resend(self, request: HttpRequest, obj: Delivery, values: dict[str, Any], now: datetime) -> str:
        queueing.resend(obj, by=staff(request).actor, now=now)
        return "The message is on its way again."

    @display(description="Message")
    def what(self, delivery: Delivery) -> str:
        return TEMPLATE_WORDS.get(delivery.template, delivery.template)

    @display(description="Queued")
    def queued(self, delivery: Delivery) -> str:
        return read_at(delivery.queued_at)

    @display(description="Sent")
    def sent(self, delivery: Delivery) -> str:
        return read_at(delivery.sent_at)

    @display(description="State", label=STATES)
    def state_word(self, delivery: Delivery) -> str:
        return messages.state_of(delivery).word

    @display(description="Why")
    def reason(self, delivery: Delivery) -> str:
        return messages.state_of(delivery).reason or "-"
