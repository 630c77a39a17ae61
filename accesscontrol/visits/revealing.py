"""What a link in a message shows: the PIN while the visit lasts, and a kind word afterwards.

Whether a link is alive is asked of the visit and the PIN each time, so that it dies with them and no tick is needed.
Only `reveal` opens the PIN; it counts, and it is audited.
"""

from datetime import datetime
from enum import StrEnum

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from accesscontrol.credentials.lifecycle import value_of
from accesscontrol.credentials.models import Credential
from accesscontrol.visits.models import RevealLink
from accounts import audit, keys


class Fate(StrEnum):
    """What has become of the link."""

    ALIVE = "alive"
    OVER = "over"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    PAUSED = "paused"


def find(token: str) -> tuple[int, int] | None:
    """Tenant and id of a link; asked before any tenant is known."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM finder.reveal_link(%s)", [keys.digests(token)])
        found: tuple[int, int] | None = cursor.fetchone()
    return found


def load(link_id: int) -> RevealLink:
    """The link of the current tenant, with all that its fate depends on."""
    return RevealLink.objects.select_related("credential__person", "reservation").get(pk=link_id)


def fate_of(link: RevealLink, now: datetime) -> Fate:
    """Whether the link reveals anything now, and why not."""
    visit, credential = link.reservation, link.credential
    if visit is not None and visit.cancelled_at is not None:
        return Fate.CANCELLED
    if (visit.end_time if visit is not None else link.expires_at or link.created_at) <= now:
        return Fate.OVER
    if not credential.is_live() or credential.is_over(now):
        newer = Credential.objects.filter(
            person_id=credential.person_id, type=credential.type, revoked_at=None, erased_at=None, ends_at=None
        )
        return Fate.REPLACED if newer.exists() else Fate.OVER
    if not credential.enabled or not credential.person.is_active(now):
        return Fate.PAUSED
    return Fate.ALIVE


@transaction.atomic
def reveal(link: RevealLink, *, now: datetime) -> str:
    """The PIN of a link that is alive; the view is counted and audited."""
    assert fate_of(link, now) is Fate.ALIVE
    RevealLink.objects.filter(pk=link.pk).update(
        views=F("views") + 1, first_viewed_at=Coalesce("first_viewed_at", now), last_viewed_at=now
    )
    by = audit.Actor("link", link.pk)
    audit.record("reveal", "credential", link.credential_id, by=by, now=now)
    return value_of(link.credential)
