"""A text field whose column holds only sealed texts, each bound to its row and field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from vault.crypto import is_sealed
from vault.ring import get_ring

if TYPE_CHECKING:
    _TextField = models.TextField[Any, Any]
else:
    _TextField = models.TextField


_UNSEALED = "(not sealed yet)"


class Sealed(str):
    """A sealed text as it stands in the database."""

    __slots__ = ()


class _OpensOnAccess(DeferredAttribute):
    """Reads as plain text: what came from the database is opened when it is looked at, and stays sealed at rest."""

    field: EncryptedTextField

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        if instance is None:
            return self
        value = super().__get__(instance, cls)
        if isinstance(value, Sealed):
            return get_ring().open(value, context=self.field.context_of(instance))
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        # with this Python asks the descriptor even where the instance holds a value
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(_TextField):
    """A text that rests sealed. The empty text is stored as it is: it says that there is nothing to seal.

    The row must know its primary key before it is saved (a UUID by default, say), because the key is part of the seal.
    """

    descriptor_class = _OpensOnAccess

    def context_of(self, instance: models.Model) -> str:
        """Return where a sealed text belongs: `<app>.<model>|<primary key>|<field>`."""
        if instance.pk is None:
            message = f"{self.name}: the row needs a primary key before its secret can be sealed"
            raise ValueError(message)
        return f"{instance._meta.label_lower}|{instance.pk}|{self.attname}"  # noqa: SLF001 - Django's public name for it

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        """Mark what comes from the database, so that it is opened on access."""
        return Sealed(value) if value else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Seal a new text under the ring's first key; leave one that was not touched as it is."""
        value = model_instance.__dict__.get(self.attname)
        if value and not isinstance(value, Sealed):
            value = Sealed(get_ring().seal(value, context=self.context_of(model_instance)))
            model_instance.__dict__[self.attname] = value
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Let a query see no more of a plain text than that there is one: constraints are checked before it is sealed."""
        return super().get_prep_value(value if isinstance(value, Sealed) or not value else _UNSEALED)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Let only sealed texts be written: `update()` has no row to bind a plain text to."""
        if value and not isinstance(value, Sealed) and not hasattr(value, "as_sql"):
            message = f"{self.name} is sealed row by row: set it on the instance and call save()"
            raise TypeError(message)
        return super().get_db_prep_save(value, connection)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the sealed text: a dump of the database holds no more than the database."""
        return str(self.pre_save(obj, add=False) or "")

    def to_python(self, value: Any) -> Any:
        """Know a sealed text again when a dump is loaded."""
        return Sealed(value) if isinstance(value, str) and is_sealed(value) else value
