"""`manage.py serve`: the same start as the console script `tokenhub`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tokenhub_site import cli, start


class Command(BaseCommand):
    """Check, migrate, load the configuration, and become gunicorn."""

    help = "Start the gateway: check, migrate, load the configuration keeping people's edits, and serve."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what the console script takes."""
        cli.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, or say in one line why not."""
        start.start(options["config"], host=options["host"], port=options["port"], create_admin=options["create_admin"])
