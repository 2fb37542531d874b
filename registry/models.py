"""The tables: Model and Alias, which are what callers name, and the marks of loads and changes."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast
from django.utils import timezone
from simple_history.models import HistoricalRecords

from registry.cooling import CoolingRow  # noqa: F401 - Django looks for tables here
from registry.providers import LimitField, Provider, ProviderType, ReasoningBack
from registry.validators import (
    OWN_PREFIX,
    validate_alias,
    validate_aliases,
    validate_finite,
    validate_names,
    validate_public_id,
)

# Django and everybody else look for the tables here.
__all__ = [
    "CAPABILITIES_RULE",
    "LIMITS",
    "PRICES",
    "Alias",
    "AliasTarget",
    "Capability",
    "LimitField",
    "LoadedRow",
    "Model",
    "Provider",
    "ProviderType",
    "ReasoningBack",
    "Stamp",
    "Strategy",
    "default_capabilities",
    "validate_capabilities",
]


class Capability(models.TextChoices):
    """What a model can be asked for."""

    CHAT = "chat", "Chat"
    COMPLETION = "completion", "Text completion"
    EMBEDDING = "embedding", "Embeddings"
    TOOLS = "tools", "Tools"
    VISION = "vision", "Images"
    JSON = "json", "JSON output"
    STREAMING = "streaming", "Streaming"


CAPABILITIES_RULE = (
    "A model that names any of tools, vision, json, streaming is left out of requests that need one it does not name; "
    "one that names none of them is not judged by them."
)


class Strategy(models.TextChoices):
    """How the router ranks models."""

    SCORE = "score", "Highest score"
    CHEAPEST = "cheapest", "Lowest cost"
    FASTEST = "fastest", "Quickest to begin"
    BALANCED = "balanced", "Balance of weight, cost, speed and failures"
    WEIGHTED = "weighted", "At random, by weight"


def default_capabilities() -> list[str]:
    """What a new model can do unless said otherwise: the lists of the configuration file are the same."""
    return [Capability.CHAT.value, Capability.COMPLETION.value]


def validate_capabilities(value: Any) -> None:
    """Refuse anything but a list of known capabilities without repetition."""
    validate_names(value, "capabilities")
    unknown = [name for name in value if name not in Capability.values]
    if unknown:
        raise ValidationError(
            "Unknown: %(unknown)s. Known: %(known)s.",
            params={"unknown": ", ".join(unknown), "known": ", ".join(Capability.values)},
        )


PRICES = ("input_per_1k", "output_per_1k", "cache_read_per_1k", "cache_write_per_1k", "cache_write_1h_per_1k")


LIMITS = ("rpm", "tpm", "concurrent")


def _limit(name: str, **told: Any) -> Any:
    return models.PositiveIntegerField(name, null=True, blank=True, validators=[MinValueValidator(1)], **told)


class ModelQuerySet(models.QuerySet["Model"]):
    """Questions to the table of models."""

    def with_score(self) -> ModelQuerySet:
        """Each model with `listed_score`, so that a list can be sorted by it."""
        cost = Cast("cost_per_1k", models.FloatField())
        return self.annotate(listed_score=F("weight") - cost * 10.0)

    def with_texts(self) -> ModelQuerySet:
        """Each model with `capabilities_text` and `aliases_text`, which a filter can look into on every database."""
        return self.annotate(
            capabilities_text=Cast("capabilities", models.TextField()), aliases_text=Cast("aliases", models.TextField())
        )

    def streaming_unsaid(self) -> ModelQuerySet:
        """Models that name tools, vision or json and not streaming, so that no stream is asked of them."""
        tools, vision, json, streaming = (
            Q(capabilities_text__contains=f'"{name}"')
            for name in (Capability.TOOLS, Capability.VISION, Capability.JSON, Capability.STREAMING)
        )
        return self.with_texts().filter(tools | vision | json, ~streaming)


class Model(models.Model):
    """A model at a provider: the name callers use, what it can do and what it costs."""

    public_id = models.CharField(
        "id", max_length=200, unique=True, validators=[validate_public_id], help_text="What callers send as `model`."
    )
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="models")
    name = models.CharField("name at the provider", max_length=200)
    weight = models.FloatField(default=50.0, validators=[validate_finite], help_text="Higher is preferred.")
    cost_per_1k = models.DecimalField(
        "cost per 1k",
        max_digits=14,
        decimal_places=9,
        default=Decimal(0),
        validators=[MinValueValidator(0)],
        help_text="US dollars for 1,000 tokens; the score is weight - cost per 1k * 10.",
    )
    input_per_1k = models.DecimalField(
        max_digits=14, decimal_places=9, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    output_per_1k = models.DecimalField(
        max_digits=14, decimal_places=9, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    cache_read_per_1k = models.DecimalField(
        max_digits=14, decimal_places=9, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    cache_write_per_1k = models.DecimalField(
        max_digits=14, decimal_places=9, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    cache_write_1h_per_1k = models.DecimalField(
        max_digits=14, decimal_places=9, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    is_free = models.BooleanField(
        "costs nothing",
        default=False,
        help_text="That nobody said what it costs does not make it free: without a price keys with a budget cannot use "
        "it, and what it cost is unknown.",
    )
    context_size = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="Tokens of input and output together."
    )
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    rpm = _limit("requests a minute", help_text="In any 60 seconds.")
    tpm = _limit("tokens a minute", help_text="Of prompts and answers, in any 60 seconds.")
    concurrent = _limit("requests at the same time")
    capabilities = models.JSONField(
        default=default_capabilities, validators=[validate_capabilities], help_text=CAPABILITIES_RULE
    )
    aliases = models.JSONField(
        default=list, blank=True, validators=[validate_aliases], help_text="Further names; models may share one."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords()
    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ["public_id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(public_id="") & ~Q(public_id="auto"),
                name="model_has_an_id",
                violation_error_message="A model needs an id, other than auto, which lets the router choose.",
            ),
            models.CheckConstraint(
                condition=~Q(name=""),
                name="model_has_a_name",
                violation_error_message="A model needs its name at the provider.",
            ),
            models.CheckConstraint(
                condition=Q(context_size__gte=1),
                name="model_has_a_context",
                violation_error_message="The context size is at least 1 token.",
            ),
            models.CheckConstraint(
                condition=Q(max_output_tokens__isnull=True) | Q(max_output_tokens__gte=1),
                name="model_can_answer",
                violation_error_message="The most output is at least 1 token.",
            ),
            models.CheckConstraint(
                condition=Q(cost_per_1k__gte=0),
                name="model_cost_is_not_negative",
                violation_error_message="The cost is not negative.",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{price}__isnull": True}) | Q(**{f"{price}__gte": 0}),
                    name=f"model_{price}_is_not_negative",
                    violation_error_message="A price is not negative.",
                )
                for price in PRICES
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{limit}__isnull": True}) | Q(**{f"{limit}__gte": 1}),
                    name=f"model_{limit}_lets_some_in",
                    violation_error_message="A limit is at least 1.",
                )
                for limit in LIMITS
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Refuse the name of an alias as well, which it would take away."""
        super().validate_unique(exclude)
        if "public_id" not in (exclude or ()) and Alias.objects.filter(name=self.public_id).exists():
            raise ValidationError({"public_id": "An alias has this name."})
        if "public_id" not in (exclude or ()):
            others = Model.objects.exclude(pk=self.pk).values_list("public_id", "aliases")
            if owners := ", ".join(name for name, aliases in others if self.public_id in aliases):
                raise ValidationError({"public_id": f"This is a further name of {owners}."})
        if "aliases" not in (exclude or ()):
            taken = Model.objects.filter(public_id__in=self.aliases).exclude(pk=self.pk).values_list("public_id")
            if names := ", ".join(name for (name,) in taken):
                raise ValidationError({"aliases": f"Another model has the id {names}."})

    @property
    def score(self) -> float:
        """What the router ranks by: `weight - cost_per_1k * 10`."""
        return self.weight - float(self.cost_per_1k) * 10

    @property
    def has_price(self) -> bool:
        """Whether anybody said what it costs, be it nothing."""
        told = (self.input_per_1k, self.output_per_1k)
        return self.is_free or self.cost_per_1k > 0 or any(price is not None for price in told)


