"""Seals every secret again under the first key of the ring."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from vault import keycheck
from vault.crypto import KeyProblem, Ring
from vault.inventory import name_of
from vault.ring import get_ring
from vault.rotation import outdated, rotate


class Command(BaseCommand):
    """`rotatekeys [--dry-run] [--batch-size N]`."""

    help = (
        "Seal every secret again under the first key of TOKENHUB_ENCRYPTION_KEY. Put the new key before the old one, "
        "restart every process, then run this: the gateway may go on meanwhile, and it may be stopped and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what rests under other keys")
        parser.add_argument("--batch-size", type=int, default=200, metavar="N", help="rows to read at a time")

    def handle(self, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size: give a number from 1.")
        try:
            ring = get_ring()
            if options["dry_run"]:
                keycheck.verify(ring)
                self._count(ring)
            else:
                keycheck.register(ring)
                self._rotate(ring, options["batch_size"])
        except KeyProblem as problem:
            raise CommandError(f"The ring does not fit the database, nothing was changed: {problem}") from None
        except DatabaseError as error:
            raise CommandError(f"The database failed; run this again to go on: {error}") from error

    def _count(self, ring: Ring) -> None:
        found = outdated(ring)
        for key_id, number in sorted(found.items()):
            self.stdout.write(f"{number} to seal again: under key {key_id} now")
        if not found:
            self.stdout.write(f"Nothing to do: everything rests under key {ring.primary}.")

    def _rotate(self, ring: Ring, batch_size: int) -> None:
        seen, resealed, closed = 0, 0, dict[str, str]()
        for batch in rotate(ring, batch_size=batch_size):
            seen, resealed, closed = seen + batch.seen, resealed + batch.resealed, closed | batch.closed
            self.stdout.write(f"{name_of(batch.field)}: {seen} read, {resealed} sealed again")
            self.stdout.flush()
        retired = keycheck.retire(ring)
        self.stdout.write(f"Everything that opens rests under key {ring.primary}; {resealed} sealed again.")
        for key_id in retired:
            self.stdout.write(f"Key {key_id} is not needed any more: you may drop it from TOKENHUB_ENCRYPTION_KEY.")
        if closed:
            lines = "\n".join(f"  {place}: {reason}" for place, reason in sorted(closed.items()))
            raise CommandError(f"{len(closed)} cannot be opened and stay as they are; set them again:\n{lines}")
