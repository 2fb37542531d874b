"""Proves that the books agree with each other, and repairs what can be repaired."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from accounts import audit
from registry.keeper import one_line


class Command(BaseCommand):
    """`ledger check [--repair]`."""

    help = "Check that spool, calls, attempts, spend, budgets and reservations agree; exit code 1 where they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["check"])
        parser.add_argument("--repair", action="store_true", help="make them agree where it can be known how")

    def handle(self, **options: Any) -> None:
        try:
            self._check(repair=options["repair"])
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {one_line(error)}") from None

    def _check(self, *, repair: bool) -> None:
        found = repaired = 0
        for difference in audit.differences(repair=repair, now=time.time()):
            done = f" ({difference.repair})" if difference.repair else ""
            self.stdout.write(f"{difference.text}{done}")
            found, repaired = found + 1, repaired + bool(done)
        if not found:
            self.stdout.write("The books agree.")
        elif found == repaired:
            self.stdout.write(f"{_counted(found)}, all repaired.")
        else:
            raise CommandError(f"{_counted(found)}, {repaired} of them repaired.")


def _counted(found: int) -> str:
    return f"{found} difference" if found == 1 else f"{found} differences"
