"""Prints a new encryption key."""

from typing import Any

from django.core.management.base import BaseCommand

from vault.crypto import generate_key


class Command(BaseCommand):
    """`generatekey`: works before there is a key or a database."""

    help = "Print a new key for TOKENHUB_ENCRYPTION_KEY, alone on a line."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        self.stdout.write(generate_key())
