"""Whom an alarm is told to, by a message that goes before all others.

The statement that writes an event writes its alarm and nothing more: the keypad's answer takes no longer for it. A
tick finds the alarms that nobody was told of. Where an attack goes on, one message says so: guessing at a door or
a site is told once an hour, duress of the same person at the same door every five minutes.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse
from django.utils import translation

from accesscontrol.access.models import Alarm, AlarmRecipient
from accesscontrol.visits.messages import wording
from accounts import audit
from accounts.models import Tenant
from accounts.refusals import Refusal, refusing
from accounts.tenancy import current_tenant_id
from pins.deliveries import queueing
from pins.deliveries.models import Delivery

BATCH: Final = 100
# What is older was missed by a clock that stood still for long: it is found in the list of alarms.
TOLD_WITHIN: Final = timedelta(hours=24)
_QUIET: Final = {Alarm.Kind.DURESS.value: timedelta(minutes=5)}
_OTHERWISE_QUIET: Final = timedelta(hours=1)


def tenants_with_untold() -> list[int]:
    """The tenants in which somebody may have to be told; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_untold_alarms()")
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def tell_due(now: datetime) -> int:
    """Queue messages for up to 100 alarms of the current tenant; returns how many were looked at."""
    untold = Alarm.objects.filter(told_at=None).select_related("site", "channel", "person").order_by("raised_at", "id")
    alarms = list(untold.select_for_update(of=("self",), skip_locked=True)[:BATCH])
    if not alarms:
        return 0
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(told_at=now)
    recipients = list(AlarmRecipient.objects.filter(ended_at=None).order_by("id"))
    tenant = Tenant.objects.get(pk=current_tenant_id())
    for alarm in alarms:
        wanted = [who for who in recipients if who.site_id in (None, alarm.site_id) and alarm.kind in who.kinds]
        if wanted and alarm.raised_at > now - TOLD_WITHIN and not _was_told_lately(alarm):
            _tell(alarm, wanted, tenant, now)
    return len(alarms)


def _was_told_lately(alarm: Alarm) -> bool:
    since = alarm.raised_at - _QUIET.get(alarm.kind, _OTHERWISE_QUIET)
    same = Alarm.objects.filter(
        kind=alarm.kind, site=alarm.site_id, channel=alarm.channel_id, person=alarm.person_id, raised_at__gt=since
    ).exclude(pk=alarm.pk)
    return Delivery.objects.about("alarm", same.values_list("pk", flat=True)).exists()


def _tell(alarm: Alarm, recipients: list[AlarmRecipient], tenant: Tenant, now: datetime) -> None:
    # The same address may be named for the site and for all of them.
    for recipient in {(who.medium, who.address.lower()): who for who in recipients}.values():
        language = recipient.language or tenant.language
        with translation.override(language):
            context = _context(alarm, tenant)
        if _queue(recipient, language, context, [("alarm", alarm.pk), ("site", alarm.site_id)], now):
            audit.record("tell", "alarm", alarm.pk, by=audit.SYSTEM, now=now, fields=[recipient.medium])
        else:
            audit.record("not_delivered", "alarm", alarm.pk, by=audit.SYSTEM, now=now, fields=[recipient.medium])


def _queue(
    recipient: AlarmRecipient, language: str, context: dict[str, Any], about: list[tuple[str, int]], now: datetime
) -> bool:
    """Whether it could be queued: nobody's missing gateway keeps the others from being told."""
    try:
        queueing.queue(
            medium=recipient.medium,
            address=recipient.address,
            template="alarm",
            language=language,
            context=context,
            about=about,
            is_urgent=True,
            now=now,
        )
    except Refusal:
        return False
    return True


def _context(alarm: Alarm, tenant: Tenant) -> dict[str, Any]:
    is_named = alarm.kind == Alarm.Kind.DURESS or alarm.subject
    person = alarm.person.name if alarm.person and is_named else ""
    page = reverse("admin:access_alarm_change", args=[alarm.pk])
    return {
        "tenant_name": tenant.name,
        "colour": tenant.colour,
        "kind": alarm.kind,
        "door": alarm.channel.name if alarm.channel else "",
        "site_name": alarm.site.name,
        "site_address": alarm.site.address,
        "holder": person,
        "raised": wording.in_words(alarm.raised_at, alarm.site.zone),
        "page": f"{settings.PUBLIC_URL}{page}",
    }


class KnownAlready(Refusal):
    code = "recipient_known"
    field = "address"
    text = "This address is told of the alarms of this site already."
    constraint = "alarm_recipient_unique"


@transaction.atomic
def name_recipient(recipient: AlarmRecipient, *, by: audit.Actor, now: datetime, fields: list[str]) -> AlarmRecipient:
    """Keep somebody who is told of alarms, new or changed; refuses an address that is told of them already."""
    is_new = recipient.pk is None
    with refusing(KnownAlready):
        recipient.save()
    audit.record(
        "create" if is_new else "change",
        "alarm_recipient",
        recipient.pk,
        by=by,
        now=now,
        fields=[] if is_new else fields,
    )
    return recipient


@transaction.atomic
def drop_recipient(recipient: AlarmRecipient, *, by: audit.Actor, now: datetime) -> None:
    """Tell somebody of no more alarms; a second time changes nothing."""
    if AlarmRecipient.objects.filter(pk=recipient.pk, ended_at=None).update(ended_at=now):
        audit.record("end", "alarm_recipient", recipient.pk, by=by, now=now)


def send_test(recipient: AlarmRecipient, *, by: audit.Actor, now: datetime) -> None:
    """Send a message that says it is a test; refuses where no such message can leave."""
    tenant = Tenant.objects.get(pk=current_tenant_id())
    zone = recipient.site.zone if recipient.site else tenant.zone
    language = recipient.language or tenant.language
    queueing.refuse_unreachable(recipient.medium, recipient.address)
    with translation.override(language):
        context = {
            "tenant_name": tenant.name,
            "colour": tenant.colour,
            "kind": "test",
            "site_name": recipient.site.name if recipient.site else tenant.name,
            "raised": wording.in_words(now, zone),
        }
    about = [("site", recipient.site_id)] if recipient.site_id else []
    _queue(recipient, language, context, [("alarm_recipient", recipient.pk), *about], now)
    audit.record("test", "alarm_recipient", recipient.pk, by=by, now=now)
