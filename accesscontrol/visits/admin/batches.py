"""Bulk steps: people or visits are chosen in their list, the step is looked at, started, and followed."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from accesscontrol.doors.admin.choosing import some_of
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Group
from accesscontrol.visits import batches, moving
from accesscontrol.visits.admin.batch_forms import GroupsForm, MoveForm, StartForm
from accesscontrol.visits.candidates import OF_PEOPLE, PLANNED
from accesscontrol.visits.models import Batch, BatchItem
from accounts.admin.moments import read_at
from accounts.admin.records import TenantAdmin, grantable_rows
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.refusals import Refusal
from accounts.rights import Right

STATES = {"Not started": "info", "Running": "warning", "Finished": "success"}
_SHOWN = 100
_ASK = {
    Batch.Kind.ISSUE: "Whoever has no PIN gets one of their own. Who has one already is left out.",
    Batch.Kind.ROTATE: "Everybody gets a new PIN, sent to them where they can be reached; the old one goes on to work "
    "for the days that the settings say.",
    Batch.Kind.DISABLE: "Their PINs open nothing until they are enabled again.",
    Batch.Kind.ENABLE: "Their PINs open doors again where their people have a right.",
    Batch.Kind.REVOKE: "Their PINs end for good and open nothing any more. This cannot be taken back.",
    Batch.Kind.REGROUP: "They are put into groups and taken out of others, with all rights that come from these.",
    Batch.Kind.MOVE: "Their visits get other times or doors. Whoever was told before is told of the change.",
    Batch.Kind.IMPORT: "What the check of the file announced is done, row by row.",
}


def _may_start(batch: Batch, now: datetime) -> bool:
    return batch.started_at is None and (batch.kind not in PLANNED or batch.plan is not None)


def state_of(batch: Batch) -> str:
    if batch.started_at is None:
        return "Not started"
    return "Running" if batch.finished_at is None else "Finished"


@admin.register(Batch)
class BatchAdmin(TenantAdmin):
    """What was or is to be done for many people at once."""

    rights = {"view": Right.PEOPLE_WRITE}
    list_select_related = ("source",)
    of_whole_tenant = False
    list_display = ("what", "begun", "outcome", "state")
    ordering = ("-id",)
    fields = ("what", "begun", "ended")
    readonly_fields = fields
    empty_words = "Choose people in their list, then an action, such as “Issue PINs”."
    begun_at = "admin:people_person_changelist"
    change_form_outer_before_template = "admin/batch_story.html"
    steps = (
        Step(
            "start",
            "Start",
            Right.PEOPLE_WRITE,
            "start",
            "It runs in the background; this page shows how far it is.",
            form=StartForm,
            icon="play_arrow",
            is_possible=_may_start,
        ),
        Step(
            "groups",
            "Choose groups",
            Right.PEOPLE_WRITE,
            "say_groups",
            "What you choose here is shown with its consequences before anything happens.",
            form=GroupsForm,
            icon="groups",
            is_possible=lambda batch, _now: batch.started_at is None and batch.kind == Batch.Kind.REGROUP,
        ),
        Step(
            "move",
            "Choose times and doors",
            Right.VISITS_WRITE,
            "say_move",
            "What you choose here is shown with its consequences before anything happens.",
            form=MoveForm,
            icon="schedule",
            is_possible=lambda batch, _now: batch.started_at is None and batch.kind == Batch.Kind.MOVE,
        ),
        Step(
            "discard",
            "Discard",
            Right.PEOPLE_WRITE,
            "discard",
            "Nothing was done yet, and nothing will be.",
            icon="delete",
            is_possible=lambda batch, _now: batch.started_at is None,
        ),
        Step(
            "stop",
            "Stop",
            Right.PEOPLE_WRITE,
            "stop",
            "Whoever is still to come is left out. What is done stays done.",
            icon="stop",
            danger=True,
            is_possible=lambda batch, _now: batch.is_running(),
        ),
    )

    class Media:
        js = ("admin_site/progress.js",)

    def visible(self, request: HttpRequest) -> QuerySet[Batch]:
        rows = super().visible(request)
        caller = staff(request)
        # It names people of any site: members of some sites see their own alone.
        if caller.site_ids is None:
            return rows
        return rows.filter(actor_kind=caller.actor.kind, actor_id=caller.actor.id)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.progress)
        return [path("<int:batch_id>/progress/", page, name="visits_batch_progress"), *super().get_urls()]

    def progress(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        """The part of the page that changes while the step runs."""
        batch = self.get_object(request, str(batch_id))
        if batch is None or not self.has_view_permission(request):
            return HttpResponse(status=404)
        return TemplateResponse(request, "admin/batch_progress.html", self.story(request, batch, timezone.now()))

    def story(self, request: HttpRequest, obj: Batch, now: datetime) -> dict[str, Any]:
        items = BatchItem.objects.filter(batch=obj).select_related("person", "reservation__person", "row__person")
        told = items.exclude(reason="").exclude(state=BatchItem.State.PENDING)
        troubles = list(told.order_by("state", "id")[: _SHOWN + 1])
        return {
            "batch": obj,
            "state": state_of(obj),
            "tone": STATES[state_of(obj)],
            "ask": _ASK[Batch.Kind(obj.kind)],
            "troubles": [(item, moving.name_of(item), _address_of(item)) for item in troubles[:_SHOWN]],
            "has_more": len(troubles) > _SHOWN,
            "names": [moving.name_of(item) for item in items.order_by("id")[:10]] if obj.started_at is None else [],
            "preview": moving.preview(obj, now),
            "plan": _plan_in_words(obj),
        }

    def say_groups(self, request: HttpRequest, obj: Batch, values: dict[str, Any], now: datetime) -> str:
        moving.plan_groups(obj, into=values["into"], out_of=values["out_of"], by=staff(request).actor, now=now)
        return "Look at what this means below, then start it."

    def say_move(self, request: HttpRequest, obj: Batch, values: dict[str, Any], now: datetime) -> str:
        minutes = (values["days"] or 0) * 1440 + round((values["hours"] or 0) * 60)
        moving.plan_move(
            obj,
            minutes=-minutes if values["way"] == "earlier" else minutes,
            doors=values["doors"],
            elsewhere=Channel.objects.exclude(pk__in=grantable_rows(request, Channel).values("pk")),
            by=staff(request).actor,
            now=now,
        )
        return "Look at what this means below, then start it."

    def start(self, request: HttpRequest, obj: Batch, values: dict[str, Any], now: datetime) -> str:
        batches.start(obj, deliver=values.get("deliver", ""), by=staff(request).actor, now=now)
        return "Started."

    def discard(self, request: HttpRequest, obj: Batch, values: dict[str, Any], now: datetime) -> str:
        batches.discard(obj)
        return "Discarded."

    def stop(self, request: HttpRequest, obj: Batch, values: dict[str, Any], now: datetime) -> str:
        batches.stop(obj, by=staff(request).actor, now=now)
        return "Stopped."

    @display(description="Step")
    def what(self, batch: Batch) -> str:
        return batch.title

    @display(description="Done")
    def outcome(self, batch: Batch) -> str:
        parts = [f"{batch.done:,} done"]
        parts += [f"{batch.left_out:,} left out"] if batch.left_out else []
        parts += [f"{batch.failed:,} failed"] if batch.failed else []
        return ", ".join(parts) if batch.started_at else "-"

    @display(description="Started")
    def begun(self, batch: Batch) -> str:
        return read_at(batch.started_at)

    @display(description="Finished")
    def ended(self, batch: Batch) -> str:
        return read_at(batch.finished_at)

    @display(description="State", label=STATES)
    def state(self, batch: Batch) -> str:
        return state_of(batch)


def _address_of(item: BatchItem) -> str:
    if item.reservation_id is not None:
        return reverse("admin:reservations_reservation_change", args=[item.reservation_id])
    person_id = item.person_id or (item.row.person_id if item.row else None)
    return reverse("admin:people_person_change", args=[person_id]) if person_id else ""


def _plan_in_words(batch: Batch) -> list[str]:
    """What was said of a move, one thing a line."""
    plan, words = batch.plan or {}, []
    if minutes := plan.get("minutes"):
        days, rest = divmod(abs(minutes), 1440)
        hours, over = divmod(rest, 60)
        parts = [(days, "day"), (hours, "hour"), (over, "minute")]
        long = " ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in parts if number)
        words.append(f"{long} {'later' if minutes > 0 else 'earlier'}")
    named = (("doors", "To: ", Channel), ("into", "Put into: ", Group), ("out_of", "Taken out of: ", Group))
    for key, title, model in named:
        if plan.get(key):
            names = model.objects.filter(pk__in=plan[key]).order_by("name").values_list("name", flat=True)
            words.append(title + some_of(list(names), most=8))
    return words


def _action(kind: Batch.Kind, name: str) -> Any:
    @admin.action(description=kind.label, permissions=["change"])
    def choose(page: TenantAdmin, request: HttpRequest, people: QuerySet[Any]) -> HttpResponse | None:
        try:
            batch = batches.choose(kind, people, by=staff(request).actor, now=timezone.now())
        except Refusal as refusal:
            messages.error(request, refusal.sentence)
            return None
        return HttpResponseRedirect(reverse("admin:visits_batch_change", args=[batch.pk]))

    choose.__name__ = name
    return choose


# What the lists of people and of visits offer for those who are ticked.
ACTIONS = [
    *(_action(kind, f"{kind.value}_pins") for kind in Batch.Kind if kind in OF_PEOPLE - PLANNED),
    _action(Batch.Kind.REGROUP, "regroup"),
]
MOVE = _action(Batch.Kind.MOVE, "move_visits")
