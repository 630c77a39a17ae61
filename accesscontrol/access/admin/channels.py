from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from accesscontrol.access import attempts, commands, contact
from accesscontrol.access.admin import checks
from accesscontrol.doors.models import Channel
from accesscontrol.visits import odds
from accounts.admin.moments import read_at
from accounts.admin.narrowing import SiteFilter
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step, StepForm
from accounts.admin_site import staff
from accounts.rights import Right
from pins.throttle.models import Throttle


class DoorForm(RecordForm):
    class Meta:
        labels = {
            "shortest_pin": "Shortest PIN (digits)",
            "longest_pin": "Longest PIN (digits)",
            "release_seconds": "Stays open for (seconds)",
            "free_tries": "Wrong PINs without a wait",
            "first_wait_seconds": "First wait (seconds)",
            "longest_wait_seconds": "Longest wait (seconds)",
        }
        help_texts = {
            "rotate_after_days": "Whoever may open this door gets a new PIN so often. Empty: never for this door.",
            "is_visitor_door": "Visits for which no door is chosen are for the visitor doors.",
            "keeps_offline_list": "Its controller may keep who opens this door, to decide alone while the server is "
            "away. Whoever steals the controller can find out those PINs.",
            "offline_visitor_hours": "A list older than this lets no visitor in.",
            "direction": "Whether people go in or out here.",
            "longest_wait_seconds": "Each further wrong PIN doubles the wait, up to this.",
        }


class ReasonForm(StepForm):
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="It stands in the audit beside who and when."
    )


def _waits(door: Any, now: datetime) -> bool:
    return door.wait_until is not None and door.wait_until > now


class AttentionFilter(admin.SimpleListFilter):
    """Doors that somebody should look at: guessed at, or not heard of."""

    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("guessed", "Wrong PINs are typed"), ("silent", "Out of contact")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Channel]) -> QuerySet[Channel]:
        now = timezone.now()
        if self.value() == "guessed":
            return queryset.filter(pk__in=attempts.guessed_at(now))
        return queryset.filter(pk__in=contact.silent(now)) if self.value() == "silent" else queryset


