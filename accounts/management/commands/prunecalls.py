"""Deletes old calls, in batches so small that nobody waits for them; what was spent by day stays."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import durations, pruning
from accounts.models import Attempt, Call, CallContent

_LARGEST: Final = 10_000
_LEAST: Final = timedelta(days=1)  # what is younger may still wait in a spool, and would be booked anew


class Command(BaseCommand):
    """`prunecalls --older-than 90d [--dry-run] [--batch-size N]`."""

    help = (
        "Delete calls, their attempts and what was kept of prompts and answers; what was spent by day stays, and so do "
        "budgets and reports."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", required=True, metavar="90d", help="of which age: 24h, 90d, 12w")
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument(
            "--batch-size", type=int, default=pruning.BATCH, metavar="N", help=f"calls a transaction; {pruning.BATCH}"
        )

    def handle(self, **options: Any) -> None:
        try:
            age = durations.span(options["older_than"])
            before = timezone.now() - age
        except (ValueError, OverflowError) as error:
            raise CommandError(f"--older-than: {error}.") from None
        if age < _LEAST:
            raise CommandError("--older-than: give a day at least, for younger calls may still be on their way here.")
        if not 0 < options["batch_size"] <= _LARGEST:
            raise CommandError(f"--batch-size: give a number from 1 to {_LARGEST}.")
        moment = f"{before.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if options["dry_run"]:
            calls = Call.objects.filter(at__lt=before)
            attempts = Attempt.objects.filter(call__at__lt=before)
            self.stdout.write(_told(calls.count(), attempts.count(), f"began before {moment}; nothing was deleted."))
            contents = CallContent.objects.filter(at__lt=pruning.content_before(before)).count()
            self.stdout.write(f"Prompts and answers of {contents} calls are old enough as well.")
            return
        # first, for those without their calls could not be read by anybody
        contents = sum(_contents(pruning.content_before(before)))
        batches = list(_batches(before, options["batch_size"]))
        calls_deleted, attempts_deleted = map(sum, zip(*batches, strict=True))
        self.stdout.write(_told(calls_deleted, attempts_deleted, f"from before {moment} were deleted."))
        self.stdout.write(f"Prompts and answers of {contents} calls were deleted.")


def _told(calls: int, attempts: int, what: str) -> str:
    return f"{calls} calls and {attempts} attempts {what}"


def _batches(before: datetime, size: int) -> Iterator[tuple[int, int]]:
    """Delete batch after batch, and rest as long as each took, so that whoever waits for the lock gets it."""
    while True:
        began = time.monotonic()
        calls, attempts = pruning.prune(before, size)
        yield calls, attempts
        if calls < size:
            return
        time.sleep(time.monotonic() - began)


def _contents(before: datetime) -> Iterator[int]:
    """The same for prompts and answers."""
    while True:
        began = time.monotonic()
        deleted = pruning.prune_content(before)
        yield deleted
        if deleted < pruning.CONTENT_BATCH:
            return
        time.sleep(time.monotonic() - began)
