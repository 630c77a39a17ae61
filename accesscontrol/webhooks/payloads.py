"""What is told of a happening, and about whom: ids, codes and times. Never a name, an address or a PIN.

Whoever may know more asks the API under `url` with a key. The rows that a batch refers to are read once a batch.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings

from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.webhooks.happenings import ALARM, EVENT, Happening
from accesscontrol.webhooks.models import Kind, Subscription
from accounts.answers import instant_in_utc
from pins.deliveries.models import Delivery, DeliverySubject

# The contract's clients know three types of resource; only these two happen here.
IN_DOORFLOW = {Kind.CREDENTIAL, Kind.ACCESS}
IN_SEAM = {Kind.RESERVATION, Kind.ACCESS}
_ACTIONS = {"credential.issued": "CREATE", "credential.revoked": "DESTROY", "credential.erased": "DESTROY"}
SEAM_TYPES = {
    "access.admitted": "lock.unlocked",
    "access.rejected": "lock.access_denied",
    "reservation.reserved": "access_code.created",
    "reservation.cancelled": "access_code.deleted",
}


@dataclass(frozen=True)
class Told:
    """What one receiver gets; those of one subject arrive in order."""

    subject: str
    data: dict[str, Any] = field(repr=False)
    # Of a reservation: its first door, and the number that it has as an access code there.
    code: tuple[int, int] | None = None


def tell(happenings: Sequence[Happening]) -> dict[str, Told]:
    """Subject and data by message id; what is gone without a trace is told by its id alone."""
    rows = _Rows(happenings)
    return {happening.message_id: rows.told(happening) for happening in happenings}


def body_of(happening: Happening, told: Told, subscription: Subscription) -> str:
    """The exact text that is signed and sent, in the subscription's form; compact, as clients serialise it again."""
    body: Any
    if subscription.form == Subscription.Form.DOORFLOW:
        body = [_in_doorflow(happening, told)]
    elif subscription.form == Subscription.Form.SEAM:
        body = _in_seam(happening, told)
    else:
        body = {"type": happening.type, "timestamp": instant_in_utc(happening.occurred_at), "data": told.data}
    return in_json(body)


def a_test(subscription: Subscription, message_id: str, now: datetime) -> str:
    """What the test button sends, in the subscription's form."""
    moment = instant_in_utc(now)
    if subscription.form == Subscription.Form.DOORFLOW:
        return in_json([])
    if subscription.form == Subscription.Form.SEAM:
        workspace = str(subscription.tenant_id)
        named = {"event_id": message_id, "event_type": "webhook.test", "workspace_id": workspace}
        return in_json({**named, "created_at": moment, "occurred_at": moment})
    return in_json({"type": "webhook.test", "timestamp": moment, "data": {"message": "This is a test."}})


