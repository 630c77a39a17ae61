"""For somebody who lost phone and backup codes, and whom no owner can help: an only owner, or staff of two tenants."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.audit import Actor
from accounts.callers import places_of
from accounts.models import User
from accounts.tenancy import tenant_context
from pins.signin.staff import second_factor

BY = Actor("command")


class Command(BaseCommand):
    help = "Takes the authenticator app and backup codes of one user away; they are told by e-mail. Make sure who asks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=options["email"].strip().lower()).first()
        if user is None:
            raise CommandError("Nobody has this address.")
        if not second_factor.is_enrolled(user):
            raise CommandError("This user has no second step.")
        places = places_of(user.pk)
        if not places:
            raise CommandError("This user works for nobody; there is nothing to sign in to.")
        with transaction.atomic(), tenant_context(places[0].tenant_id):
            second_factor.remove(user, by=BY, now=datetime.now(UTC))
        self.stdout.write(f"The next sign-in of {user.email} takes the password alone.")
