"""Secret: a credential that rests sealed, or says which environment variable holds it."""

from __future__ import annotations

import os
import re
import uuid
from typing import Final, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from simple_history.models import HistoricalRecords

from vault.crypto import Hidden, is_sealed, sealed_under
from vault.fields import EncryptedTextField, Sealed, SealedRow

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_OWN_VARIABLE: Final = re.compile(r"(TOKENHUB|DJANGO|PG|POSTGRES|REDIS|DATABASE|SECRET_KEY)\w*")
_SHOWN_CHARACTERS: Final = 4
_SHORTEST_SHOWN: Final = 12


class SecretMissing(Exception):
    """A secret that cannot be used: its environment variable is not set or not its to read, or it is no key."""


def validate_variable(name: str) -> None:
    """Refuse what is no name of a variable, and the gateway's own: whoever edits providers must not read those."""
    if not _VARIABLE.fullmatch(name):
        raise ValidationError("A variable has capital letters, digits and _ only, such as OPENAI_API_KEY.")
    if _OWN_VARIABLE.fullmatch(name) or name == settings.TOKENHUB_KEY_VARIABLE:
        message = "%(name)s belongs to the gateway itself and is never given to a provider."
        raise ValidationError(message, params={"name": name})


def validate_key(text: str) -> None:
    """Refuse what no HTTP header can carry, in words that never repeat it."""
    if not text:
        raise ValidationError("A key is not empty.")
    if text != text.strip():
        raise ValidationError("A key has no spaces or line breaks at its ends.")
    if not text.isascii() or not text.isprintable():
        raise ValidationError("A key is one line of ASCII text: letters, digits, punctuation.")


def _read_variable(name: str) -> str:
    validate_variable(name)
    text = os.environ.get(name, "").strip()
    if not text:
        raise ValidationError("the environment variable %(name)s is not set", params={"name": name})
    return text


class Secret(SealedRow):
    """A provider's key: either stored (sealed), or a reference to an environment variable that is read at use."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    note = models.TextField(blank=True)
    value = EncryptedTextField(blank=True)
    env_name = models.CharField("environment variable", max_length=100, blank=True, validators=[validate_variable])
    set_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords(excluded_fields=["value"])

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(value="") ^ Q(env_name=""),
                name="secret_is_stored_or_refers",
                violation_error_message="Give a key or the name of an environment variable: one of them, not both.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="secret_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Judge a key that was set; one that rests sealed was judged before."""
        super().clean()
        if self._held and not self.is_stored:
            validate_key(self._held)

    @sensitive_variables()
    def store(self, text: str) -> None:
        """Keep this text from the next save on."""
        self.value, self.env_name, self.set_at = text, "", timezone.now()

    def refer(self, env_name: str) -> None:
        """Read the environment variable of this name from the next save on; raises `ValidationError`."""
        validate_variable(env_name)
        self.value, self.env_name, self.set_at = "", env_name, timezone.now()

    def resolve(self) -> Hidden:
        """Return the secret; raises `SecretMissing`, `vault.crypto.Unopenable`, `vault.crypto.KeyProblem`."""
        try:
            text = _read_variable(self.env_name) if self.env_name else self.value
            validate_key(text)
        except ValidationError as error:
            raise SecretMissing(" ".join(error.messages)) from None
        return Hidden(text)

    @property
    def hint(self) -> str:
        """What a person may see of it: the variable's name, or the last characters of a text that is long enough."""
        if self.env_name:
            return f"env:{self.env_name}"
        text = self.value
        return f"••••{text[-_SHOWN_CHARACTERS:] if len(text) >= _SHORTEST_SHOWN else ''}"

    @property
    def is_used(self) -> bool:
        """Whether rows of other rooms, which the vault does not know, refer to it."""
        users = (relation.field for relation in self._meta.related_objects)
        return any(user.model._base_manager.filter(**{user.name: self}).exists() for user in users)  # noqa: SLF001 - all rows

    @property
    def is_stored(self) -> bool:
        """Whether its text is sealed: read from its row, or saved since it was set."""
        return isinstance(self._held, Sealed)

    @property
    def key_id(self) -> str:
        """The id of the key that it rests under; empty where nothing rests, or something that was never sealed."""
        return sealed_under(self._held) if self.is_stored and is_sealed(self._held) else ""

    @property
    def _held(self) -> str:
        return cast(EncryptedTextField, self._meta.get_field("value")).held(self) or ""


class KeyCheck(models.Model):
    """What tells whether a key of the ring is the one that this database was sealed under."""

    key_id = models.CharField(max_length=8, primary_key=True)
    value = models.CharField(max_length=32)
    added_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key_id
