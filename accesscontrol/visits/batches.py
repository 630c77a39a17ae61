"""One step for many people: they are chosen, looked at, and worked off by a tick once it is started.

An item is done in the transaction that says so: a worker that dies leaves it pending, and no two share one.
What refuses one person is written beside them and stops nobody else.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import connection, transaction
from django.db.models import F, QuerySet

from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.people.models import Person
from accesscontrol.visits import issuing, messages, rotation
from accesscontrol.visits.models import Batch, BatchItem
from accounts import audit
from accounts.refusals import Refusal
from pins.deliveries import queueing

CHUNK = 100
MOST = 20_000
KEEP_UNSTARTED = timedelta(days=1)
_log = logging.getLogger(__name__)
_State = BatchItem.State


class NobodyChosen(Refusal):
    code = "required"
    text = "Choose at least one person."


class TooManyChosen(Refusal):
    code = "too_many"
    text = f"Choose at most {MOST:,} people at once."


class StartedAlready(Refusal):
    code = "started_already"
    status = 409
    text = "This was started already."


class NotRunning(Refusal):
    code = "not_running"
    status = 409
    text = "This is not running any more."


@dataclass(frozen=True)
class Outcome:
    """What became of one person."""

    state: BatchItem.State
    reason: str = ""


@transaction.atomic
def choose(kind: Batch.Kind, people: QuerySet[Person], *, by: audit.Actor, now: datetime) -> Batch:
    """Write down whom a step is for; refuses nobody, and more than 20,000."""
    ids = list(people.order_by().values_list("pk", flat=True)[: MOST + 1])
    if not ids:
        raise NobodyChosen
    if len(ids) > MOST:
        raise TooManyChosen
    batch = Batch.objects.create(kind=kind, total=len(ids), actor_kind=by.kind, actor_id=by.id, created_at=now)
    BatchItem.objects.bulk_create((BatchItem(batch=batch, person_id=number) for number in sorted(ids)), batch_size=2000)
    return batch


@transaction.atomic
def start(batch: Batch, *, by: audit.Actor, now: datetime, deliver: str = "") -> None:
    """Have the step worked off; refuses a second time, and a medium that cannot be sent by."""
    if deliver:
        queueing.refuse_unreachable(deliver, "somebody")
    unstarted = Batch.objects.filter(pk=batch.pk, started_at=None)
    if not unstarted.update(started_at=now, deliver=deliver, actor_kind=by.kind, actor_id=by.id):
        raise StartedAlready
    audit.record("start", "batch", batch.pk, by=by, now=now)


@transaction.atomic
def stop(batch: Batch, *, by: audit.Actor, now: datetime) -> None:
    """Leave out whoever is still pending; what is done stays done. Refuses what is over."""
    held = Batch.objects.select_for_update().get(pk=batch.pk)
    if not held.is_running():
        raise NotRunning
    pending = BatchItem.objects.filter(batch=held, state=_State.PENDING)
    number = pending.update(state=_State.LEFT_OUT, reason="Stopped before their turn.")
    Batch.objects.filter(pk=held.pk).update(left_out=F("left_out") + number, finished_at=now)
    audit.record("stop", "batch", held.pk, by=by, now=now)


@transaction.atomic
def discard(batch: Batch) -> None:
    """Forget a choice that was not started; refuses one that was."""
    if not Batch.objects.filter(pk=batch.pk, started_at=None).delete()[0]:
        raise StartedAlready


def discard_stale(now: datetime) -> None:
    """Forget choices of the current tenant that nobody started for a day."""
    Batch.objects.filter(started_at=None, created_at__lte=now - KEEP_UNSTARTED).delete()


def tenants_with_work(now: datetime) -> list[int]:
    """Tenants with a running step or a stale choice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_batches(%s)", [now - KEEP_UNSTARTED])
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def work(now: datetime) -> int:
    """Work off up to 100 people of the oldest running step that nobody else has; returns how many."""
    for batch in Batch.objects.filter(started_at__isnull=False, finished_at=None).order_by("started_at", "id"):
        pending = BatchItem.objects.filter(batch=batch, state=_State.PENDING)
        claimed = pending.select_for_update(skip_locked=True, of=("self",)).select_related("person").order_by("id")
        items = list(claimed[:CHUNK])
        if items:
            _carry_out(batch, items, now)
            return len(items)
        # Those that another worker holds are still pending for everybody else.
        if not pending.exists():
            Batch.objects.filter(pk=batch.pk, finished_at=None).update(finished_at=now)
    return 0


