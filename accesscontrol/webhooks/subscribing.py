"""What staff and integrations do with a subscription. A secret is shown once, when it is made."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from accesscontrol.access.following import horizon
from accesscontrol.webhooks import addresses, claiming, payloads, signing
from accesscontrol.webhooks.models import Dispatch, Kind, Replay, Subscription
from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries.nudge import nudge_task

OVERLAP = timedelta(hours=24)
MOST_SUBSCRIPTIONS = 50
TASK = "accesscontrol.webhooks.tasks.tell"
WRITABLE = ("name", "url", "kinds", "event_codes", "channel_ids")


@dataclass(frozen=True)
class Subscribed:
    """A subscription and, this once, its secret."""

    subscription: Subscription
    secret: str = field(repr=False)


class UnknownKind(Refusal):
    code = "invalid_choice"
    field = "types"
    text = f"Choose one or more of {', '.join(Kind.values)}."


class NotInThisForm(Refusal):
    code = "not_in_this_form"
    field = "types"


class TooManySubscriptions(Refusal):
    code = "too_many"
    text = f"There are {MOST_SUBSCRIPTIONS} webhooks already. End one that is not needed."


@transaction.atomic
def subscribe(
    name: str,
    url: str,
    *,
    kinds: Iterable[str],
    form: str,
    by: audit.Actor,
    now: datetime,
    event_codes: Iterable[int] = (),
    channel_ids: Iterable[int] = (),
) -> Subscribed:
    """Tell an address of everything from now on; refuses internal ones, and kinds that the form has no words for.

    With `event_codes` or `channel_ids` it hears of no other events at doors.
    """
    kinds = _chosen(kinds, form)
    addresses.read(url)
    with connection.cursor() as cursor:
        # The secret is sealed for its row, so the row's number must be known before it is written.
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [signing.TABLE])
        [number] = cursor.fetchone()
    if Subscription.objects.exclude(state=Subscription.State.ENDED).count() >= MOST_SUBSCRIPTIONS:
        raise TooManySubscriptions
    secret = signing.new_secret()
    subscription = Subscription(
        id=number,
        name=name,
        url=url,
        kinds=kinds,
        form=form,
        event_codes=sorted(set(event_codes)),
        channel_ids=sorted(set(channel_ids)),
        secrets=signing.sealed([secret], number),
        xact_id=horizon(),
        created_at=now,
        updated_at=now,
    )
    subscription.save(force_insert=True)
    audit.record("create", "webhook", subscription.pk, by=by, now=now, fields=["url", "types"])
    return Subscribed(subscription, secret)


@transaction.atomic
def change(subscription: Subscription, values: dict[str, Any], *, by: audit.Actor, now: datetime) -> Subscription:
    """Write the given ones of `WRITABLE`; what waits is sent to the new address."""
    subscription = locked(subscription)
    changed = [name for name in WRITABLE if name in values and getattr(subscription, name) != values[name]]
    if "kinds" in changed:
        values = {**values, "kinds": _chosen(values["kinds"], subscription.form)}
    if "url" in changed:
        addresses.read(values["url"])
    for name in changed:
        setattr(subscription, name, values[name])
    if changed:
        subscription.updated_at = now
        subscription.save(update_fields=[*changed, "updated_at"])
        audit.record("change", "webhook", subscription.pk, by=by, now=now, fields=changed)
    return subscription


@transaction.atomic
def rotate_secret(subscription: Subscription, *, by: audit.Actor, now: datetime) -> Subscribed:
    """A new secret; the one before it goes on signing for 24 hours."""
    subscription = locked(subscription)
    secret = signing.new_secret()
    earlier = signing.secrets_of(subscription, now)[-1]
    subscription.secrets = signing.sealed([earlier, secret], subscription.pk)
    subscription.earlier_until, subscription.updated_at = now + OVERLAP, now
    subscription.save(update_fields=["secrets", "earlier_until", "updated_at"])
    audit.record("rotate", "webhook", subscription.pk, by=by, now=now, fields=["secret"])
    return Subscribed(subscription, secret)


@transaction.atomic
def pause(subscription: Subscription, *, by: audit.Actor, now: datetime) -> None:
    """Send nothing more; what happens meanwhile is told once it is resumed."""
    if claiming.halt(locked(subscription), Subscription.State.PAUSED, now):
        audit.record("pause", "webhook", subscription.pk, by=by, now=now)


@transaction.atomic
def resume(subscription: Subscription, *, by: audit.Actor, now: datetime) -> None:
    """Go on where it stopped, in order; what failed for good is only told again by a replay."""
    subscription = locked(subscription)
    if subscription.state not in (Subscription.State.PAUSED, Subscription.State.FAILING):
        return
    subscription.state, subscription.updated_at = Subscription.State.ACTIVE, now
    subscription.failing_since = subscription.rest_until = None
    subscription.misses = 0
    subscription.save(update_fields=["state", "updated_at", "failing_since", "rest_until", "misses"])
    claiming.release_all(subscription, now)
    audit.record("resume", "webhook", subscription.pk, by=by, now=now)
    nudge_task(TASK)


@transaction.atomic
def end(subscription: Subscription, *, by: audit.Actor, now: datetime) -> None:
    """Send nothing more, for good; the log stays for its time, the secret goes at once."""
    subscription = locked(subscription)
    if not subscription.is_live:
        return
    Dispatch.objects.filter(subscription=subscription, state__in=Dispatch.UNSETTLED).update(
        state=Dispatch.State.FAILED, next_attempt_at=None, lease_until=None, settled_at=now
    )
    Replay.objects.filter(subscription=subscription, done_at=None).update(done_at=now)
    subscription.state, subscription.updated_at = Subscription.State.ENDED, now
    subscription.secrets = None
    subscription.save(update_fields=["state", "secrets", "updated_at"])
    audit.record("end", "webhook", subscription.pk, by=by, now=now)


class IsPaused(Refusal):
    code = "paused"
    status = 409
    text = "This webhook is paused. Resume it first."


@transaction.atomic
def test(subscription: Subscription, *, by: audit.Actor, now: datetime) -> Dispatch:
    """Send a message that says it is a test; it waits for no other."""
    if locked(subscription).state != Subscription.State.ACTIVE:
        raise IsPaused
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [Dispatch._meta.db_table])
        [number] = cursor.fetchone()
    dispatch = Dispatch(
        id=number,
        subscription=subscription,
        message_id=f"msg_{current_tenant_id()}t{number}",
        type="webhook.test",
        subject=f"test:{number}",
        body=payloads.a_test(subscription, f"msg_{current_tenant_id()}t{number}", now),
        next_attempt_at=now,
        occurred_at=now,
        collected_at=now,
    )
    dispatch.save(force_insert=True)
    audit.record("test", "webhook", subscription.pk, by=by, now=now)
    nudge_task(TASK)
    return dispatch


class NoPeriod(Refusal):
    code = "invalid_period"
    field = "ends_at"
    text = "The period must end after it starts."


@transaction.atomic
def replay(
    subscription: Subscription, starts_at: datetime, ends_at: datetime, *, by: audit.Actor, now: datetime
) -> Replay:
    """Tell again what happened in a period, under the ids that it had; what is to come is told anyway."""
    if locked(subscription).state != Subscription.State.ACTIVE:
        raise IsPaused
    ends_at = min(ends_at, now)
    if ends_at <= starts_at:
        raise NoPeriod
    asked = Replay.objects.create(
        subscription=subscription, starts_at=starts_at, ends_at=ends_at, occurred_at=starts_at, asked_at=now
    )
    audit.record("replay", "webhook", subscription.pk, by=by, now=now)
    nudge_task(TASK)
    return asked


def locked(subscription: Subscription) -> Subscription:
    """The row as it is now; collecting, settling and changing take turns on it."""
    return Subscription.objects.select_for_update(of=("self",), no_key=True).get(pk=subscription.pk)


def _chosen(kinds: Iterable[str], form: str) -> list[str]:
    chosen = sorted(set(kinds))
    if not chosen or not set(chosen) <= set(Kind.values):
        raise UnknownKind
    possible = {Subscription.Form.DOORFLOW: payloads.IN_DOORFLOW, Subscription.Form.SEAM: payloads.IN_SEAM}.get(
        Subscription.Form(form)
    )
    if possible is not None and not set(chosen) <= possible:
        raise NotInThisForm(f"In this form only {' and '.join(sorted(possible))} can be told.")
    return chosen
