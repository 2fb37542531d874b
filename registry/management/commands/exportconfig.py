"""Writes the providers, models and aliases as a configuration file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.config.writing import export


class Command(BaseCommand):
    """`exportconfig [--output FILE]`."""

    help = "Write a configuration file that loads back to the same providers, models and aliases. It holds no keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: standard output)")

    def handle(self, **options: Any) -> None:
        exported = export()
        output: Path | None = options["output"]
        if output is None:
            self.stdout.write(exported.text, ending="")
        else:
            try:
                output.write_text(exported.text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{output} cannot be written: {error.strerror}") from None
        if exported.without_key:
            names = ", ".join(exported.without_key)
            self.stderr.write(f"warning: stored keys are left out; elsewhere, give a key again to: {names}")
        if exported.untrusted:
            names = ", ".join(exported.untrusted)
            self.stderr.write(f"warning: whoever loads this trusts addresses that were typed in the admin: {names}")
        for fault in exported.faults:
            self.stderr.write(f"warning: this will not load until it is mended: {fault}")
