"""Loads a configuration file and prints what that changes."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.config.apply import load
from registry.config.faults import ConfigInvalid
from registry.config.rows import read_and_check
from vault.crypto import KeyProblem, Unopenable


class Command(BaseCommand):
    """`loadconfig FILE [--dry-run] [--prune] [--keep-edits]`."""

    help = "Make the providers, models and aliases say what a file says. Its server part is the server's to read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the configuration file (JSON)")
        parser.add_argument("--dry-run", action="store_true", help="only show what would change")
        parser.add_argument("--prune", action="store_true", help="disable what the file does not name")
        parser.add_argument("--keep-edits", action="store_true", help="keep what people changed since the last load")

    def handle(self, **options: Any) -> None:
        file: Path = options["file"]
        try:
            difference = load(
                read_and_check(file),
                keep_edits=options["keep_edits"],
                prune=options["prune"],
                dry_run=options["dry_run"],
                reason=f"loadconfig {file.name}",
            )
        except ConfigInvalid as invalid:
            faults = "\n".join(f"  {fault}" for fault in invalid.faults)
            raise CommandError(f"{file} cannot be loaded, nothing was changed:\n{faults}") from None
        except (KeyProblem, Unopenable) as problem:
            raise CommandError(f"The vault cannot be used, nothing was changed: {problem}") from None
        for line in difference.lines():
            self.stdout.write(line)
