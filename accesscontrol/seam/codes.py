"""Seam's access codes on our words: a code is a visit at one door. Its id is the reservation's and the door's.

A new code is a person, a PIN and a reservation, all made by the verbs of visits; several at once share person and PIN.
An ongoing code is a visit without an end that anybody will see. Deleting the last code of such a person deletes the
person, so that the PIN is free at once. Visits made elsewhere are access codes too, as far as doors can be told apart.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import QuerySet

from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import records
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import ReservationChannel
from accesscontrol.seam import devices
from accesscontrol.seam.answers import InvalidInput, NotFound, SeamView, workspace_id
from accesscontrol.visits import issuing, leaving, reserving
from accounts import keys
from accounts.answers import instant_in_utc
from accounts.models import IdempotentAnswer
from accounts.refusals import Refusal
from pins.vault import fingerprints
from pins.vault.fingerprints import NotAvailable

FOREVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
# Marks a person whom only an access code needs.
_OURS: Final = "seam:"
# So long a repeated PUT is the same PUT: clients repeat it when no answer came.
REPEATED_WITHIN: Final = timedelta(seconds=60)


class HasOtherDoors(Refusal):
    code = "access_code_has_other_doors"
    status = 409
    text = "This visit covers other doors too: change it where it was made."


class NotMadeHere(Refusal):
    code = "access_code_not_modifiable"
    status = 409
    text = "The code of this person was not made over this interface: it cannot be changed here."


def visible(view: SeamView) -> QuerySet[ReservationChannel]:
    """The codes at the caller's doors: of visits that were not cancelled and are not over."""
    rows = ReservationChannel.objects.filter(
        OPEN,
        reservation__cancelled_at=None,
        reservation__end_time__gt=view.now,
        reservation__person__deleted_at=None,
        channel__in=devices.visible(view),
    )
    return rows.select_related("reservation__person")


def _code_of(view: SeamView) -> ReservationChannel:
    row = visible(view).filter(pk=devices.number(view.needed("access_code_id"))).first()
    if row is None or (view.text("device_id") and view.text("device_id") != str(row.channel_id)):
        raise NotFound("access_code")
    return row


def shown(view: SeamView, rows: Iterable[ReservationChannel], *, with_values: bool) -> list[dict[str, Any]]:
    """Codes in Seam's shape; a value is opened, and that audited, only where one code is answered."""
    rows = list(rows)
    pins = Credential.objects.filter(
        person__in={row.reservation.person_id for row in rows},
        type=CredentialType.PIN,
        revoked_at=None,
        erased_at=None,
        ends_at=None,
    )
    by_person = {pin.person_id: pin for pin in pins}
    values = lifecycle.reveal(by_person.values(), by=view.caller.actor, now=view.now) if with_values else {}
    return [_one(view, row, by_person.get(row.reservation.person_id), values) for row in rows]


def _one(view: SeamView, row: ReservationChannel, pin: Credential | None, values: dict[int, str]) -> dict[str, Any]:
    reservation, person = row.reservation, row.reservation.person
    is_ongoing = reservation.end_time >= FOREVER
    is_set = pin is not None and pin.enabled
    return {
        "access_code_id": str(row.pk),
        "device_id": str(row.channel_id),
        "workspace_id": workspace_id(),
        "name": person.name,
        "code": values.get(pin.pk) if pin else None,
        "common_code_key": pin.public_id if pin else None,
        "type": "ongoing" if is_ongoing else "time_bound",
        "starts_at": None if is_ongoing else instant_in_utc(reservation.start_time),
        "ends_at": None if is_ongoing else instant_in_utc(reservation.end_time),
        "status": "set" if is_set else "unset",
        "display_status": "Set" if is_set else "Unset",
        "is_scheduled_on_device": reservation.start_time > view.now,
        "is_managed": True,
        "is_backup": False,
        "is_backup_access_code_available": False,
        "is_external_modification_allowed": False,
        "is_offline_access_code": False,
        "is_one_time_use": False,
        "pending_mutations": [],
        "errors": [],
        "warnings": [],
        "created_at": instant_in_utc(reservation.created_at),
    }


def _period(view: SeamView) -> tuple[datetime, datetime]:
    starts_at, ends_at = view.instant("starts_at"), view.instant("ends_at")
    if ends_at is not None and ends_at <= max(starts_at or view.now, view.now):
        raise InvalidInput("ends_at", "The code must end after it starts, and later than now.")
    return starts_at or view.now, ends_at or FOREVER


