"""The database of a gateway that a test starts: a file of SQLite, or one of its own at PostgreSQL."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.server import Gateway


@contextmanager
def own_database() -> Iterator[dict[str, str]]:
    """What a gateway's environment needs: nothing for SQLite, else the address of a new database that lasts as long."""
    server = os.environ.get("DATABASE_URL", "")
    if not server:
        yield {}
        return
    name = f"tokenhub_{secrets.token_hex(6)}"
    with psycopg.connect(server, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {"DATABASE_URL": urlunsplit(urlsplit(server)._replace(path=f"/{name}"))}
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def own_role(database: str, connections: int) -> Iterator[str]:
    """The address of a database for a role with a password, which may open so many connections."""
    parts = urlsplit(database)
    role, password = f"tokenhub_{secrets.token_hex(6)}", secrets.token_hex(12)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' CONNECTION LIMIT {connections}")
        connection.execute(f"GRANT ALL ON SCHEMA public TO {role}")
        try:
            where = parts.netloc.rpartition("@")[2]
            yield urlunsplit(parts._replace(netloc=f"{role}:{password}@{where}"))
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def rows(gateway: Gateway, statement: str, *values: Any) -> list[Any]:
    """What the database of a gateway says to a statement whose places are written as `?`."""
    if url := gateway.environment.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            return connection.execute(statement.replace("?", "%s"), values).fetchall()
    with closing(sqlite3.connect(file_of(gateway), timeout=20)) as database:
        return database.execute(statement, values).fetchall()


def file_of(gateway: Gateway) -> Path:
    """Where SQLite keeps the database of a gateway."""
    return gateway.folder / "var" / "tokenhub.sqlite3"
