"""A new PIN key for everything, and the end of the old one, while the product serves."""

import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from accesscontrol.visits import key_rotation
from accounts.refusals import Refusal
from pins.vault import key_file
from pins.vault.keyring import keyring


class Command(BaseCommand):
    help = (
        "Adds a key to PIN_KEYS_FILE, seals every PIN under it while the product serves, and takes the old key away "
        "once nothing needs it. Interrupted, it goes on where it stopped when it is run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", action="store_true", help="only say what there is under which key")
        parser.add_argument(
            "--forget-sign-in-pins",
            action="store_true",
            help="take away the sign-in PINs that were not entered since: their holders are asked for new ones",
        )
        parser.add_argument(
            "--pause",
            type=float,
            default=2.0,
            help="seconds until every process has a changed key file: 2, more where other machines get a copy",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["status"]:
                self._status()
                return
            with key_file.changing() as file:
                outcome = key_rotation.rotate(
                    file,
                    clock=lambda: datetime.now(UTC),
                    # A process looks at its file again after a second.
                    pause=max(1.1, options["pause"]),
                    tell=self.stdout.write,
                    show=Bar().show,
                    forgets_pins=options["forget_sign_in_pins"],
                )
        except (Refusal, ImproperlyConfigured) as error:
            raise CommandError(getattr(error, "sentence", str(error))) from None
        self._tell(outcome)

    def _tell(self, outcome: key_rotation.Outcome) -> None:
        for fault in outcome.faults:
            self.stderr.write(fault)
        for left in outcome.left:
            self.stderr.write(f"still under an older key: {left}")
        if outcome.faults:
            raise CommandError(
                f"{len(outcome.faults)} values were changed or exchanged in the database and were left as they are. "
                "The older key is kept: issue these anew, and run this again."
            )
        if outcome.left:
            self.stdout.write("The older key is kept for what still needs it: run this again later.")
            return
        gone = ", ".join(map(str, outcome.retired)) or "none"
        self.stdout.write(f"PIN key {outcome.current} protects everything. Retired: {gone}.")
        self.stdout.write("Backups of the database made until now need the retired key: keep a copy of it with them.")

    def _status(self) -> None:
        ring = keyring()
        counts = key_rotation.counts(datetime.now(UTC))
        columns = [counts.credentials, counts.fingerprints, counts.others, counts.codes, counts.sign_in_pins]
        self.stdout.write(
            f"{'key':>5} {'credentials':>12} {'fingerprints':>12} {'others':>9} {'codes':>6} {'sign-in':>8}"
        )
        for version in sorted(ring.keys.keys() | {version for column in columns for version in column}):
            found = [column[version] for column in columns]
            note = "current" if version == ring.current else "" if version in ring.keys else "not in the keyring"
            line = "{:>5} {:>12} {:>12} {:>9} {:>6} {:>8}  {}".format(version, *found, note)
            self.stdout.write(line.rstrip())


class Bar:
    """On a terminal a bar, elsewhere a line a second and one at each end."""

    def __init__(self) -> None:
        self._shown_at = float("-inf")

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if 0 < done < total and now - self._shown_at < (0.1 if sys.stderr.isatty() else 1):
            return
        self._shown_at = now
        share = done / total if total else 1.0
        text = f"{done} of {total} sealed anew"
        if sys.stderr.isatty():
            filled = min(40, int(share * 40))
            end = "\n" if done >= total else ""
            sys.stderr.write(f"\r[{'#' * filled}{'.' * (40 - filled)}] {text}{end}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