def _carry_out(batch: Batch, items: list[BatchItem], now: datetime) -> None:
    people = [item.person for item in items]
    by = audit.Actor(batch.actor_kind, batch.actor_id)
    outcomes = (
        _issue(batch, people, by=by, now=now)
        if batch.kind == Batch.Kind.ISSUE
        else {person.pk: _attempt(partial(_one, batch.kind, person, by=by, now=now)) for person in people}
    )
    for item in items:
        outcome = outcomes[item.person_id]
        item.state, item.reason = outcome.state, outcome.reason
    BatchItem.objects.bulk_update(items, ["state", "reason"])
    counts = {state: sum(item.state == state for item in items) for state in _State}
    Batch.objects.filter(pk=batch.pk).update(
        done=F("done") + counts[_State.DONE],
        left_out=F("left_out") + counts[_State.LEFT_OUT],
        failed=F("failed") + counts[_State.FAILED],
    )


def _attempt(deed: Callable[[], Outcome]) -> Outcome:
    """Run in a savepoint: one person's trouble undoes nothing of the others'."""
    try:
        with transaction.atomic():
            return deed()
    except Refusal as refusal:
        return Outcome(_State.FAILED, refusal.sentence[:250])
    except Exception as error:  # noqa: BLE001  # told by its kind alone: its text may hold a value
        _log.error("A bulk step failed for one person (%s)", type(error).__name__)
        return Outcome(_State.FAILED, "Something went wrong on our side.")


def _issue(batch: Batch, people: list[Person], *, by: audit.Actor, now: datetime) -> dict[int, Outcome]:
    """All in one pass; where that is refused, one by one, so that each has their own reason."""
    outcomes: dict[int, Outcome] = {}
    deliver = batch.deliver

    def pass_over() -> Outcome:
        to_come = batch.total - batch.worked_off - len(people)
        issued = issuing.issue_many(people, by=by, now=now, deliver=deliver or None, to_come=to_come)
        having = {credential.person_id for credential in issued}
        for person in people:
            outcomes[person.pk] = _issued(person, deliver) if person.pk in having else _without(person)
        return Outcome(_State.DONE)

    if _attempt(pass_over).state == _State.DONE:
        return outcomes
    return {person.pk: _attempt(partial(_issue_one, person, deliver, by=by, now=now)) for person in people}


def _issue_one(person: Person, deliver: str, *, by: audit.Actor, now: datetime) -> Outcome:
    if person.deleted_at or _pin_of(person):
        return _without(person)
    medium = deliver if deliver and messages.is_reachable(person, deliver) else None
    issuing.issue(person, CredentialType.PIN, issuing.GENERATE, deliver=medium, by=by, now=now)
    return _issued(person, deliver)


def _issued(person: Person, deliver: str) -> Outcome:
    if deliver and not messages.is_reachable(person, deliver):
        address = "e-mail address" if deliver == "email" else "mobile number"
        return Outcome(_State.DONE, f"Issued, but not sent: there is no {address}.")
    return Outcome(_State.DONE)


def _without(person: Person) -> Outcome:
    reason = "Deleted in the meantime." if person.deleted_at else "Has a PIN already."
    return Outcome(_State.LEFT_OUT, reason)


def _pin_of(person: Person) -> Credential | None:
    """The PIN that a person holds, those that a rotation lets end not counted."""
    return Credential.objects.filter(
        person=person, type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None
    ).first()


def _one(kind: str, person: Person, *, by: audit.Actor, now: datetime) -> Outcome:
    """A step on the one PIN that a person holds."""
    pin = _pin_of(person)
    if pin is None:
        return Outcome(_State.LEFT_OUT, "Has no PIN.")
    if kind in (Batch.Kind.ENABLE, Batch.Kind.DISABLE):
        enabled = kind == Batch.Kind.ENABLE
        if pin.enabled == enabled:
            return Outcome(_State.LEFT_OUT, "Enabled already." if enabled else "Disabled already.")
        issuing.set_enabled(pin, enabled, by=by, now=now)
    elif kind == Batch.Kind.REVOKE:
        issuing.revoke(pin, by=by, now=now)
    else:
        issued = rotation.rotate(pin, by=by, now=now)
        if issued.delivery is None:
            return Outcome(_State.DONE, "Rotated, but not sent: there is no address that can be reached.")
    return Outcome(_State.DONE)
