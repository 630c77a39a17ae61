"""`migrate` connects as the owner of the tables; the application's own role may not change them."""

from typing import Any

import environ
from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection

from accesscontrol.access import partitions


class Command(migrate.Command):
    help = "Make or change the tables, as their owner (DATABASE_OWNER_URL)."

    def get_check_kwargs(self, options: Any) -> Any:
        # The walls between tenants are built here; they can be looked at afterwards, as the application.
        return {}

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DATABASE_OWNER_URL:
            raise CommandError("Set DATABASE_OWNER_URL: migrations run as the owner of the tables.")
        owner = environ.Env.db_url_config(settings.DATABASE_OWNER_URL)
        application = connection.settings_dict.copy()
        connection.close()
        connection.settings_dict.update(
            {name: owner[name] for name in ("USER", "PASSWORD", "HOST", "PORT") if name in owner}
        )
        try:
            super().handle(*args, **options)
            if not (options["plan"] or options["check_unapplied"]):
                self._keep_events()
        finally:
            connection.close()
            connection.settings_dict.update(application)

    def _keep_events(self) -> None:
        """What must be kept of events is the owner's word too: a misused application cannot drop more."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regprocedure('events_kept_months()') IS NOT NULL")
            is_made = cursor.fetchone()[0]
        if is_made and partitions.kept() != settings.EVENTS_KEPT_MONTHS:
            partitions.keep(settings.EVENTS_KEPT_MONTHS)
