"""The console script `tokenhub`: one command that makes a key, or starts the gateway."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from vault.crypto import generate_key


def _port(text: str) -> int:
    """Return a number from 1 to 65535; raises `ArgumentTypeError` for anything else."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a start, which `manage.py serve` takes as well."""
    parser.add_argument(
        "-config",
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file to load, keeping what people edited since",
    )
    parser.add_argument("-host", "--host", help="address to listen on (default: server.host of the file, or 0.0.0.0)")
    parser.add_argument(
        "-port", "--port", type=_port, help="port to listen on (default: server.port of the file, or 8080)"
    )
    parser.add_argument(
        "--create-admin",
        action="store_true",
        help="create the account `admin` if there is none, and print its password once",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console script; returns the exit code. A start does not return: the process becomes gunicorn."""
    parser = argparse.ArgumentParser(
        prog="tokenhub", description="A gateway for language models: one URL for every provider."
    )
    add_arguments(parser)
    parser.add_argument(
        "-generate-key", "--generate-key", action="store_true", help="print a new encryption key and end"
    )
    parser.add_argument("--version", action="version", version=f"tokenhub {metadata.version('tokenhub')}")
    given = vars(parser.parse_args(argv))
    if given.pop("generate_key"):
        sys.stdout.write(f"{generate_key()}\n")
        return 0
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub_site.settings")
    try:
        django.setup()
        call_command("serve", **given)
    except (CommandError, ImproperlyConfigured, ValueError) as error:
        sys.stderr.write(f"tokenhub: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
