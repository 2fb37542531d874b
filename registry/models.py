"""Provider and Model: the rows that people edit, and what must never be true of them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast
from django.utils import timezone
from simple_history.models import HistoricalRecords

from vault.models import Secret

# Headers that belong to the connection, to the credentials or to the body, and are never a row's to set.
RESERVED_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    }
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_name_characters = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$",
    "Letters, digits and . _ : / @ + - only, beginning with a letter or a digit.",
    code="characters",  # under "invalid", a JSON field would tell of bad JSON instead
)


class ProviderType(models.TextChoices):
    """The languages that providers speak; the gateway has one adapter for each."""

    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    VLLM = "vllm", "vLLM or another OpenAI-compatible server"
    ECHO = "echo", "Echo (built in, for trying out)"

    @property
    def default_base_url(self) -> str:
        """Where the provider lives when the row does not say; empty where only the row can say."""
        return {
            ProviderType.OPENAI: "https://api.openai.com/v1",
            ProviderType.ANTHROPIC: "https://api.anthropic.com",
        }.get(self, "")

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is certain to be refused."""
        return self in {ProviderType.OPENAI, ProviderType.ANTHROPIC}

    @property
    def needs_base_url(self) -> bool:
        """Whether a row must say where the provider lives."""
        return self is ProviderType.VLLM


class Capability(models.TextChoices):
    """What a model can be asked for."""

    CHAT = "chat", "Chat"
    COMPLETION = "completion", "Text completion"
    EMBEDDING = "embedding", "Embeddings"
    TOOLS = "tools", "Tools"
    VISION = "vision", "Images"
    JSON = "json", "JSON output"
    STREAMING = "streaming", "Streaming"


def default_capabilities() -> list[str]:
    """What a new model can do unless said otherwise: the lists of the configuration file are the same."""
    return [Capability.CHAT.value, Capability.COMPLETION.value]


