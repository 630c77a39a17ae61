"""One step for many people or visits: chosen, looked at, and worked off by a tick once it is started.

An item is done in the transaction that says so: a worker that dies leaves it pending, and no two share one.
"""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet

from accesscontrol.people.models import Person
from accesscontrol.visits import deeds
from accesscontrol.visits.candidates import OF_PEOPLE, PLANNED
from accesscontrol.visits.importing import files
from accesscontrol.visits.models import Batch, BatchItem
from accounts import audit
from accounts.refusals import Refusal
from pins.deliveries import queueing
from pins.deliveries.nudge import nudge_task

CHUNK = 100
# Rows of a file are written together, in a second or less.
CHUNK_OF_ROWS = files.PART
MOST = 20_000
KEEP_UNSTARTED = timedelta(days=1)
_State = BatchItem.State
_RELATED = {
    "people": ["person"],
    Batch.Kind.MOVE: ["reservation__person", "reservation__shift"],
    Batch.Kind.IMPORT: ["row"],
}


class NobodyChosen(Refusal):
    code = "required"
    text = "Choose at least one."


class TooManyChosen(Refusal):
    code = "too_many"
    text = f"Choose at most {MOST:,} at once."


class StartedAlready(Refusal):
    code = "started_already"
    status = 409
    text = "This was started already."


class NotRunning(Refusal):
    code = "not_running"
    status = 409
    text = "This is not running any more."


class NotSaidYet(Refusal):
    code = "not_said"
    status = 409
    text = "Say first what is to change."


@transaction.atomic
def choose(kind: Batch.Kind, chosen: QuerySet[Any], *, by: audit.Actor, now: datetime) -> Batch:
    """Write down which people, or visits, a step is for; refuses nobody, and more than 20,000."""
    ids = list(chosen.order_by().values_list("pk", flat=True)[: MOST + 1])
    if not ids:
        raise NobodyChosen
    if len(ids) > MOST:
        raise TooManyChosen
    batch = Batch.objects.create(kind=kind, total=len(ids), actor_kind=by.kind, actor_id=by.id, created_at=now)
    key = "person_id" if chosen.model is Person else "reservation_id"
    BatchItem.objects.bulk_create((BatchItem(batch=batch, **{key: number}) for number in sorted(ids)), batch_size=2000)
    return batch


@transaction.atomic
def start(batch: Batch, *, by: audit.Actor, now: datetime, deliver: str = "") -> None:
    """Have the step worked off; refuses a second time, and a medium that cannot be sent by."""
    if batch.kind in PLANNED and batch.plan is None:
        raise NotSaidYet
    if deliver:
        queueing.refuse_unreachable(deliver, "somebody")
    unstarted = Batch.objects.filter(pk=batch.pk, started_at=None)
    if not unstarted.update(started_at=now, deliver=deliver, actor_kind=by.kind, actor_id=by.id):
        raise StartedAlready
    audit.record("start", "batch", batch.pk, by=by, now=now)
    nudge_task(files.TASK)


@transaction.atomic
def stop(batch: Batch, *, by: audit.Actor, now: datetime) -> None:
    """Leave out whoever is still pending; what is done stays done. Refuses what is over."""
    held = Batch.objects.select_for_update().get(pk=batch.pk)
    if not held.is_running():
        raise NotRunning
    pending = BatchItem.objects.filter(batch=held, state=_State.PENDING)
    number = pending.update(state=_State.LEFT_OUT, reason="Stopped before their turn.")
    Batch.objects.filter(pk=held.pk).update(left_out=F("left_out") + number)
    _finish(held, now)
    audit.record("stop", "batch", held.pk, by=by, now=now)


@transaction.atomic
def discard(batch: Batch) -> None:
    """Forget a choice that was not started; refuses one that was."""
    if not Batch.objects.filter(pk=batch.pk, started_at=None).delete()[0]:
        raise StartedAlready


def discard_stale(now: datetime) -> None:
    """Forget choices of the current tenant that nobody started for a day."""
    Batch.objects.filter(started_at=None, created_at__lte=now - KEEP_UNSTARTED).delete()
    files.discard_stale(now)


def tenants_with_work(now: datetime) -> list[int]:
    """Tenants with a running step, a file to check, or a choice or file that is stale."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_batches(%s)", [now - KEEP_UNSTARTED])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def work(now: datetime) -> int:
    """Work off some hundred items of the oldest running step that nobody else has; returns how many."""
    for batch in Batch.objects.filter(started_at__isnull=False, finished_at=None).order_by("started_at", "id"):
        pending = BatchItem.objects.filter(batch=batch, state=_State.PENDING)
        related = _RELATED["people" if batch.kind in OF_PEOPLE else batch.kind]
        claimed = pending.select_for_update(skip_locked=True, of=("self",)).select_related(*related).order_by("id")
        items = list(claimed[: CHUNK_OF_ROWS if batch.kind == Batch.Kind.IMPORT else CHUNK])
        if items:
            _carry_out(batch, items, now)
            return len(items)
        # Those that another worker holds are still pending for everybody else.
        if not pending.exists():
            _finish(batch, now)
    return 0


def _carry_out(batch: Batch, items: list[BatchItem], now: datetime) -> None:
    outcomes = deeds.carry_out(batch, items, now)
    alike: dict[deeds.Outcome, list[int]] = defaultdict(list)
    for item in items:
        alike[outcomes[item.pk]].append(item.pk)
    for outcome, ids in alike.items():
        BatchItem.objects.filter(pk__in=ids).update(state=outcome.state, reason=outcome.reason)
    counts = Counter(outcome.state for outcome in outcomes.values())
    Batch.objects.filter(pk=batch.pk).update(
        done=F("done") + counts[_State.DONE],
        left_out=F("left_out") + counts[_State.LEFT_OUT],
        failed=F("failed") + counts[_State.FAILED],
    )


def _finish(batch: Batch, now: datetime) -> None:
    if Batch.objects.filter(pk=batch.pk, finished_at=None).update(finished_at=now) and batch.source_id is not None:
        files.finish(batch.source_id)