def _create(view: SeamView, channels: list[Channel]) -> list[ReservationChannel]:
    """All of it or nothing; but that a chosen code was not available counts, as it does everywhere."""
    try:
        with transaction.atomic():
            return _made(view, channels)
    except NotAvailable:
        issuing.count_refusal(0, by=view.caller.actor, now=view.now)
        raise


def _made(view: SeamView, channels: list[Channel]) -> list[ReservationChannel]:
    if view.given.get("is_offline_access_code") or view.given.get("use_offline_access_code"):
        raise InvalidInput("is_offline_access_code", "Codes here are known to the door, not computed by it.")
    starts_at, ends_at = _period(view)
    by, now = view.caller.actor, view.now
    first, _, last = (view.text("name", most=120) or "Access code").strip().partition(" ")
    values = {
        "kind": Person.Kind.VISITOR,
        "first_name": first,
        "last_name": last,
        "system_id": _OURS + keys.random_token(),
    }
    person = records.create(values, by=by, now=now)
    made = [
        reserving.reserve(person, channels=[channel], start_time=starts_at, end_time=ends_at, by=by, now=now)
        for channel in channels
    ]
    # After the doors are known, so that its length fits their keypads.
    issuing.issue(person, CredentialType.PIN, view.text("code") or issuing.GENERATE, by=by, now=now)
    return list(visible(view).filter(reservation__in=made).order_by("pk"))


def create(view: SeamView) -> dict[str, Any]:
    rows = _create(view, [devices.device_of(view)])
    return {"access_code": shown(view, rows, with_values=True)[0]}


def create_multiple(view: SeamView) -> dict[str, Any]:
    ids = view.texts("device_ids")
    if not ids:
        raise InvalidInput("device_ids", "Required")
    channels = list(devices.visible(view).filter(pk__in={devices.number(text) for text in ids}).order_by("pk"))
    if len(channels) != len(set(ids)):
        raise NotFound("device")
    if view.request.method != "PUT":
        return {"access_codes": shown(view, _create(view, channels), with_values=True)}
    return {"access_codes": shown(view, _once(view, channels), with_values=True)}


def _once(view: SeamView, channels: list[Channel]) -> list[ReservationChannel]:
    caller = str(view.caller.actor)
    key_digest = keys.digest(f"seam put {view.request.body.hex()}")
    with connection.cursor() as cursor:
        # A repeat that comes while the first is at work waits for it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{caller} {key_digest.hex()}"])
    kept = IdempotentAnswer.objects.filter(
        caller=caller, key_digest=key_digest, created_at__gt=view.now - REPEATED_WITHIN
    ).first()
    if kept is not None and kept.body:
        rows = list(visible(view).filter(pk__in=kept.body["access_code_ids"]).order_by("pk"))
        if rows:
            return rows
    rows = _create(view, channels)
    IdempotentAnswer.objects.update_or_create(
        caller=caller,
        key_digest=key_digest,
        defaults={
            "request_digest": key_digest,
            "status": 200,
            "body": {"access_code_ids": [row.pk for row in rows]},
            "created_at": view.now,
        },
    )
    return rows


def get_code(view: SeamView) -> dict[str, Any]:
    if view.text("access_code_id"):
        row = _code_of(view)
    else:
        device, code = devices.device_of(view), view.needed("code")
        holder = fingerprints.holders([code], type=CredentialType.PIN.slug).get(code)
        pins = Credential.objects.filter(pk__in=[] if holder is None else [holder], revoked_at=None)
        # A duress PIN is held by the same row, and is no code of its own.
        people = [pin.person_id for pin in pins if pin.sealed and lifecycle.value_of(pin) == code]
        found = visible(view).filter(channel=device, reservation__person__in=people).order_by("pk").first()
        if found is None:
            raise NotFound("access_code")
        row = found
    return {"access_code": shown(view, [row], with_values=True)[0]}


def list_codes(view: SeamView) -> dict[str, Any]:
    rows = visible(view)
    if view.text("device_id"):
        rows = rows.filter(channel=devices.device_of(view))
    if (ids := view.texts("access_code_ids")) is not None:
        rows = rows.filter(pk__in=[devices.number(text) for text in ids])
    if search := view.text("search"):
        rows = rows.filter(reservation__person__in=Person.objects.filter(first_name__icontains=search))
    found, pagination = view.page(rows)
    return {"access_codes": shown(view, found, with_values=False), "pagination": pagination}


