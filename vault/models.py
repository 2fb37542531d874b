"""Secret: a credential that rests sealed, or says which environment variable holds it."""

from __future__ import annotations

import os
import re
import uuid
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from vault.crypto import Hidden
from vault.fields import EncryptedTextField

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_OWN_VARIABLE: Final = re.compile(r"(TOKENHUB|DJANGO|PG|REDIS|DATABASE|SECRET_KEY)\w*")
_SHOWN_CHARACTERS: Final = 4
_SHORTEST_SHOWN: Final = 12


class SecretMissing(Exception):
    """A secret refers to an environment variable that is not set, or that it may not read."""


def validate_variable(name: str) -> None:
    """Refuse what is no name of a variable, and the gateway's own: whoever edits providers must not read those."""
    if not _VARIABLE.fullmatch(name):
        raise ValidationError("A variable has capital letters, digits and _ only, such as OPENAI_API_KEY.")
    if _OWN_VARIABLE.fullmatch(name) or name == settings.TOKENHUB_KEY_VARIABLE:
        message = "%(name)s belongs to the gateway itself and is never given to a provider."
        raise ValidationError(message, params={"name": name})


class Secret(models.Model):
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
            models.CheckConstraint(condition=Q(value="") ^ Q(env_name=""), name="secret_is_stored_or_refers"),
            models.CheckConstraint(condition=~Q(name=""), name="secret_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def store(self, text: str) -> None:
        """Keep this text from the next save on."""
        self.value, self.env_name, self.set_at = text, "", timezone.now()

    def refer(self, env_name: str) -> None:
        """Read the environment variable of this name from the next save on; raises `ValidationError`."""
        validate_variable(env_name)
        self.value, self.env_name, self.set_at = "", env_name, timezone.now()

    def resolve(self) -> Hidden:
        """Return the secret; raises `SecretMissing`, `vault.crypto.Unopenable`."""
        if not self.env_name:
            return Hidden(self.value)
        try:
            validate_variable(self.env_name)
        except ValidationError as error:
            raise SecretMissing("; ".join(error.messages)) from error
        text = os.environ.get(self.env_name, "").strip()
        if not text:
            message = f"the environment variable {self.env_name} is not set"
            raise SecretMissing(message)
        return Hidden(text)

    @property
    def hint(self) -> str:
        """What a person may see of it: the variable's name, or the last characters of a text that is long enough."""
        if self.env_name:
            return f"env:{self.env_name}"
        return f"••••{self.value[-_SHOWN_CHARACTERS:] if len(self.value) >= _SHORTEST_SHOWN else ''}"


class KeyCheck(models.Model):
    """What tells whether a key of the ring is the one that this database was sealed under."""

    key_id = models.CharField(max_length=8, primary_key=True)
    value = models.CharField(max_length=32)
    added_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key_id