def validate_base_url(value: str) -> None:
    """Refuse what is not a plain http(s) URL of a host, with an optional port and path."""
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port != 0
    except ValueError as error:
        raise ValidationError("This is not a URL: %(reason)s.", params={"reason": str(error)}) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ValidationError("Give a URL that begins with http:// or https:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise ValidationError("A URL holds no credentials: they belong into the vault.")
    if parts.query or parts.fragment or any(character.isspace() for character in value):
        raise ValidationError("A base URL has no query, no fragment and no spaces.")
    # what the parsers of URLs read in different ways (backslashes, percent signs, wide digits) hides where it leads
    if not _HOST.fullmatch(re.sub(r":[0-9]*$", "", parts.netloc)):
        raise ValidationError("The host is a name in ASCII letters, an IPv4 address or an IPv6 address in brackets.")


def validate_extra_headers(value: Any) -> None:
    """Refuse anything but `{name: text}` with names that a row may set and texts that stay on one line."""
    if not isinstance(value, dict):
        raise ValidationError('Give an object of header names and texts, such as {"X-Team": "search"}.')
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in RESERVED_HEADERS:
            raise ValidationError("The header %(name)r is not a row's to set.", params={"name": name})
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValidationError("The header %(name)s needs one line of ASCII text.", params={"name": name})


def validate_capabilities(value: Any) -> None:
    """Refuse anything but a list of known capabilities without repetition."""
    _validate_names(value, "capabilities")
    unknown = [name for name in value if name not in Capability.values]
    if unknown:
        raise ValidationError(
            "Unknown: %(unknown)s. Known: %(known)s.",
            params={"unknown": ", ".join(unknown), "known": ", ".join(Capability.values)},
        )


def validate_public_id(value: str) -> None:
    """Refuse what a caller could not send as the name of one model."""
    _name_characters(value)
    if value == "auto":
        raise ValidationError('"auto" is how a caller lets the router choose; it cannot be an id.')


def validate_aliases(value: Any) -> None:
    """Refuse anything but a list of names that a caller could send."""
    _validate_names(value, "aliases")
    for name in value:
        _name_characters(name)
    if "auto" in value:
        raise ValidationError('"auto" is how a caller lets the router choose; it cannot be an alias.')


def _validate_names(value: Any, what: str) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValidationError("The %(what)s are a list of texts.", params={"what": what})
    if len(set(value)) != len(value):
        raise ValidationError("The %(what)s name something twice.", params={"what": what})


def validate_finite(value: float) -> None:
    """Refuse nan and the infinities, which have no place in an order."""
    if not math.isfinite(value):
        raise ValidationError("Give a finite number.")


def validate_seconds(value: float) -> None:
    """Refuse what is no time to wait: nothing, less than nothing, or more than a day."""
    if not 0 < value <= 86_400:
        raise ValidationError("Give seconds: more than 0, and no more than a day.")


class Provider(models.Model):
    """A service that answers: where it lives, which language it speaks and how long we wait for it."""

    name = models.CharField(max_length=64, unique=True, validators=[_name_characters])
    type = models.CharField(max_length=32, choices=ProviderType.choices)
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[validate_base_url],
        help_text="With or without /v1. Empty: the public address of this type.",
    )
    trusted_base_url = models.CharField(
        max_length=500,
        blank=True,
        editable=False,
        help_text="The base URL that a configuration file or command set; only that one may be a private address.",
    )
    secret = models.ForeignKey(
        Secret,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="providers",
        help_text="The key, kept in the vault.",
    )
    enabled = models.BooleanField(default=True)
    connect_timeout = models.FloatField(
        validators=[validate_seconds], default=5.0, help_text="Seconds to reach the provider."
    )
    first_byte_timeout = models.FloatField(
        validators=[validate_seconds], default=120.0, help_text="Seconds until it begins to answer."
    )
    idle_timeout = models.FloatField(
        validators=[validate_seconds], default=60.0, help_text="Seconds of silence within an answer."
    )
    total_timeout = models.FloatField(
        validators=[validate_seconds], default=600.0, help_text="Seconds for the whole answer."
    )
    extra_headers = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_extra_headers],
        help_text='Sent with every call, such as {"X-Team": "search"}. Not for secrets.',
    )
    note = models.TextField(blank=True)

    # Trust is not part of the history: to revert to an old address must not bring back the trust it once had.
    history = HistoricalRecords(excluded_fields=["trusted_base_url"])

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(name=""), name="provider_has_a_name", violation_error_message="A provider needs a name."
            ),
            models.CheckConstraint(
                condition=Q(type__in=ProviderType.values),
                name="provider_type_is_known",
                violation_error_message="The type is unknown.",
            ),
            models.CheckConstraint(
                condition=~Q(type=ProviderType.VLLM) | ~Q(base_url=""),
                name="provider_says_where_it_lives",
                violation_error_message="A provider of this type needs the URL where it lives.",
            ),
            models.CheckConstraint(
                condition=Q(connect_timeout__gt=0, first_byte_timeout__gt=0, idle_timeout__gt=0, total_timeout__gt=0),
                name="provider_timeouts_are_positive",
                violation_error_message="Every timeout is more than 0 seconds.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Say which field is missing before the database does."""
        if self.type in ProviderType.values and ProviderType(self.type).needs_base_url and not self.base_url:
            raise ValidationError({"base_url": "A provider of this type needs the URL where it lives."})

    @property
    def may_be_private(self) -> bool:
        """Whether its address was set by someone with a shell, who may point it at a private network."""
        return bool(self.base_url) and self.base_url == self.trusted_base_url


class ModelQuerySet(models.QuerySet["Model"]):
    """Questions to the table of models."""

    def with_score(self) -> ModelQuerySet:
        """Each model with `listed_score`, so that a list can be sorted by it."""
        cost = Cast("cost_per_1k", models.FloatField())
        return self.annotate(listed_score=F("weight") - cost * 10.0)


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
    context_size = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="Tokens of input and output together."
    )
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    capabilities = models.JSONField(default=default_capabilities, validators=[validate_capabilities])
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
                for price in ("input_per_1k", "output_per_1k", "cache_read_per_1k", "cache_write_per_1k")
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def score(self) -> float:
        """What the router ranks by: `weight - cost_per_1k * 10`."""
        return self.weight - float(self.cost_per_1k) * 10


class LoadedRow(models.Model):
    """What a configuration file last said of a row: the base of the three-way merge that keeps people's edits."""

    kind = models.CharField(max_length=16, choices=[("provider", "Provider"), ("model", "Model")])
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
