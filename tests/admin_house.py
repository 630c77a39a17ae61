"""A tenant with one of each that the admin lists, and staff who look at it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accesscontrol.access import attempts
from accesscontrol.access.models import Alarm
from accesscontrol.credentials.models import CredentialType
from tests import world

CANARY = "48210973"

LISTS = {
    "visits": "/admin/reservations/reservation/",
    "people": "/admin/people/person/",
    "groups": "/admin/people/group/",
    "credentials": "/admin/credentials/credential/",
    "doors": "/admin/doors/channel/",
    "access levels": "/admin/doors/role/",
    "weekly hours": "/admin/doors/shift/",
    "opening hours": "/admin/doors/sitehours/",
    "holidays": "/admin/doors/holiday/",
    "sites": "/admin/accounts/site/",
    "events": "/admin/access/event/",
    "alarms": "/admin/access/alarm/",
    "messages": "/admin/deliveries/delivery/",
    "alarm recipients": "/admin/access/alarmrecipient/",
    "staff": "/admin/accounts/membership/",
    "invitations": "/admin/staff/invitation/",
    "keys": "/admin/accounts/apikey/",
    "settings": "/admin/accounts/tenant/",
    "audit": "/admin/accounts/auditevent/",
}


@pytest.fixture(name="house")
def house_fixture(acme):
    """Ann has a PIN and a visit now; the door has seen her, and a stranger."""
    now = timezone.now()
    front = world.a_door("Front Door", is_visitor_door=True)
    ann = world.a_person("Ann", last_name="Archer", email="ann@example.com", now=now)
    pin = world.a_pin(ann, CANARY, now=now)
    visit = world.a_reservation(ann, front, start=now, now=now, deliver="email")
    attempts.attempt(front.pk, CANARY, type=CredentialType.PIN, now=now)
    attempts.attempt(front.pk, "3141", type=CredentialType.PIN, now=now)
    alarm = Alarm.objects.create(kind="guessing", site=front.site, channel=front, raised_at=now)
    return {"front": front, "ann": ann, "pin": pin.credential, "visit": visit, "alarm": alarm, "now": now}


def as_(role, **values):
    """Somebody who confirmed with their PIN just now."""
    member = world.a_member(role, **values)
    client = world.signed_in(member.user)
    world.confirm(client, member)
    return client


def filled_in_visit(person, *doors, days=1):
    start = timezone.localtime()
    end = start + timedelta(days=days)
    return {
        "person": person.pk,
        "start_time_0": f"{start:%Y-%m-%d}",
        "start_time_1": f"{start:%H:%M}",
        "end_time_0": f"{end:%Y-%m-%d}",
        "end_time_1": f"{end:%H:%M}",
        "doors": [door.pk for door in doors],
    }
