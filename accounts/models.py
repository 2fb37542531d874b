"""The tables of accounts: Team and ApiKey, which say who may call, and the pepper that keeps the keys."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from accounts.books import Attempt, BudgetUse, BudgetWarning, Call, LimitWindow, Price, Reservation, Spend
from accounts.kept import CallContent, KeptAnswer
from registry.validators import validate_names
from vault.fields import EncryptedTextField, SealedRow

# Django and everybody else look for the tables here.
__all__ = [
    "LIMITS",
    "MICRO",
    "AccountsStamp",
    "ApiKey",
    "Attempt",
    "Budget",
    "BudgetUse",
    "BudgetWarning",
    "Call",
    "CallContent",
    "KeptAnswer",
    "LimitWindow",
    "Limited",
    "Pepper",
    "Period",
    "Price",
    "Reservation",
    "Scope",
    "Spend",
    "Team",
    "validate_models",
    "validate_scopes",
]

MICRO: Final = 1_000_000  # micro-dollars in a dollar
_PEPPER_BYTES: Final = 32
_THE_PEPPER: Final = uuid.UUID("5ea50000-0000-4000-8000-000000000001")  # there is one; its seal is bound to this id


class Scope(models.TextChoices):
    """An endpoint that a key may call."""

    CHAT = "chat", "/v1/chat/completions"
    COMPLETIONS = "completions", "/v1/completions"
    RESPONSES = "responses", "/v1/responses"
    MESSAGES = "messages", "/v1/messages"
    EMBEDDINGS = "embeddings", "/v1/embeddings"
    ADVERSARIAL = "adversarial", "/v1/adversarial"


class Period(models.TextChoices):
    """How long a budget lasts, in UTC."""

    DAILY = "daily", "Daily"
    MONTHLY = "monthly", "Monthly"
    TOTAL = "total", "Total"

    def start(self, moment: datetime) -> date:
        """Return the first day of the period that a moment belongs to."""
        day = moment.astimezone(UTC).date()
        return {Period.DAILY: day, Period.MONTHLY: day.replace(day=1), Period.TOTAL: date(1970, 1, 1)}[self]

    def end(self, start: date) -> date | None:
        """Return the first day of the period after the one that starts on a day; None where there is none."""
        month = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        return {Period.DAILY: start + timedelta(days=1), Period.MONTHLY: month, Period.TOTAL: None}[self]


def validate_scopes(value: Any) -> None:
    """Refuse anything but a list of known scopes without repetition."""
    validate_names(value, "scopes")
    if unknown := [name for name in value if name not in Scope.values]:
        raise ValidationError(
            "Unknown: %(unknown)s. Known: %(known)s.",
            params={"unknown": ", ".join(unknown), "known": ", ".join(Scope.values)},
        )


def validate_models(value: Any) -> None:
    """Refuse anything but a list of names without repetition."""
    validate_names(value, "models")


def _limit(**told: Any) -> Any:
    return models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)], **told)


LIMITS: Final = ("rpm", "tpm", "concurrent", "max_tokens", "max_cost_micro")


class Limited(models.Model):
    """What teams and keys have in common: limits, each None where there is none."""

    rpm = _limit(verbose_name="requests a minute", help_text="In any 60 seconds.")
    tpm = _limit(verbose_name="tokens a minute", help_text="Of prompts and answers, in any 60 seconds.")
    concurrent = _limit(verbose_name="requests at the same time")
    max_tokens = _limit(verbose_name="tokens of one answer")
    max_cost_micro = models.PositiveBigIntegerField(
        "cost of one request",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Micro-dollars that a request may cost at worst.",
    )

    class Meta:
        abstract = True


class Team(Limited):
    """Those who share keys, limits and budgets."""

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True, help_text="While it is not, none of its keys opens anything.")
    leads = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="led_teams",
        help_text="People who see and manage the keys, calls and budgets of this team.",
    )
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords()

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="team_has_a_name")]
        permissions = [("all_teams", "Sees and manages every team's keys, calls and budgets")]

    def __str__(self) -> str:
        return self.name


class ApiKey(Limited):
    """A client key: of its secret only an HMAC is kept."""

    public_id = models.CharField(max_length=32, unique=True, editable=False)
    name = models.CharField(max_length=100, help_text="Who uses it, and for what.")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="keys")
    digest = models.CharField(max_length=64, editable=False)
    old_digest = models.CharField(max_length=64, blank=True, editable=False)
    old_until = models.DateTimeField(null=True, blank=True, editable=False)
    scopes = models.JSONField(
        default=list, blank=True, validators=[validate_scopes], help_text="Endpoints that it may call; none for all."
    )
    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_models],
        help_text="Ids and aliases of models that it may use, and no others; none for all.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    log_content = models.BooleanField(
        "keep prompts and answers",
        default=False,
        help_text="What its callers send and are told is kept, sealed, for TOKENHUB_KEEP_CONTENT_DAYS. Tell them.",
    )
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["digest", "old_digest", "old_until", "rotated_at"])

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(condition=~Q(name="") & ~Q(public_id=""), name="key_has_a_name"),
            models.CheckConstraint(condition=~Q(digest=""), name="key_has_a_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (th_{self.public_id}_…)"

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= timezone.now()


class Budget(models.Model):
    """What a key or a team may spend in a period; it is charged for every call, whoever else has a budget for it."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="budgets")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="budgets")
    period = models.CharField(max_length=8, choices=Period.choices)
    amount_micro = models.PositiveBigIntegerField("amount", help_text="Micro-dollars.")
    enabled = models.BooleanField(default=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(key__isnull=True) ^ Q(team__isnull=True),
                name="budget_has_one_owner",
                violation_error_message="A budget is a key's or a team's: choose one.",
            ),
            models.UniqueConstraint(fields=["key", "period"], name="budget_of_key_once"),
            models.UniqueConstraint(fields=["team", "period"], name="budget_of_team_once"),
        ]

    def __str__(self) -> str:
        owner = f"team {self.team}" if self.team_id else f"key {self.key.name if self.key else '-'}"
        return f"{self.get_period_display()} budget of {owner}"

    @property
    def amount_usd(self) -> Decimal:
        """The amount as people give it."""
        return Decimal(self.amount_micro) / MICRO


class Pepper(SealedRow):
    """The key of the HMACs, a random one that rests in the vault, whose rotations leave it as it is.

    Were it derived from the ring, dropping an old key of the ring would take all client keys with it.
    """

    id = models.UUIDField(primary_key=True, default=_THE_PEPPER, editable=False)
    value = EncryptedTextField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=_THE_PEPPER), name="pepper_is_one_row")]

    def __str__(self) -> str:
        return "the pepper of the client keys"

    @classmethod
    def get(cls) -> Self:
        """Return the row, which is made when it is first needed; raises `KeyProblem` and `Unopenable`."""
        if (found := cls.objects.first()) is not None:
            return found
        cls.objects.bulk_create([cls(value=secrets.token_hex(_PEPPER_BYTES))], ignore_conflicts=True)
        return cls.objects.get()

    @property
    def octets(self) -> bytes:
        """The 32 bytes; raises `KeyProblem` and `Unopenable`."""
        return bytes.fromhex(self.value)


class AccountsStamp(models.Model):
    """One row that counts the changes of keys and teams, so that a worker knows when to look again."""

    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="accounts_stamp_is_one_row")]

    def __str__(self) -> str:
        return str(self.version)
