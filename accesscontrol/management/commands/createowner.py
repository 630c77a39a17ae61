"""The first person of a real installation: a platform owner, with a tenant of which they are the owner."""

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils.text import slugify

from accounts import tenants
from accounts.audit import Actor
from accounts.callers import places_of
from accounts.models import Tenant, User, known_time_zone
from accounts.refusals import Refusal
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context, tenant_transaction

BY = Actor("command")


class Command(BaseCommand):
    help = (
        "Makes the platform owner of this installation, and a tenant that they own. "
        "Asks for what is not given; for somebody who has an account already it only adds the tenant."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email")
        parser.add_argument("--name", help="the owner's own name")
        parser.add_argument("--tenant", help="the organisation's name, such as “Acme Ltd”")
        parser.add_argument("--slug", help="its short name in addresses (default: from its name)")
        parser.add_argument("--time-zone", help="its IANA time zone, such as Europe/Berlin")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        _require_migrated()
        interactive = sys.stdin.isatty() and not options["password_stdin"]
        email = _given(options["email"], "E-mail address", "--email", interactive).strip().lower()
        _require(validate_email, email)
        user = User.objects.filter(email=email).first()
        name = options["name"] or ("" if user or not interactive else input("Name: ").strip())
        tenant = _given(options["tenant"], "Organisation", "--tenant", interactive).strip()
        zone = options["time_zone"] or (interactive and input("Time zone [UTC]: ").strip()) or "UTC"
        _require(known_time_zone, zone)
        password = "" if user else self._password(options, interactive)
        now = datetime.now(UTC)
        try:
            with transaction.atomic():
                owner = tenants.user_of(email, password=password, name=name, now=now, is_platform_owner=True)
                founded = tenants.found(tenant, slug=options["slug"] or "", time_zone=zone, now=now)
                with tenant_context(founded.pk):
                    tenants.join(owner, StaffRole.OWNER, by=BY, now=now)
        except tenants.SlugTaken as refusal:
            if user and (owned := _owned(user, options["slug"] or slugify(tenant)[:60])):
                self.stdout.write(f"{email} owns {owned} already; nothing was changed.")
                return
            raise CommandError(f"{refusal.sentence} Choose another short name with --slug.") from refusal
        except Refusal as refusal:
            raise CommandError(refusal.sentence) from refusal
        except ValidationError as error:
            raise CommandError(_in_one_line(error)) from error
        had = " (who keeps their password)" if user else ""
        self.stdout.write(f"{email}{had} is a platform owner and owns {founded.name} ({founded.slug}).")

    def _password(self, options: dict[str, Any], interactive: bool) -> str:
        if options["password_stdin"]:
            return sys.stdin.readline().rstrip("\r\n")
        if not interactive:
            raise CommandError("Nobody can be asked for a password here: pass it with --password-stdin.")
        while True:
            password = getpass.getpass("Password: ")
            if password == getpass.getpass("Once more: "):
                return password
            self.stderr.write("The two are not the same.")


def _given(value: str | None, question: str, option: str, interactive: bool) -> str:
    if value is None and not interactive:
        raise CommandError(f"Name {option}.")
    try:
        return input(f"{question}: ") if value is None else value
    except EOFError:
        raise CommandError(f"Name {option}.") from None


def _require(validate: Callable[[str], None], value: str) -> None:
    try:
        validate(value)
    except ValidationError as error:
        raise CommandError(f"“{value}”: {_in_one_line(error)}") from error


def _in_one_line(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())


def _owned(user: User, slug: str) -> Tenant | None:
    """The tenant of this short name, where it is this user's own."""
    for place in places_of(user.pk):
        with tenant_transaction(place.tenant_id):
            if place.staff_role == StaffRole.OWNER and Tenant.objects.filter(slug=slug).exists():
                return Tenant.objects.get(pk=place.tenant_id)
    return None


def _require_migrated() -> None:
    try:
        executor = MigrationExecutor(connection)
    except OperationalError as error:
        raise CommandError(f"The database does not answer: {str(error).splitlines()[0]}") from error
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is not migrated: run “manage.py migrate” first.")
