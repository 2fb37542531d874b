"""What rests sealed in the database, and under which keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Model, QuerySet
from django.db.models.functions import Substr

from vault.crypto import BEGINNING, Ring, key_named_in, sealed_under
from vault.fields import EncryptedTextField, Sealed, encrypted_fields

_AT_A_TIME: Final = 100


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


def _fields() -> list[EncryptedTextField]:
    """Return the fields of the project; before a migration, those that have their tables."""
    tables = set(connection.introspection.table_names())
    return [field for field in encrypted_fields() if field.model._meta.db_table in tables]  # noqa: SLF001 - as above


def everything(*, with_bulk: bool = True) -> Iterator[Resting]:
    """Yield what rests in every field of the project, a few rows at a time; without bulk, not in bulky rows."""
    for field in _fields():
        after = None
        while (with_bulk or not getattr(field.model, "is_bulk", False)) and (
            texts := texts_in(field, after=after, limit=_AT_A_TIME)
        ):
            yield from texts
            after = texts[-1].pk


def keys_in_use() -> Counter[str]:
    """Return how many texts rest under each key, by its id; what is no sealed text counts under none.

    Only the beginnings are read: there may be gigabytes of texts.
    """
    found: Counter[str] = Counter()
    for field in _fields():
        beginnings = rows_of(field).annotate(beginning=Substr(field.attname, 1, BEGINNING)).order_by()
        for beginning, number in beginnings.values_list("beginning").annotate(Count("pk")):
            if key_id := key_named_in(beginning or ""):
                found[key_id] += number
    return found
