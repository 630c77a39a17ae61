"""Two tenants with one of everything that an address can name, and clients that ask as anybody."""

from datetime import timedelta

from django.db import connection
from django.test import Client
from django.utils import timezone

from accesscontrol.access import attempts, commands
from accesscontrol.access.models import Alarm, AlarmRecipient, PatternRules
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Holiday, Shift, SiteHours
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits import batches, group_reserving
from accesscontrol.visits.importing import checking, files
from accesscontrol.visits.importing.plans import Plan
from accesscontrol.webhooks import rules, subscribing
from accounts import keys
from accounts.models import ApiKey
from accounts.rights import OF_SCOPE, StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries import queueing
from pins.signin.models import SignInSettings
from pins.signin.staff import inviting
from pins.signin.staff.models import StaffSettings
from tests import world
from tests.world import BY

UNKNOWN = 999_999_999
CANARY = "Kanarienvogel"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
# Volatile in any answer, and no news to the caller.
_VOLATILE = {
    "Content-Length",
    "Expires",
    "Set-Cookie",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
}


class Side:
    """One tenant with an object for every parameter of an address; every name in it contains `mark`."""

    def __init__(self, tenant, mark):
        self.tenant, self.mark = tenant, mark
        now = timezone.now()
        with tenant_transaction(tenant.pk):
            site = world.a_site(f"{mark} site", notes=mark, address=mark)
            front = world.a_door(f"{mark} door", site=site, is_visitor_door=True)
            shift = Shift.objects.create(name=f"{mark} shift")
            SiteHours.objects.create(site=site, shift=shift)
            Holiday.objects.create(site=site, name=mark, first_day=now.date(), last_day=now.date())
            role = world.a_role(f"{mark} role", front, shift=shift, now=now)
            group = world.a_group(f"{mark} group", role, now=now)
            person = world.a_person(mark, now=now, last_name=mark, email=f"{mark}@example.com".lower(), notes=mark)
            issued = world.a_pin(person, now=now)
            booking = f"booking-{tenant.pk}"
            reservation = world.a_reservation(person, front, start=now, now=now, details={"external_id": booking})
            party = GroupVisit.objects.create(name=f"{mark} party")
            Reservation.objects.filter(pk=reservation.pk).update(group=party)
            grouped = group_reserving.reserve(
                person, [group], start_time=now, end_time=now + timedelta(days=1), by=BY, now=now
            )
            event = attempts.attempt(front.pk, issued.value, type=CredentialType.PIN, now=now).event_id
            command = commands.admit(front, by=BY, now=now)
            alarm = Alarm.objects.create(kind="guessing", site=site, channel=front, raised_at=now)
            batch = batches.choose("issue", Person.objects.filter(pk=person.pk), by=BY, now=now)
            source = files.upload(f"{mark}.csv", f"Name\n{mark}".encode(), by=BY, now=now)
            files.check(source, Plan(columns=["name"]), by=BY, now=now)
            while checking.work(now):
                pass
            AlarmRecipient.objects.create(name=mark, address=f"{mark}@example.com", site=site)
            delivery = queueing.queue(
                medium="email",
                address=f"{mark}@example.com",
                template="pin",
                language="en",
                context={},
                about=[("person", person.pk)],
                now=now,
            )
            hook = subscribing.subscribe(
                mark, f"https://{mark}.example/".lower(), kinds=["person"], form="standard", by=BY, now=now
            ).subscription
            subscribing.test(hook, by=BY, now=now)
            rule = rules.make(
                mark,
                f"https://{mark}.example/rule".lower(),
                event_codes=[11],
                channel_ids=[front.pk],
                is_active=True,
                by=BY,
                now=now,
            ).subscription
            SignInSettings.objects.create(security_questions=[mark])
            world.a_subscriber(mark, pin="805294", email=f"{mark}@app.example".lower(), first_name=mark, now=now)
            StaffSettings.objects.create()
            PatternRules.objects.create()
            inviting.invite(f"{mark}@new.example", StaffRole.HOST, name=mark, sites=[site], by=BY, now=now)
            member = world.a_member(StaffRole.OWNER, f"{mark}@staff.example".lower(), now=now)
            world.a_staff_pin(member)
            self.user, self.token = member.user, world.a_token(member, *OF_SCOPE, now=now)
            full = keys.mint(
                mark, kind=ApiKey.Kind.API, scopes=list(OF_SCOPE), requests_per_minute=1_000_000, by=BY, now=now
            )
            self.key, self.reader = full.value, world.a_reader_key(front, now=now).value
            self.generator = keys.mint(mark, kind=ApiKey.Kind.GENERATOR, by=BY, now=now).value
            self.readonly = world.an_api_key(
                "account.person.readonly", "account.channel.readonly", "account.event.access.readonly", now=now
            )
            self.signin = keys.mint(mark, kind=ApiKey.Kind.SIGNIN, by=BY, now=now).value
            self.old = keys.mint(
                mark, kind=ApiKey.Kind.API, scopes=["account.person"], expires_at=now, by=BY, now=now
            ).value
            revoked = keys.mint(mark, kind=ApiKey.Kind.API, scopes=["account.person"], by=BY, now=now)
            keys.revoke(revoked.api_key, by=BY, now=now)
            self.revoked, self.pin = revoked.value, issued.value
        self.secrets = (issued.credential.public_id, mark)
        self.ids = {
            "person_id": person.pk,
            "public_id": issued.credential.public_id,
            "reservation_id": reservation.pk,
            "channel_id": front.pk,
            "command_id": command.pk,
            "admission_request_id": command.pk,
            "event_id": event,
            "group_id": group.pk,
            "role_id": role.pk,
            "shift_id": shift.pk,
            "site_id": site.pk,
            "group_reservation_id": grouped.pk,
            "external_id": booking,
            "alarm_id": alarm.pk,
            "delivery_id": delivery.pk,
            "batch_id": batch.pk,
            "import_id": source.pk,
            "group_visit_id": party.pk,
            "webhook_id": hook.pk,
            "rule_id": rule.pk,
        }


DEAD = ("nobody", "expired", "revoked", "suspended", "unknown", "staff", "suspended staff")


# Every new client loads the whole chain of middleware again.
_handler = Client(raise_request_exception=False).handler


def client_of(authorization="", user=None):
    client = Client(raise_request_exception=False, headers={"Authorization": authorization} if authorization else {})
    client.handler = _handler
    if user is not None:
        client.force_login(user)
        world.open_screen(client, user)
    client.brings = client.cookies.copy()
    return client


def call(client, method, path, body=None, **options):
    """One request as if on a connection of its own: here the requests of a test share one transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant_id', '', true)")
    client.cookies = client.brings.copy()
    if method in ("get", "head", "options"):
        return getattr(client, method)(path, **options)
    options.setdefault("content_type", "application/json")
    return getattr(client, method)(path, data=body if body is not None else "", **options)
