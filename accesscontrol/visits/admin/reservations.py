from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from accesscontrol.doors.admin.choosing import DoorsField, offer, some_of, with_hidden
from accesscontrol.doors.models import Channel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import whose
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import belonging, recurring, reserving
from accesscontrol.visits.admin.batches import MOVE
from accesscontrol.visits.admin.exported import VISITS as EXPORTED
from accounts.admin.moments import read_at
from accounts.admin.narrowing import SiteFilter, zone_of
from accounts.admin.records import RecordForm, TenantAdmin, visible_rows
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.rights import Right

STATES = {"Now": "success", "Coming": "info", "Over": "", "Cancelled": "danger"}


def state_of(visit: Reservation, now: datetime) -> str:
    """In one word, by what was reserved."""
    if visit.cancelled_at is not None:
        return "Cancelled"
    if visit.end_time <= now:
        return "Over"
    return "Now" if visit.start_time <= now else "Coming"


class VisitForm(RecordForm):
    has_own_refusals = True
    called = {"channel_ids": "doors", "person_id": "person", "shift_id": "shift"}

    doors = DoorsField(help_text="Choose none for the visitor doors.")
    deliver = forms.ChoiceField(
        label="Send the details",
        choices=[("", "No"), ("email", "By e-mail"), ("sms", "By text message")],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Doors, place, times and the PIN in one message.",
    )

    class Meta:
        labels = {"start_time": "From", "end_time": "Until", "shift": "Weekly hours"}
        help_texts = {
            "end_time": "From this instant on the doors stay closed.",
            "shift": "Within these times, only during these hours.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "doors", Channel, "site")
        if self.instance.pk:
            rows = ReservationChannel.objects.filter(OPEN, reservation=self.instance)
            self.initial["doors"] = list(rows.values_list("channel_id", flat=True))
            if "doors" in self.fields:
                self.fields["doors"].help_text = ""


class WhenFilter(admin.SimpleListFilter):
    title = "when"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("today", "Today"),
            ("now", "Now"),
            ("coming", "Coming"),
            ("over", "Over"),
            ("cancelled", "Cancelled"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> QuerySet[Reservation]:
        now, zone = timezone.now(), zone_of(request)
        today = now.astimezone(zone).date()
        begins, ends = (datetime.combine(day, time(), zone) for day in (today, today + timedelta(days=1)))
        live = Q(cancelled_at=None)
        wanted = {
            "today": live & Q(start_time__lt=ends, end_time__gt=begins),
            "now": live & Q(start_time__lte=now, end_time__gt=now),
            "coming": live & Q(start_time__gt=now, end_time__gt=now),
            "over": live & Q(end_time__lte=now),
            "cancelled": Q(cancelled_at__isnull=False),
        }
        return queryset.filter(wanted[self.value() or ""]) if self.value() in wanted else queryset


class DoorFilter(admin.SimpleListFilter):
    title = "door"
    parameter_name = "door"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        doors = visible_rows(request, Channel)
        return [(str(pk), name) for pk, name in doors.order_by("name", "id").values_list("pk", "name")[:_MOST_DOORS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> QuerySet[Reservation]:
        number = self.value()
        if number is None or number not in {pk for pk, _ in self.lookup_choices}:
            return queryset
        rows = ReservationChannel.objects.filter(OPEN, channel_id=int(number))
        return queryset.filter(pk__in=rows.values("reservation_id"))


_MOST_DOORS = 500


@admin.register(Reservation)
class ReservationAdmin(TenantAdmin):
    """Visits: who is let in at which doors, from when until when."""

    form = VisitForm
    rights = {"view": Right.VISITS_READ, "add": Right.VISITS_WRITE, "change": Right.VISITS_WRITE}
    list_display = ("visitor", "starts", "ends", "doors", "state")
    list_select_related = ("person",)
    list_filter = (WhenFilter, SiteFilter, DoorFilter)
    opened_by = ("person__id__exact",)
    search_fields = ("person__last_name",)
    search_help_text = whose.WORDS
    autocomplete_fields = ("person",)
    ordering = ("-end_time", "-id")
    exported = EXPORTED
    actions = [MOVE]
    empty_words = "A visit lets somebody in at some doors, from when until when."
    steps = (
        Step(
            "cancel",
            "Cancel visit",
            Right.VISITS_WRITE,
            "cancel",
            "The doors stay closed from now on, and a message that has not left does not leave.",
            icon="event_busy",
            danger=True,
            is_possible=lambda visit, now: not visit.is_over(now),
        ),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Reservation], search_term: str
    ) -> tuple[QuerySet[Reservation], bool]:
        term = search_term.strip()
        return (whose.whose(request, queryset, term) if term else queryset), False

    def at_sites(self, rows: QuerySet[Reservation], site_ids: frozenset[int]) -> QuerySet[Reservation]:
        # Cancelled visits have no open channel, so those that ended count too.
        here = ReservationChannel.objects.filter(channel__site_id__in=site_ids)
        return rows.filter(pk__in=here.values("reservation_id"))

    def visible(self, request: HttpRequest) -> QuerySet[Reservation]:
        return super().visible(request).filter(person__deleted_at=None).select_related("person")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reservation]:
        doors = visible_rows(request, Channel)
        rows = ReservationChannel.objects.filter(channel__in=doors).select_related("channel")
        named = Prefetch("reservationchannels", rows.order_by("channel__name"), to_attr="known_channels")
        return super().get_queryset(request).prefetch_related(named)

    def exported_rows(self, request: HttpRequest, rows: QuerySet[Reservation]) -> QuerySet[Reservation]:
        return rows.select_related("person", "host__user")

    def get_fields(self, request: HttpRequest, obj: Reservation | None = None) -> Any:
        changeable = obj is None or self.has_change_permission(request, obj)
        times = ("start_time", "end_time") if changeable else ("starts", "ends")
        last = ("deliver",) if changeable else ("state",)
        # The weekly hours of a recurring visit are its own: no other can be chosen, and saving must not lose them.
        hours = "hours" if obj is not None and obj.shift is not None and obj.shift.is_private else "shift"
        return ("person" if obj is None else "visitor", *times, "doors", hours, *last)

    def get_readonly_fields(self, request: HttpRequest, obj: Reservation | None = None) -> Any:
        return () if obj is None else ("visitor", "hours")

    def is_open(self, request: HttpRequest, obj: Reservation) -> bool:
        return obj.cancelled_at is None

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        known = visible_rows(request, Person)
        number = request.GET.get("person", "")
        person = known.filter(pk=number).first() if number.isdecimal() and len(number) <= 18 else None
        now = timezone.localtime().replace(second=0, microsecond=0)
        return {"person": person.pk if person else None, "start_time": now}

    def save(self, request: HttpRequest, obj: Reservation, form: Any, *, change: bool, now: datetime) -> Reservation:
        values, caller = form.cleaned_data, staff(request)
        deliver = values.get("deliver") or None
        if not change:
            return reserving.reserve(
                values["person"],
                start_time=values["start_time"],
                end_time=values["end_time"],
                channels=list(values["doors"]) or None,
                shift=values["shift"],
                deliver=deliver,
                site_ids=caller.site_ids,
                by=caller.actor,
                now=now,
            )
        if {"start_time", "end_time", "shift"} & set(form.changed_data):
            belonging.refuse_elsewhere([obj], caller.site_ids)
        held = ReservationChannel.objects.filter(OPEN, reservation_id=obj.pk).values("channel_id")
        return reserving.reschedule(
            Reservation.objects.get(pk=obj.pk),
            start_time=values["start_time"],
            end_time=values["end_time"],
            channels=with_hidden(form, "doors", Channel.objects.filter(pk__in=held)),
            shift=values.get("shift", reserving.UNCHANGED),
            deliver=deliver,
            by=caller.actor,
            now=now,
        )

    def cancel(self, request: HttpRequest, obj: Reservation, values: dict[str, Any], now: datetime) -> str:
        belonging.refuse_elsewhere([obj], staff(request).site_ids)
        reserving.cancel(obj, by=staff(request).actor, now=now)
        return "The visit was cancelled."

    @display(description="Visitor")
    def visitor(self, visit: Reservation) -> str:
        return visit.person.listed_name

    @display(description="Weekly hours")
    def hours(self, visit: Reservation) -> str:
        return recurring.in_words(visit.shift)

    @display(description="From", ordering="start_time")
    def starts(self, visit: Reservation) -> str:
        return read_at(visit.start_time)

    @display(description="Until", ordering="end_time")
    def ends(self, visit: Reservation) -> str:
        return read_at(visit.end_time)

    @display(description="Doors")
    def doors(self, visit: Reservation) -> str:
        rows = visit.known_channels  # type: ignore[attr-defined]
        if visit.cancelled_at is None:
            rows = [row for row in rows if row.ended_at is None]
        return some_of([row.channel.name for row in rows], most=3)

    @display(description="State", label=STATES)
    def state(self, visit: Reservation) -> str:
        return state_of(visit, timezone.now())
