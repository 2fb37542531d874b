"""What rests sealed in the database, and under which keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Model, QuerySet

from vault.crypto import Ring, Unopenable, sealed_under
from vault.fields import EncryptedTextField, Sealed, encrypted_fields


@dataclass(frozen=True)
class Resting:
    """One sealed text, and where it rests."""

    field: EncryptedTextField
    pk: Any
    sealed: Sealed

    def __str__(self) -> str:
        return f"{name_of(self.field)} of {self.pk}"

    @property
    def context(self) -> str:
        """The place that it is bound to."""
        return self.field.context_of(self.pk)

    @property
    def key_id(self) -> str:
        """The id of the key that it was sealed under; raises `Unopenable`."""
        return sealed_under(self.sealed)

    def open(self, ring: Ring) -> str:
        """Return the plain text; raises `Unopenable`."""
        return ring.open(self.sealed, context=self.context)

    def again(self) -> Resting | None:
        """Return what rests in the same place now; None where nothing does."""
        sealed = rows_of(self.field).filter(pk=self.pk).values_list(self.field.attname, flat=True).first()
        return Resting(self.field, self.pk, sealed) if sealed else None


def name_of(field: EncryptedTextField) -> str:
    """Return the name of a field for people: `vault.secret.value`."""
    return f"{field.model._meta.label_lower}.{field.attname}"  # noqa: SLF001 - Django's public name for it


def rows_of(field: EncryptedTextField) -> QuerySet[Model]:
    """Return all rows of a field's model, whatever its own managers leave out."""
    return field.model._base_manager.all()  # noqa: SLF001 - the documented way to every row


def texts_in(field: EncryptedTextField, *, after: Any = None, limit: int | None = None) -> list[Resting]:
    """Return what rests in a field in the order of the primary keys: at most `limit` texts, of rows `after` one."""
    rows = rows_of(field).exclude(**{field.attname: ""}).exclude(**{f"{field.attname}__isnull": True}).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    return [Resting(field, pk, sealed) for pk, sealed in rows.values_list("pk", field.attname)[:limit]]


def everything() -> Iterator[Resting]:
    """Yield what rests in every field of the project; before a migration, in those that have their tables."""
    tables = set(connection.introspection.table_names())
    for field in encrypted_fields():
        if field.model._meta.db_table in tables:  # noqa: SLF001 - Django's public name for it
            yield from texts_in(field)


def keys_in_use() -> Counter[str]:
    """Return how many texts rest under each key, by its id; what is no sealed text counts under none."""
    found: Counter[str] = Counter()
    for resting in everything():
        try:
            found[resting.key_id] += 1
        except Unopenable:
            continue
    return found