def in_json(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _in_doorflow(happening: Happening, told: Told) -> dict[str, Any]:
    ack_token = happening.message_id
    return {
        "action": "CREATE" if happening.kind == Kind.ACCESS else _ACTIONS.get(happening.type, "UPDATE"),
        "resource": f"{told.data['url']}?ack_token={ack_token}",
        "resource_type": "Event" if happening.kind == Kind.ACCESS else "PersonCredential",
        "resource_id": str(told.data["id"]),
        "account_id": str(happening.row.tenant_id),
        "ack_token": ack_token,
    }


def _in_seam(happening: Happening, told: Told) -> dict[str, Any]:
    moment = instant_in_utc(happening.occurred_at)
    data = told.data
    body: dict[str, Any] = {
        "event_id": happening.message_id,
        "event_type": SEAM_TYPES.get(happening.type, "access_code.changed"),
        "workspace_id": str(happening.row.tenant_id),
        "created_at": moment,
        "occurred_at": moment,
    }
    if happening.kind == Kind.ACCESS:
        body |= {"device_id": str(data["channel_id"]), "connected_account_id": str(happening.row.tenant_id)}
        return body | {"method": "remote" if data["credential_type"] is None else "keycode"}
    code_id, device_id = told.code or ("", "")
    return body | {
        "access_code_id": str(code_id),
        "device_id": str(device_id),
        "connected_account_id": str(happening.row.tenant_id),
    }


def _url(path: str) -> str:
    return f"{settings.PUBLIC_URL}/api/3/{path}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


class _Rows:
    """What the happenings of one batch refer to: five queries at most, whatever their number."""

    def __init__(self, happenings: Iterable[Happening]) -> None:
        ids: dict[str, set[int]] = {}
        for happening in happenings:
            if happening.source not in (EVENT, ALARM):
                ids.setdefault(happening.kind, set()).add(_number(happening.row.subject_id))
        self.credentials = self._of(Credential, ids, Kind.CREDENTIAL)
        self.reservations = self._of(Reservation, ids, Kind.RESERVATION)
        self.alarms = self._of(Alarm, ids, Kind.ALARM)
        self.deliveries = self._of(Delivery, ids, Kind.DELIVERY)
        self.channels: dict[int, list[int]] = {}
        self.codes: dict[int, tuple[int, int]] = {}
        if self.reservations:
            rows = ReservationChannel.objects.filter(reservation_id__in=self.reservations).order_by("pk")
            for row in rows:
                self.codes.setdefault(row.reservation_id, (row.pk, row.channel_id))
                if row.ended_at is None:
                    self.channels.setdefault(row.reservation_id, []).append(row.channel_id)
        self.subjects: dict[int, dict[str, int]] = {}
        if self.deliveries:
            about = DeliverySubject.objects.filter(delivery_id__in=self.deliveries)
            for delivery_id, kind, object_id in about.values_list("delivery_id", "kind", "object_id"):
                self.subjects.setdefault(delivery_id, {})[kind] = object_id

    def _of(self, model: Any, ids: dict[str, set[int]], kind: str) -> dict[int, Any]:
        return model.objects.in_bulk(ids[kind]) if kind in ids else {}

    def told(self, happening: Happening) -> Told:
        row = happening.row
        if happening.source == EVENT:
            return self._access(row)
        if happening.source == ALARM:
            return self._alarm(row, row.pk)
        number = _number(row.subject_id)
        told: Told = getattr(self, f"_{happening.kind}")(number)
        told.data["fields"] = list(row.fields)
        told.data["by"] = {"kind": row.actor_kind, "id": row.actor_id}
        return told

    def _person(self, number: int) -> Told:
        return Told(f"person:{number}", {"id": number, "person_id": number, "url": _url(f"people/{number}")})

    def _credential(self, number: int) -> Told:
        row = self.credentials.get(number)
        if row is None:
            return Told(f"credential:{number}", {"id": None, "url": _url("credentials")})
        data = {
            "id": row.public_id,
            "person_id": row.person_id,
            "credential_type_id": row.type,
            "url": _url(f"people/{row.person_id}/credentials/{row.public_id}"),
        }
        return Told(f"person:{row.person_id}", data)

    def _reservation(self, number: int) -> Told:
        data: dict[str, Any] = {"id": number, "url": _url(f"reservations/{number}")}
        row = self.reservations.get(number)
        if row is None:
            return Told(f"reservation:{number}", data)
        data |= {
            "person_id": row.person_id,
            "channel_ids": sorted(self.channels.get(number, [])),
            "start_time": instant_in_utc(row.start_time),
            "end_time": instant_in_utc(row.end_time),
        }
        return Told(f"person:{row.person_id}", data, self.codes.get(number))

    def _access(self, row: Any) -> Told:
        data = {
            "id": row.pk,
            "event_code": row.code,
            "admitted": row.admitted,
            "reason": row.reason,
            "channel_id": row.channel_id,
            "person_id": row.person_id,
            "credential_id": row.credential.public_id if row.credential else None,
            "credential_type": str(CredentialType(row.credential_type).label) if row.credential_type else None,
            "occurred_at": instant_in_utc(row.occurred_at),
            "recorded_at": instant_in_utc(row.recorded_at),
            "url": _url(f"events/{row.pk}"),
        }
        return Told(f"person:{row.person_id}" if row.person_id else f"channel:{row.channel_id}", data)

    def _alarm(self, row: Any, number: int = 0) -> Told:
        if isinstance(row, int):
            number, row = row, self.alarms.get(row)
        data: dict[str, Any] = {"id": number}
        if row is not None:
            data |= {
                "kind": row.kind,
                "site_id": row.site_id,
                "channel_id": row.channel_id,
                "person_id": row.person_id,
                "raised_at": instant_in_utc(row.raised_at),
            }
        return Told(f"alarm:{number}", data)

    def _delivery(self, number: int) -> Told:
        row = self.deliveries.get(number)
        data: dict[str, Any] = {"id": number}
        if row is not None:
            data |= {"medium": row.medium, "template": row.template, "about": self.subjects.get(number, {})}
        return Told(f"delivery:{number}", data)
