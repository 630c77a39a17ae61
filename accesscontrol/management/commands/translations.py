"""Brings the catalogues of translations up to date with code and templates, and compiles them."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Collects what is to be translated into accesscontrol/locale, and compiles it. Needs no gettext tools."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; fail where something is missing.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            # Babel is for those who develop the product, not for those who run it.
            from accesscontrol.management import catalogues  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise CommandError(f"{error.name} is not installed; it comes with the development dependencies.") from None
        missing = 0
        for language in catalogues.languages():
            catalogue = catalogues.renewed(language)
            if not options["check"]:
                catalogues.write(language, catalogue)
            for sentence in catalogues.untranslated(catalogue):
                missing += 1
                self.stdout.write(f"{language}: {sentence}")
        if missing and options["check"]:
            raise CommandError(f"{missing} translations are missing.")
