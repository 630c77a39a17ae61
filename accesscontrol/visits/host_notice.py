"""Hosts are told within seconds that their visitor is here: by a tick that finds who arrived and was not told of."""

from datetime import datetime

from django.db import connection, transaction

from accesscontrol.reservations.models import HOST_UNTOLD, Reservation
from accesscontrol.visits import messages
from accounts import audit

BATCH = 200


def tenants_with_untold_hosts() -> list[int]:
    """The tenants in which a tick has somebody to tell; asked before any tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finder.tenants_with_untold_hosts()")
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


@transaction.atomic
def tell_hosts(now: datetime) -> int:
    """Tell the hosts of up to 200 visitors who have arrived, by e-mail; returns how many were looked at."""
    rows = Reservation.objects.filter(HOST_UNTOLD).select_related("person", "host__user").order_by("arrived_at")
    arrived = list(rows.select_for_update(of=("self",), skip_locked=True)[:BATCH])
    for visit in arrived:
        host = visit.host
        # A host who left, or whose visitor has gone again, is not written to.
        if host is not None and host.ended_at is None and host.user.is_active and not visit.is_over(now):
            seen = visit.checked_in_at is not None and visit.checked_in_at == visit.arrived_at
            messages.send_host_arrival(visit, host.user.email, "email", "", by=audit.SYSTEM, now=now, checked_in=seen)
    Reservation.objects.filter(pk__in=[visit.pk for visit in arrived]).update(host_told_at=now)
    return len(arrived)
