"""The stamp: a number that moves in the same transaction as any change of a provider, model, alias or secret."""

import time
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from registry.models import Alias, AliasTarget, Model, Provider, Stamp
from vault.models import Secret

WATCHED = (Provider, Model, Alias, AliasTarget, Secret)
VENDORS = frozenset({"sqlite", "postgresql"})

# Triggers rather than signals: QuerySet.update, bulk_create and raw SQL send no signals.
_MOVE = "UPDATE registry_stamp SET version = version + 1 WHERE id = 1"
_FUNCTION = f"""
    CREATE OR REPLACE FUNCTION registry_stamp_moves() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN {_MOVE}; RETURN NULL; END $$
"""


class StampMissing(Exception):
    """The database has no stamp: it was not migrated to the end, or somebody deleted the row."""


def read_version(using: str = DEFAULT_DB_ALIAS) -> int:
    """The stamp's number, in one query; it only ever differs from what it was before a change. Raises StampMissing."""
    version = Stamp.objects.using(using).values_list("version", flat=True).first()
    if version is None:
        raise StampMissing("the stamp row is missing: run `migrate`")
    return version


def tables_exist(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the stamp's table and all that it watches are there."""
    return {_table(Stamp), *_watched_tables()} <= set(connections[using].introspection.table_names())


def missing_triggers(using: str = DEFAULT_DB_ALIAS) -> set[str]:
    """The names of the triggers that the database should have and has not."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[])", [_watched_tables()])
        present = {row[0] for row in cursor.fetchall()}
    return set(_triggers(connection)) - present


def install(using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """
    Make the triggers and the stamp row where they are missing; harmless to repeat.

    The receiver of post_migrate and not only a migration: to alter a table Django makes a new one on SQLite, and the
    old one takes its triggers along. Nothing happens while one of the tables is missing, or with another vendor.
    """
    connection = connections[using]
    if connection.vendor not in VENDORS or not tables_exist(using):
        return
    missing = missing_triggers(using)
    with connection.cursor() as cursor:
        if missing and connection.vendor == "postgresql":
            cursor.execute(_FUNCTION)
        for name, statement in _triggers(connection).items():
            if name in missing:
                cursor.execute(statement)
    # a row made anew, such as after a flush, begins at the clock so that it never repeats a number that was seen
    Stamp.objects.using(using).get_or_create(pk=1, defaults={"version": time.time_ns() // 1_000_000})


def _watched_tables() -> list[str]:
    return [_table(model) for model in WATCHED]


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table  # noqa: SLF001 - Django's public name for it


def _triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Name and statement of each trigger in the dialect of the database."""
    if connection.vendor == "postgresql":
        # for each statement, not each row: a bulk update moves the stamp once, and TRUNCATE is caught too
        return {
            f"{table}_moves_stamp": f"CREATE TRIGGER {table}_moves_stamp AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION registry_stamp_moves()"
            for table in _watched_tables()
        }
    return {
        f"{table}_{event}_moves_stamp": f"CREATE TRIGGER {table}_{event}_moves_stamp AFTER {event.upper()} "
        f"ON {table} BEGIN {_MOVE}; END"
        for table in _watched_tables()
        for event in ("insert", "update", "delete")
    }
