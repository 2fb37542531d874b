"""The tables of what callers were told, which rests sealed: answers that may be asked for again under their key."""

from __future__ import annotations

import uuid

from django.db import models

from vault.fields import EncryptedTextField, SealedRow


class KeptAnswer(SealedRow):
    """The answer to an idempotency key of a caller, or that somebody is at work on it: see `accounts.repeats`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.BigIntegerField(help_text="The primary key of the client key; 0 for a caller without one.")
    key_hash = models.CharField(max_length=64)
    body_hash = models.CharField(max_length=64)
    holder = models.CharField(max_length=40, help_text="The request that is answered, or was.")
    lease_until = models.FloatField(help_text="Unix seconds until which the holder is believed to be at work.")
    is_done = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    answer = EncryptedTextField(blank=True)
    expires_at = models.FloatField(help_text="Unix seconds.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key_hash"], name="answer_is_kept_once")]
        indexes = [models.Index(fields=["expires_at"], name="kept_answer_expiry")]

    def __str__(self) -> str:
        return f"{self.key_hash[:8]} of {self.owner}"
