"""`migrate` connects as the owner of the tables; the application's own role may not change them."""

from typing import Any

import environ
from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection


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
        finally:
            connection.close()
            connection.settings_dict.update(application)
