"""PINs in the terminal, drawn as `GET /v1/generate/pin` draws them. Needs no database."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.refusals import Refusal
from pins.codes.generating import PARAMETERS, generated, order_of_json


class Command(BaseCommand):
    help = "Writes PINs from a cryptographically secure source, one a line."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        for parameter in PARAMETERS:
            option = f"--{parameter.name.replace('_', '-')}"
            if parameter.is_flag:
                parser.add_argument(option, action="store_true", help=parameter.words)
            else:
                words = f"{parameter.words} {parameter.least} to {parameter.most}, default {parameter.default}."
                parser.add_argument(option, type=int, default=parameter.default, help=words)
        parser.add_argument("--json", action="store_true", help="The whole answer of the API, as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            answer = generated(order_of_json({parameter.name: options[parameter.name] for parameter in PARAMETERS}))
        except Refusal as refusal:
            raise CommandError(refusal.sentence) from None
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        for pin in answer.get("pins", [answer["pin"]]):
            self.stdout.write(pin)
