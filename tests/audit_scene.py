"""One tenant whose names, addresses and PINs are canaries, and what a call to it has written down."""

import json
from datetime import timedelta

from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.rights import OF_SCOPE
from tests import world

# Whatever is put in must not come out in the record of who did it.
PIN, CARD = "83746193", "CARDKANARIE"
NAME, EMAIL, MOBILE, NOTES = "Kanarienvogel", "kanarie@vogel.example", "+493012345678", "Notizkanarie"
CANARIES = (PIN, CARD, NAME, EMAIL, MOBILE, NOTES, "vogel", "493012345678", "2031-05-17")


# Every new client loads the whole chain of middleware again.
_client = Client()


class Scene:
    """One tenant, a key, and a way to see which AuditEvents a call has written."""

    def __init__(self, tenant):
        self.tenant, self.now = tenant, timezone.now()
        self.door = world.a_door(is_visitor_door=True, shortest_pin=4, longest_pin=8)
        self.group = world.a_group(f"{NAME} group")
        self.role = world.a_role(f"{NAME} role", self.door)
        self.ann = world.a_person(
            NAME, last_name=NAME, email=EMAIL, mobile=MOBILE, notes=NOTES, now=self.now - timedelta(days=1)
        )
        self.key = world.an_api_key(*OF_SCOPE, now=self.now - timedelta(days=1))
        self.reader = world.a_reader_key(self.door)
        self.person = f"people/{self.ann.pk}"

    def ask(self, method, path, body=None, key=None, **headers):
        """The answer, and what was audited meanwhile as (verb, subject)."""
        self.before = rows()
        last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
        shown = {"Authorization": f"Bearer {key or self.key}", **headers}
        sent = () if method == "get" else (json.dumps(body or {}), "application/json")
        response = getattr(_client, method)(f"/api/3/{path}", *sent, headers=shown)
        written = AuditEvent.objects.filter(id__gt=last).order_by("id")
        return response, [(event.verb, event.subject_type) for event in written]

    def issue(self, value=PIN, type=6, **values):
        return self.ask("post", f"{self.person}/credentials", {"credential_type_id": type, "value": value, **values})


def rows():
    """How many rows every table holds, as far as this tenant sees."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition"
        )
        counts = {}
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()[0]
    return counts