def _alone(row: ReservationChannel) -> None:
    if ReservationChannel.objects.filter(OPEN, reservation=row.reservation).exclude(pk=row.pk).exists():
        raise HasOtherDoors


def update(view: SeamView) -> dict[str, Any]:
    row = _code_of(view)
    _update_all(view, [row])
    return {}


def _update_all(view: SeamView, rows: list[ReservationChannel]) -> None:
    """All of it or nothing: a code that cannot be exchanged goes on to work."""
    try:
        with transaction.atomic():
            for row in rows:
                _alone(row)
                _update(view, row)
    except NotAvailable:
        issuing.count_refusal(rows[0].reservation.person_id, by=view.caller.actor, now=view.now)
        raise


def _update(view: SeamView, row: ReservationChannel) -> None:
    by, now, reservation = view.caller.actor, view.now, row.reservation
    starts_at, ends_at = view.instant("starts_at"), view.instant("ends_at")
    kind = view.text("type")
    if kind not in (None, "ongoing", "time_bound"):
        raise InvalidInput("type", "Choose ongoing or time_bound.")
    if kind == "ongoing":
        ends_at = FOREVER
    elif kind == "time_bound" and ends_at is None and reservation.end_time >= FOREVER:
        raise InvalidInput("ends_at", "Required")
    if ends_at is not None and ends_at <= (starts_at or reservation.start_time):
        raise InvalidInput("ends_at", "The code must end after it starts.")
    if starts_at or ends_at:
        reserving.reschedule(reservation, start_time=starts_at, end_time=ends_at, by=by, now=now)
    person = reservation.person
    name, code = view.text("name", most=120), view.text("code")
    if (name or code) and not person.system_id.startswith(_OURS):
        raise NotMadeHere
    if (name or code) and _opens_elsewhere(view, person):
        raise HasOtherDoors
    if name:
        first, _, last = name.strip().partition(" ")
        records.change(person, {"first_name": first, "last_name": last}, by=by, now=now)
    if code:
        _exchange(view, person, code)


def _opens_elsewhere(view: SeamView, person: Person) -> bool:
    """Whether the code of a person opens doors that the caller knows nothing of."""
    doors = ReservationChannel.objects.filter(OPEN, reservation__person=person, reservation__cancelled_at=None)
    return doors.exclude(channel__in=devices.visible(view)).exists()


def _exchange(view: SeamView, person: Person, code: str) -> None:
    """Another code for the same visit: the PIN that was is revoked, since a value never changes."""
    by, now = view.caller.actor, view.now
    live = Credential.objects.filter(person=person, type=CredentialType.PIN, revoked_at=None, erased_at=None)
    for credential in live:
        if lifecycle.value_of(credential) == code:
            return
        issuing.revoke(credential, by=by, now=now)
    issuing.issue(person, CredentialType.PIN, code, by=by, now=now)


def update_multiple(view: SeamView) -> dict[str, Any]:
    pins = Credential.objects.filter(public_id=view.needed("common_code_key"))
    rows = list(visible(view).filter(reservation__person__in=pins.values("person_id")))
    if not rows:
        raise NotFound("access_code")
    _update_all(view, rows)
    return {}


def delete(view: SeamView) -> dict[str, Any]:
    """End a code at once; one that has ended already is answered the same, because clients repeat a DELETE."""
    ended = ReservationChannel.objects.filter(channel__in=devices.visible(view))
    row = ended.select_related("reservation__person").filter(pk=devices.number(view.needed("access_code_id"))).first()
    if row is None:
        raise NotFound("access_code")
    reservation, by, now = row.reservation, view.caller.actor, view.now
    if row.ended_at is not None or reservation.cancelled_at is not None:
        return {}
    others = ReservationChannel.objects.filter(OPEN, reservation=reservation).exclude(pk=row.pk)
    if left := list(Channel.objects.filter(pk__in=others.values("channel_id"))):
        reserving.reschedule(reservation, channels=left, by=by, now=now)
        return {}
    reserving.cancel(reservation, by=by, now=now)
    person = reservation.person
    needed = ReservationChannel.objects.filter(
        OPEN, reservation__person=person, reservation__cancelled_at=None, reservation__end_time__gt=now
    )
    if person.system_id.startswith(_OURS) and not needed.exists():
        leaving.delete_person(person, by=by, now=now)
    return {}
