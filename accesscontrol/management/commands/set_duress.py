"""Duress for one tenant: on or off, and which PINs to issue anew before everybody has it."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accesscontrol.credentials.models import Credential
from accesscontrol.visits import duress
from accounts.audit import Actor
from accounts.models import Tenant
from accounts.tenancy import tenant_transaction

BY = Actor("command")


class Command(BaseCommand):
    help = (
        "Switches duress for a tenant: the PIN with its last digit plus one (9 becomes 0) opens normally and raises a "
        "silent alarm. Lists the PINs whose duress PIN is somebody else's PIN: issue those anew."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug, such as acme")
        parser.add_argument("switch", choices=["on", "off"])

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        with tenant_transaction(tenant.pk):
            collisions = duress.set_duress(options["switch"] == "on", by=BY, now=datetime.now(UTC))
            names = {
                credential.pk: f"{credential.public_id} of person {credential.person_id}"
                for credential in Credential.objects.filter(pk__in=[one.credential_id for one in collisions])
            }
        self.stdout.write(f"Duress is {options['switch']} for {tenant}.")
        if collisions:
            self.stdout.write("These PINs raise no alarm until they are issued anew:")
        for collision in collisions:
            self.stdout.write(f"  {names[collision.credential_id]}")
