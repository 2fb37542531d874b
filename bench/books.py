"""`python -m bench.books`: fills the books with a million calls and times the admin's pages of them."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.stack import ROOT
from vault.crypto import generate_key


@contextmanager
def database() -> Iterator[str]:
    """Where to fill: a database of its own at DATABASE_URL, else a file of SQLite; both are gone afterwards."""
    server = os.environ.get("DATABASE_URL", "")
    if not server:
        with TemporaryDirectory(prefix="tokenhub-bench-") as folder:
            yield f"sqlite:///{Path(folder, 'books.sqlite3')}"
        return
    name = f"tokenhub_bench_{secrets.token_hex(6)}"
    with psycopg.connect(server, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    """Make a database, and let a process that knows it fill and measure."""
    parser = argparse.ArgumentParser(prog="bench.books", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with database() as url:
        told = {"DATABASE_URL": url, "TOKENHUB_ENV_FILE": "", "TOKENHUB_LOG_LEVEL": "ERROR"}
        told |= {"TOKENHUB_ENCRYPTION_KEY": generate_key(), "DJANGO_SETTINGS_MODULE": "tokenhub_site.settings"}
        command = [sys.executable, "-m", "bench.book_pages", str(given.rows)]
        sys.exit(subprocess.run(command, cwd=ROOT, env=os.environ | told, check=False).returncode)


if __name__ == "__main__":
    main()
