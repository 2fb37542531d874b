"""A text field whose column holds only sealed texts, each bound to its row and field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.apps import apps
from django.core import checks
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query_utils import DeferredAttribute

from vault.crypto import is_sealed
from vault.ring import get_ring

if TYPE_CHECKING:
    _TextField = models.TextField[Any, Any]
else:
    _TextField = models.TextField


class Sealed(str):
    """A sealed text as it stands in the database."""

    __slots__ = ()


class _New(Sealed):
    """A text that was set on an instance and sealed for its row: every save of that instance writes it."""

    __slots__ = ()


class _Loaded(Sealed):
    """A sealed text out of a dump, on its way into the database; it is not opened, so that loading needs no key."""

    __slots__ = ()


# What a constraint that is checked before the text is sealed gets to see: that there is one.
_UNSEALED = Sealed("(not sealed yet)")


class _OpensOnAccess(DeferredAttribute):
    """Reads as plain text: what came from the database is opened when it is looked at, and stays sealed in memory."""

    field: EncryptedTextField

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        if instance is None:
            return self
        value = self.field.held(instance)
        if isinstance(value, Sealed) and not isinstance(value, _Loaded):
            return get_ring().open(value, context=self.field.context_of(instance.pk))
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        # with this Python asks the descriptor even where the instance holds a value
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(_TextField):
    """A text that rests sealed. The empty text is stored as it is: it says that there is nothing to seal.

    A text that was not set on the instance is not written by `save()`, which thus undoes neither a rotation nor an
    edit made meanwhile. The row must know its primary key before it is saved (a UUID by default, say), because the
    key is part of the seal. A model with such a field is a `SealedRow`; its history leaves the field out
    (`excluded_fields`).
    """

    descriptor_class = _OpensOnAccess

    def context_of(self, pk: Any) -> str:
        """Return where a sealed text belongs: `<app>.<model>|<primary key>|<field>`; raises ValueError without one."""
        if pk is None:
            message = f"{self.name}: the row needs a primary key before its secret can be sealed"
            raise ValueError(message)
        meta = self.model._meta  # noqa: SLF001 - Django's public name for it
        return f"{meta.label_lower}|{meta.pk.to_python(pk)}|{self.attname}"

    def held(self, instance: models.Model) -> str | None:
        """Return what the instance holds, unopened: `Sealed` where it was not set since it was read."""
        state = vars(instance)
        if self.attname not in state:  # it was deferred
            rows = self.model._base_manager.using(instance._state.db)  # noqa: SLF001 - what refresh_from_db() reads
            state[self.attname] = rows.values_list(self.attname, flat=True).get(pk=instance.pk)
        return cast(str | None, state[self.attname])

    def at_rest(self, instance: models.Model) -> str | None:
        """Return the text as it rests, or would rest: sealed under the first key if it was set on the instance."""
        value = self.held(instance)
        if not value or isinstance(value, Sealed):
            return value
        return _New(get_ring().seal(value, context=self.context_of(instance.pk)))

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        """Mark what comes from the database, so that it is opened on access."""
        return Sealed(value) if value else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Seal a text that was set and leave the column alone otherwise; raises `Unopenable` for another row's seal."""
        value = self.at_rest(model_instance)
        vars(model_instance)[self.attname] = value  # what was set is sealed once, and no plain text stays behind
        if not isinstance(value, Sealed):
            return value
        if not add and not isinstance(value, _New):
            return models.F(self.attname)
        get_ring().open(value, context=self.context_of(model_instance.pk))
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Refuse to look for a plain text: no two seals of it are alike."""
        self._refuse_plain(value)
        return str(value) if value else value

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Let a query see no more of a plain text than that there is one."""
        if not prepared and value and not isinstance(value, Sealed):
            value = _UNSEALED
        return super().get_db_prep_value(value, connection, prepared)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Let only sealed texts be written: `update()` has no row to bind a plain text to."""
        if not hasattr(value, "as_sql"):
            self._refuse_plain(value)
        return super().get_db_prep_save(value, connection)

    def get_lookup(self, lookup_name: str) -> Any:
        """Offer only what makes sense of a sealed text: whether it is empty, or the very one."""
        return super().get_lookup(lookup_name) if lookup_name in {"exact", "in", "isnull"} else None

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """Judge a text and return it, still sealed where it was not set; a text that looks sealed is but a text."""
        self.validate(value, model_instance)
        self.run_validators(value)
        if model_instance is not None and value == getattr(model_instance, self.attname):
            return self.held(model_instance)
        return value

    def value_from_object(self, obj: models.Model) -> str | None:
        """Return the text as it rests: what lists the fields of a row does not open this one."""
        return self.at_rest(obj)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the text as it rests: a dump of the database holds no more than the database."""
        return self.at_rest(obj) or ""

    def to_python(self, value: Any) -> Any:
        """Know a sealed text again when a dump is loaded."""
        return _Loaded(value) if isinstance(value, str) and is_sealed(value) else value

    def formfield(self, **kwargs: Any) -> None:
        """Be in no form that is made from the model: it would show the text."""

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Refuse rows that learn their key from the database, when it is too late to seal for it."""
        found = super().check(**kwargs)
        if isinstance(self.model._meta.pk, models.AutoField):  # noqa: SLF001 - Django's public name for it
            hint = "Give the model a primary key with a default, such as UUIDField(default=uuid.uuid4)."
            text = "A sealed text is bound to its row, which must know its primary key before it is saved."
            found.append(checks.Error(text, hint=hint, obj=self, id="vault.E003"))
        return found

    def _refuse_plain(self, value: Any) -> None:
        if value and not isinstance(value, Sealed):
            message = f"{self.name} is sealed row by row: set it on the instance and call save()"
            raise TypeError(message)


class SealedRow(models.Model):
    """A row with sealed fields, which are read again without being opened."""

    is_bulk: ClassVar[bool] = False
    """Whether there may be gigabytes of such rows, so that no start opens all of them to see whether it can."""

    class Meta:
        abstract = True

    def refresh_from_db(
        self, using: str | None = None, fields: Iterable[str] | None = None, from_queryset: Any = None
    ) -> None:
        """Read the row again; its sealed texts when they are looked at, for what Django copies counts as set."""
        sealed = {field.attname for field in self._meta.concrete_fields if isinstance(field, EncryptedTextField)}
        asked = None if fields is None else set(fields)
        for name in sealed if asked is None else sealed & asked:
            vars(self).pop(name, None)
        super().refresh_from_db(using, None if asked is None else asked - sealed, from_queryset)


def encrypted_fields() -> list[EncryptedTextField]:
    """Return the field of every model of the project that rests sealed."""
    return [
        field
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields  # noqa: SLF001 - Django's public name for it
        if isinstance(field, EncryptedTextField) and model._meta.managed  # noqa: SLF001 - the same
    ]
