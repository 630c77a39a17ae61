"""Bulk steps: people are chosen in their list, the step is looked at, started, and followed while it runs."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from accesscontrol.people.models import Person
from accesscontrol.visits import batches
from accesscontrol.visits.models import Batch, BatchItem
from accounts.admin.moments import read_at
from accounts.admin.records import TenantAdmin
from accounts.admin.steps import Step, StepForm
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
}


class StartForm(StepForm):
    deliver = forms.ChoiceField(
        label="Send the PINs",
        choices=[("", "No, they are handed over"), ("email", "By e-mail"), ("sms", "By text message")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.obj.kind != Batch.Kind.ISSUE:
            del self.fields["deliver"]


def state_of(batch: Batch) -> str:
    if batch.started_at is None:
        return "Not started"
    return "Running" if batch.finished_at is None else "Finished"


@admin.register(Batch)
class BatchAdmin(TenantAdmin):
    """What was or is to be done for many people at once."""

    rights = {"view": Right.PEOPLE_WRITE}
    of_whole_tenant = False
    list_display = ("what", "people", "begun", "outcome", "state")
    ordering = ("-id",)
    fields = ("what", "begun", "ended")
    readonly_fields = fields
    empty_words = "Choose people in their list, then an action, such as “Issue PINs”."
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
            is_possible=lambda batch, _now: batch.started_at is None,
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
        told = BatchItem.objects.filter(batch=obj).exclude(reason="").exclude(state=BatchItem.State.PENDING)
        troubles = list(told.select_related("person").order_by("state", "id")[: _SHOWN + 1])
        return {
            "batch": obj,
            "state": state_of(obj),
            "tone": STATES[state_of(obj)],
            "ask": _ASK[Batch.Kind(obj.kind)],
            "troubles": troubles[:_SHOWN],
            "has_more": len(troubles) > _SHOWN,
            "first_people": [
                item.person for item in BatchItem.objects.filter(batch=obj).select_related("person").order_by("id")[:10]
            ]
            if obj.started_at is None
            else [],
        }

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
        return batch.get_kind_display()

    @display(description="People")
    def people(self, batch: Batch) -> str:
        return f"{batch.total:,}"

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


def _action(kind: Batch.Kind) -> Any:
    @admin.action(description=kind.label, permissions=["change"])
    def choose(page: TenantAdmin, request: HttpRequest, people: QuerySet[Person]) -> HttpResponse | None:
        try:
            batch = batches.choose(kind, people, by=staff(request).actor, now=timezone.now())
        except Refusal as refusal:
            messages.error(request, refusal.sentence)
            return None
        return HttpResponseRedirect(reverse("admin:visits_batch_change", args=[batch.pk]))

    choose.__name__ = f"{kind.value}_pins"
    return choose


# What the list of people offers for those who are ticked.
ACTIONS = [_action(kind) for kind in Batch.Kind]
