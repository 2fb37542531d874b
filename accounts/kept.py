"""The tables of what callers said and were told, which rests sealed: answers to be told again, and logged contents."""

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


class CallContent(SealedRow):
    """What a caller sent and was told, of a key that says that it is kept: see `accounts.contents`.

    The seals are bound to the id of the request: what is moved to another call does not open.
    """

    is_bulk = True

    request_id = models.CharField(primary_key=True, max_length=40)
    at = models.DateTimeField(help_text="When the call began.")
    request = EncryptedTextField(blank=True)
    answer = EncryptedTextField(blank=True)
    request_bytes = models.PositiveBigIntegerField(help_text="How many there were, whatever was kept of them.")
    answer_bytes = models.PositiveBigIntegerField(help_text="The same.")
    truncated = models.BooleanField(default=False, help_text="Whether a side is not whole.")

    class Meta:
        default_permissions = ()
        permissions = [("view_content", "Reads the prompts and answers that were kept of calls")]
        indexes = [models.Index(fields=["at"], name="call_content_age")]

    def __str__(self) -> str:
        return f"the content of {self.request_id}"
