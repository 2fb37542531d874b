"""Stamps: numbers that move in the same transaction as any change of the tables that they watch."""

import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from registry.models import Alias, AliasTarget, Model, Provider, Stamp
from vault.models import Secret

VENDORS = frozenset({"sqlite", "postgresql"})


class StampMissing(Exception):
    """The database has no stamp: it was not migrated to the end, or somebody deleted the row."""


class Watch:
    """A stamp, which is a table of one row with a `version`, and the tables whose changes move it.

    Triggers move it rather than signals: QuerySet.update, bulk_create and raw SQL send no signals.
    """

    def __init__(self, stamp: type[models.Model], watched: Sequence[type[models.Model]]) -> None:
        self._stamp = stamp
        self._watched = watched

    def version(self, using: str = DEFAULT_DB_ALIAS) -> int:
        """The stamp's number, in one query; it only ever differs from what it was before a change.

        Raises StampMissing.
        """
        rows = self._stamp._base_manager.using(using)  # noqa: SLF001 - the documented way to every row
        version: int | None = rows.values_list("version", flat=True).first()
        if version is None:
            raise StampMissing("the stamp row is missing: run `migrate`")
        return version

    def tables_exist(self, using: str = DEFAULT_DB_ALIAS) -> bool:
        """Whether the stamp's table and all that it watches are there."""
        return {_table(self._stamp), *self._tables()} <= set(connections[using].introspection.table_names())

    def missing_triggers(self, using: str = DEFAULT_DB_ALIAS) -> set[str]:
        """The names of the triggers that the database should have and has not."""
        connection = connections[using]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            else:
                cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[])", [self._tables()])
            present = {row[0] for row in cursor.fetchall()}
        return set(self._triggers(connection)) - present

    def install(self, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
        """
        Make the triggers and the stamp row where they are missing; harmless to repeat.

        The receiver of post_migrate and not only a migration: to alter a table Django makes a new one on SQLite, and
        the old one takes its triggers along. Nothing happens while one of the tables is missing, or with another
        vendor.
        """
        connection = connections[using]
        if connection.vendor not in VENDORS or not self.tables_exist(using):
            return
        missing = self.missing_triggers(using)
        with connection.cursor() as cursor:
            if missing and connection.vendor == "postgresql":
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {_table(self._stamp)}_moves() RETURNS trigger LANGUAGE plpgsql AS "
                    f"$$ BEGIN {self._move}; RETURN NULL; END $$"
                )
            for name, statement in self._triggers(connection).items():
                if name in missing:
                    cursor.execute(statement)
        # a row made anew, such as after a flush, begins at the clock so that it never repeats a number that was seen
        rows = self._stamp._base_manager.using(using)  # noqa: SLF001 - the same
        rows.get_or_create(pk=1, defaults={"version": time.time_ns() // 1_000_000})

    @property
    def _move(self) -> str:
        return f"UPDATE {_table(self._stamp)} SET version = version + 1 WHERE id = 1"  # noqa: S608 - Django's own name

    def _tables(self) -> list[str]:
        return [_table(model) for model in self._watched]

    def _triggers(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Name and statement of each trigger in the dialect of the database."""
        if connection.vendor == "postgresql":
            # for each statement, not each row: a bulk update moves the stamp once, and TRUNCATE is caught too
            return {
                f"{table}_moves_stamp": f"CREATE TRIGGER {table}_moves_stamp AFTER INSERT OR UPDATE OR DELETE OR "
                f"TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {_table(self._stamp)}_moves()"
                for table in self._tables()
            }
        return {
            f"{table}_{event}_moves_stamp": f"CREATE TRIGGER {table}_{event}_moves_stamp AFTER {event.upper()} "
            f"ON {table} BEGIN {self._move}; END"
            for table in self._tables()
            for event in ("insert", "update", "delete")
        }


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table  # noqa: SLF001 - Django's public name for it


watch: Final = Watch(Stamp, (Provider, Model, Alias, AliasTarget, Secret))
