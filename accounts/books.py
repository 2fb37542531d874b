"""The tables of the ledger: Call, Attempt, the prices that were in force, and what was spent by day.

They are written by `accounts.ledger` alone, in one transaction a batch, and never changed afterwards. Rows of keys and
teams may be deleted while their calls stay, so nothing here is a constraint on them.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models


class Tokens(models.Model):
    """Tokens in buckets that do not overlap, and their cost; `reasoning` is a part of `output`."""

    uncached = models.PositiveBigIntegerField(default=0)
    cache_read = models.PositiveBigIntegerField(default=0)
    cache_write = models.PositiveBigIntegerField(default=0)
    cache_write_1h = models.PositiveBigIntegerField(default=0, help_text="A part of what was written to the cache.")
    output = models.PositiveBigIntegerField(default=0)
    reasoning = models.PositiveBigIntegerField(default=0)
    cost_micro = models.PositiveBigIntegerField(default=0, help_text="Micro-dollars.")

    class Meta:
        abstract = True

    @property
    def input(self) -> int:
        """All tokens that went in."""
        return self.uncached + self.cache_read + self.cache_write


def _loose(to: str) -> Any:
    loose: dict[str, Any] = {"db_constraint": False, "db_index": False, "related_name": "+"}
    return models.ForeignKey(to, on_delete=models.DO_NOTHING, null=True, **loose)


class Call(Tokens):
    """One request of a client, whatever became of it; its tokens and its cost are those of all its attempts."""

    request_id = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField(help_text="When it began.")
    endpoint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    status_class = models.GeneratedField(
        expression=models.F("status") / 100, output_field=models.IntegerField(), db_persist=True
    )
    error = models.CharField(max_length=64, blank=True)
    stream = models.BooleanField()
    key = _loose("accounts.ApiKey")
    team = _loose("accounts.Team")
    asked = models.CharField(max_length=200, blank=True, help_text="What the caller named as the model.")
    model = models.CharField(max_length=200, blank=True, help_text="Which answered, or was the last not to.")
    provider = models.CharField(max_length=100, blank=True)
    session = models.CharField(max_length=200, blank=True)
    user = models.CharField(max_length=200, blank=True)
    estimated = models.BooleanField()
    is_priced = models.BooleanField(help_text="Whether the cost is known of all attempts.")
    ms = models.FloatField()
    ttft_ms = models.FloatField(null=True)
    attempt_count = models.PositiveSmallIntegerField()
    decisions = models.TextField(blank=True, help_text="Why it went where it went, as JSON.")

    class Meta:
        ordering = ["-id"]
        # by what the admin filters, each in the order in which it lists: see `accounts.call_list`
        indexes = [
            models.Index(fields=["at"], name="call_at"),
            models.Index(fields=["key", "at"], name="call_of_key_at"),
            # a lead looks for what is rare among many calls: the last three are looked up without reading the rows
            models.Index(fields=["team", "at", "status_class", "model", "provider"], name="call_of_team_at"),
            models.Index(fields=["model", "at"], name="call_of_model_at"),
            models.Index(fields=["provider", "at"], name="call_of_provider_at"),
            models.Index(fields=["status_class", "at"], name="call_of_class_at"),
        ]

    def __str__(self) -> str:
        return self.request_id


class Price(models.Model):
    """What a token of a model cost from a time on, in pico-dollars; a new row for every change, and no row changes."""

    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    input = models.PositiveBigIntegerField()
    output = models.PositiveBigIntegerField()
    cache_read = models.PositiveBigIntegerField()
    cache_write = models.PositiveBigIntegerField()
    cache_write_1h = models.PositiveBigIntegerField()
    since = models.DateTimeField(help_text="When it was first charged.")

    class Meta:
        ordering = ["model", "since"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "input", "output", "cache_read", "cache_write", "cache_write_1h"],
                name="price_is_said_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} since {self.since:%Y-%m-%d}"


class Attempt(Tokens):
    """One try at a provider; times are milliseconds."""

    call = models.ForeignKey(
        Call,
        to_field="request_id",
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,  # the constraint below has one
        related_name="attempts",
    )
    number = models.PositiveSmallIntegerField(help_text="Of the attempts of its call, from 1.")
    phase = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    status = models.PositiveSmallIntegerField()
    error = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=64, blank=True, help_text="Why the answer ended.")
    estimated = models.BooleanField()
    ms = models.FloatField()
    ttft_ms = models.FloatField(null=True)
    dropped = models.TextField(blank=True, help_text="Fields of the caller that had no place there.")
    price = models.ForeignKey(
        Price,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="None where nobody said what the model costs: then its cost is unknown, and 0 here.",
    )

    class Meta:
        ordering = ["call", "number"]
        constraints = [models.UniqueConstraint(fields=["call", "number"], name="attempt_is_said_once")]

    def __str__(self) -> str:
        return f"{self.call_id} {self.number}"


class Spend(Tokens):
    """What a key spent at a model on a day (UTC), so that reports need not read calls; 0 stands for no key, no team."""

    day = models.DateField()
    key_pk = models.BigIntegerField()
    team_pk = models.BigIntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    attempts = models.PositiveBigIntegerField()
    failed = models.PositiveBigIntegerField(help_text="Attempts that brought no answer.")
    unpriced = models.PositiveBigIntegerField(help_text="Attempts whose cost is unknown.")

    class Meta:
        verbose_name_plural = "spend"
        constraints = [
            models.UniqueConstraint(fields=["day", "key_pk", "team_pk", "model", "provider"], name="spend_is_said_once")
        ]
        indexes = [
            models.Index(fields=["key_pk", "day"], name="spend_of_key"),
            models.Index(fields=["team_pk", "day"], name="spend_of_team"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class BudgetUse(models.Model):
    """What of a budget is spent and reserved in one of its periods, in micro-dollars."""

    budget = models.ForeignKey("accounts.Budget", on_delete=models.CASCADE, related_name="uses")
    start = models.DateField()
    spent_micro = models.PositiveBigIntegerField(default=0)
    reserved_micro = models.PositiveBigIntegerField(default=0)
    warned_percent = models.PositiveSmallIntegerField(default=0, help_text="The last of the marks that was told.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["budget", "start"], name="use_of_a_period_once")]

    def __str__(self) -> str:
        return f"{self.budget} from {self.start}"


class BudgetWarning(models.Model):
    """One mark that a budget has passed in a period: said once, and kept until a webhook has taken it or nobody will.

    What was spent and the amount are those of the moment, so that each try to deliver it says the same.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    use = models.ForeignKey(BudgetUse, on_delete=models.CASCADE, related_name="warnings")
    percent = models.PositiveSmallIntegerField()
    spent_micro = models.PositiveBigIntegerField()
    amount_micro = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    due_at = models.FloatField(
        null=True, help_text="When it is to be delivered next, in unix seconds; none where that is over."
    )
    tries = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["at"]
        indexes = [models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="warning_due")]

    def __str__(self) -> str:
        return f"{self.percent} % of the {self.use}"


class Reservation(models.Model):
    """What a call under way may cost at worst; without a renewal it ends with its lease, as its worker has."""

    request_id = models.CharField(max_length=40)
    use = models.ForeignKey(BudgetUse, on_delete=models.CASCADE, related_name="reservations")
    amount_micro = models.PositiveBigIntegerField()
    lease_until = models.FloatField(help_text="Unix seconds.")

    class Meta:
        indexes = [
            models.Index(fields=["request_id"], name="reservation_of_call"),
            models.Index(fields=["lease_until"], name="reservation_lease"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.amount_micro}"


class LimitWindow(models.Model):
    """What a key or a team used in the last seconds, where there is no Redis: see `accounts.limits.Window`."""

    name = models.CharField(max_length=64, unique=True)
    state = models.TextField(default="{}")

    def __str__(self) -> str:
        return self.name
