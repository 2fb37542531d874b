"""Proves that the books agree with each other, and repairs what can be repaired."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit


class Command(BaseCommand):
    """`ledger check [--repair]`."""

    help = "Check that spool, calls, attempts, spend, budgets and reservations agree; exit code 1 where they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["check"])
        parser.add_argument("--repair", action="store_true", help="make them agree where it can be known how")

    def handle(self, **options: Any) -> None:
        found = repaired = 0
        for difference in audit.differences(repair=options["repair"], now=time.time()):
            done = f" ({difference.repair})" if difference.repair else ""
            self.stdout.write(f"{difference.text}{done}")
            found, repaired = found + 1, repaired + bool(done)
        if not found:
            self.stdout.write("The books agree.")
        elif found == repaired:
            self.stdout.write(f"{found} differences, all repaired.")
        else:
            raise CommandError(f"{found} differences, {repaired} of them repaired.")