class DoorAdmin(TenantAdmin):
    """Doors, and whether one waits after wrong PINs. Registered by `overview`, which adds who may open them."""

    form = DoorForm
    rights = {"view": Right.CHANNELS_READ, "add": Right.CHANNELS_WRITE, "change": Right.CHANNELS_WRITE}
    site_lookup = "site_id"
    list_display = ("name", "site", "for_visitors", "pin_length", "guessing", "stands", "lift_link")
    list_select_related = ("site",)
    list_filter: Any = ("is_visitor_door", "state", AttentionFilter, SiteFilter)
    search_fields = ("name",)
    search_help_text = "Name of a door or site"
    ordering = ("site__name", "name", "id")
    fieldsets = (
        (None, {"fields": ("name", "site", "direction", "is_visitor_door")}),
        (
            "Keypad",
            {"fields": (("shortest_pin", "longest_pin"), "release_seconds", "rotate_after_days", "guessing")},
        ),
        (
            "After wrong PINs",
            {
                "fields": ("free_tries", ("first_wait_seconds", "longest_wait_seconds"), "wait"),
                "description": "Wrong PINs make the keypad wait, so that guessing takes years. Typing the same wrong "
                "PIN again costs nothing, and a slip is forgiven once the right PIN follows.",
            },
        ),
        (
            "Outage",
            {
                "fields": ("heard", "keeps_offline_list", "offline_visitor_hours"),
                "description": "A controller that keeps the list of who opens this door goes on opening and recording "
                "while the server is away.",
            },
        ),
    )
    readonly_fields = ("wait", "guessing", "heard")
    empty_words = "A door is a keypad or door controller at a site. Add a site first, then its doors."
    steps = (
        Step(
            "lift-wait",
            "Lift wait",
            Right.THROTTLE_LIFT,
            "lift_wait",
            "The keypad at “{0}” takes PINs again at once. Not while somebody guesses.",
            icon="lock_open",
            is_possible=_waits,
        ),
        Step(
            "hold-open",
            "Hold open",
            Right.CHANNELS_ADMIT,
            "hold_open",
            "“{0}” stays open, for everybody, until somebody ends it.",
            form=ReasonForm,
            icon="door_open",
            is_possible=lambda door, now: door.stands(now) == Channel.State.NORMAL,
        ),
        Step(
            "lock-down",
            "Lock down",
            Right.CHANNELS_ADMIT,
            "lock_down",
            "“{0}” lets nobody in, whatever their PIN, until somebody ends it.",
            form=ReasonForm,
            icon="lock",
            danger=True,
            is_possible=lambda door, now: door.stands(now) != Channel.State.LOCKED_DOWN,
        ),
        Step(
            "back-to-normal",
            "Back to normal",
            Right.CHANNELS_ADMIT,
            "back_to_normal",
            "“{0}” opens for whoever may open it, and for nobody else.",
            form=ReasonForm,
            icon="undo",
            is_possible=lambda door, now: door.stands(now) != Channel.State.NORMAL,
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        # What happened at a door is read in the time zone of its site: a door does not move.
        return (*self.readonly_fields, "site") if obj is not None else self.readonly_fields

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(checks.page)
        return [path("access-check/", page, name="doors_channel_check"), *super().get_urls()]

    def search(self, rows: QuerySet[Channel], term: str) -> QuerySet[Channel]:
        # However many buildings: doors are thousands at the most, and looked at one by one in milliseconds.
        return rows.filter(Q(name__icontains=term) | Q(site__name__icontains=term))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        waits = Throttle.objects.filter(
            subject_kind=attempts.subject_of(0).kind,
            subject_id=Cast(OuterRef("pk"), CharField()),
            wait_until__gt=timezone.now(),
        )
        return super().get_queryset(request).annotate(wait_until=Subquery(waits.values("wait_until")))

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        if obj is not None:
            return super().get_fieldsets(request, obj)
        first, _, (title, options), _ = self.fieldsets
        keypad = ("Keypad", {"fields": (("shortest_pin", "longest_pin"), "release_seconds")})
        fields = tuple(name for name in options["fields"] if name != "wait")
        return (first, keypad, (title, {**options, "fields": fields}))

    def lift_wait(self, request: HttpRequest, obj: Channel, values: dict[str, Any], now: datetime) -> str:
        attempts.lift_wait(obj, by=staff(request).actor, now=now)
        return "The wait was lifted."

    def hold_open(self, request: HttpRequest, obj: Channel, values: dict[str, Any], now: datetime) -> str:
        commands.hold_open([obj], reason=values["reason"], by=staff(request).actor, now=now)
        return f"“{obj}” is held open."

    def lock_down(self, request: HttpRequest, obj: Channel, values: dict[str, Any], now: datetime) -> str:
        commands.lock_down([obj], reason=values["reason"], by=staff(request).actor, now=now)
        return f"“{obj}” is locked down."

    def back_to_normal(self, request: HttpRequest, obj: Channel, values: dict[str, Any], now: datetime) -> str:
        commands.end([obj], reason=values["reason"], by=staff(request).actor, now=now)
        return f"“{obj}” is back to normal."

    def look_up(self, request: HttpRequest, rows: list[Any]) -> None:
        found = odds.lately([door.pk for door in rows], timezone.now())
        for door in rows:
            door.odds = found[door.pk]

    @display(description="Controller last heard")
    def heard(self, door: Channel) -> str:
        now = timezone.now()
        if not hasattr(door, "standing"):
            door.standing = contact.standing([door.pk], now)[door.pk]  # type: ignore[attr-defined]
        standing: contact.Standing = door.standing  # type: ignore[attr-defined]
        if standing.last_contact_at is None:
            return "Never: a keypad that only asks about PINs is not expected to be heard"
        when = read_at(standing.last_contact_at, door.site.zone)
        late = f"; {standing.waiting_changes} changes are not at the door yet" if standing.waiting_changes else ""
        return f"{when}{' (silent)' if standing.is_silent else ''}{late}"

    @display(description="Guessing a PIN")
    def guessing(self, door: Channel) -> str:
        # A page asks for the same field several times.
        if not hasattr(door, "odds"):
            door.odds = odds.of_channels([door.pk], timezone.now())[door.pk]  # type: ignore[attr-defined]
        found: odds.Odds = door.odds  # type: ignore[attr-defined]
        return found.warning or f"{found.count:,} PINs: {found.in_words}"

    @display(description="Visitor door")
    def for_visitors(self, door: Channel) -> str:
        return "Yes" if door.is_visitor_door else "-"

    @display(description="PIN length")
    def pin_length(self, door: Channel) -> str:
        if door.shortest_pin == door.longest_pin:
            return f"{door.shortest_pin} digits"
        return f"{door.shortest_pin} to {door.longest_pin} digits"

    @display(
        description="State",
        label={
            "Ready": "success",
            "Locked down": "danger",
            "Held open": "warning",
            "Waits after wrong PINs": "warning",
        },
    )
    def stands(self, door: Channel) -> str:
        if (commanded := door.stands(timezone.now())) != Channel.State.NORMAL:
            return str(commanded.label)
        return "Waits after wrong PINs" if _waits(door, timezone.now()) else "Ready"

    @display(description="Waits until")
    def lift_link(self, door: Channel) -> str:
        if not _waits(door, timezone.now()):
            return "-"
        until = read_at(door.wait_until, door.site.zone)  # type: ignore[attr-defined]
        return format_html('<a class="underline" href="{}">{}</a>', self.step_url(door, self.steps[0]), until)

    @display(description="Waits now")
    def wait(self, door: Channel) -> str:
        if not _waits(door, timezone.now()):
            return "No"
        return f"Until {read_at(door.wait_until, door.site.zone)}"  # type: ignore[attr-defined]