class Alias(models.Model):
    """A name for a group of models, among which the strategy decides."""

    name = models.CharField(
        max_length=200, unique=True, validators=[validate_alias], help_text="What callers send as `model`."
    )
    strategy = models.CharField(
        max_length=16,
        blank=True,
        choices=Strategy.choices,
        help_text="How the models are ranked. Empty: by weight if any is given below, else as everywhere.",
    )
    enabled = models.BooleanField(default=True)
    note = models.TextField(blank=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"
        constraints = [
            models.CheckConstraint(
                condition=~Q(name="") & ~Q(name="auto") & ~Q(name__istartswith=OWN_PREFIX),
                name="alias_has_a_name",
                violation_error_message="An alias needs a name, which is not one of the gateway's own.",
            ),
            models.CheckConstraint(
                condition=Q(strategy__in=["", *Strategy.values]),
                name="alias_strategy_is_known",
                violation_error_message="The strategy is unknown.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def shares(self) -> list[tuple[AliasTarget, float | None]]:
        """Each target with its share of the requests, 0 to 1; None where it is not chance that decides."""
        targets = list(self.targets.all())
        weighs = self.strategy == Strategy.WEIGHTED or any(target.weight is not None for target in targets)
        weights = [max(0.0, target.weighs) if target.model.enabled else 0.0 for target in targets]
        if self.strategy not in {"", Strategy.WEIGHTED} or not weighs or not any(weights):
            return [(target, None) for target in targets]
        return [(target, weight / sum(weights)) for target, weight in zip(targets, weights, strict=True)]

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Refuse the id of a model as well: callers would get that model alone."""
        super().validate_unique(exclude)
        if "name" not in (exclude or ()) and Model.objects.filter(public_id=self.name).exists():
            raise ValidationError({"name": "A model has this id."})


class AliasTarget(models.Model):
    """A model that an alias names, in the order in which they were listed."""

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="alias_targets")
    weight = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), validate_finite],
        help_text="In place of the model's own weight, among the models of this alias.",
    )

    history = HistoricalRecords()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["alias", "model"],
                name="alias_names_a_model_once",
                violation_error_message="The alias names this model already.",
            ),
            models.CheckConstraint(
                condition=Q(weight__isnull=True) | Q(weight__gte=0),
                name="alias_weight_is_not_negative",
                violation_error_message="A weight is not negative.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.alias}: {self.model}"

    @property
    def weighs(self) -> float:
        """What counts among the models of the alias: the weight given here, or else the model's own."""
        return self.model.weight if self.weight is None else self.weight


class LoadedRow(models.Model):
    """What a configuration file last said of a row: the base of the three-way merge that keeps people's edits."""

    kind = models.CharField(max_length=16, choices=[("provider", "Provider"), ("model", "Model"), ("alias", "Alias")])
    name = models.CharField(max_length=200)
    values = models.JSONField(help_text="Field by field as the file gave it, without secrets.")
    loaded_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="loaded_row_is_said_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Stamp(models.Model):
    """One row that counts the changes of the registry, so that a worker knows when to look again."""

    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="stamp_is_one_row")]

    def __str__(self) -> str:
        return str(self.version)
