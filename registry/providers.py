"""Provider: the row that says where a service lives, which language it speaks and how long to wait for it."""

from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db import models as orm  # a provider has `models` of its own
from django.db.models import Q
from simple_history.models import HistoricalRecords

from registry.validators import (
    validate_auth_header,
    validate_base_url,
    validate_characters,
    validate_endpoints,
    validate_extra_headers,
    validate_path,
    validate_query,
    validate_seconds,
    validate_unsupported,
)
from vault.models import Secret


class ProviderType(orm.TextChoices):
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

    @property
    def default_auth_header(self) -> str:
        """The header that carries the key when the row does not say; `Authorization` carries it as a Bearer token."""
        return "x-api-key" if self is ProviderType.ANTHROPIC else "Authorization"

    @property
    def is_like_openai(self) -> bool:
        """Whether it speaks chat completions, where the limit of an answer may stand in either of two fields."""
        return self in {ProviderType.OPENAI, ProviderType.VLLM}


class LimitField(orm.TextChoices):
    """The fields in which chat completions take the most tokens of an answer."""

    MAX_TOKENS = "max_tokens", "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens", "max_completion_tokens"


class ReasoningBack(orm.TextChoices):
    """The ways in which chat completions take back what a model thought in earlier turns."""

    REASONING_CONTENT = "reasoning_content", "reasoning_content, on each message of the assistant"
    THOUGHT_SIGNATURE = "thought_signature", "thought_signature, Google's, on the calls of tools"


class Provider(orm.Model):
    """A service that answers: where it lives, which language it speaks and how long we wait for it."""

    name = orm.CharField(max_length=64, unique=True, validators=[validate_characters])
    type = orm.CharField(max_length=32, choices=ProviderType.choices)
    base_url = orm.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[validate_base_url],
        help_text="With or without /v1. Empty: the public address of this type.",
    )
    trusted_base_url = orm.CharField(
        max_length=1300,
        blank=True,
        editable=False,
        help_text="The target that a configuration file or command set; only that one may be a private address.",
    )
    secret = orm.ForeignKey(
        Secret,
        null=True,
        blank=True,
        on_delete=orm.PROTECT,
        related_name="providers",
        help_text="The key, kept in the vault.",
    )
    enabled = orm.BooleanField(default=True)
    connect_timeout = orm.FloatField(
        validators=[validate_seconds], default=5.0, help_text="Seconds to reach the provider."
    )
    first_byte_timeout = orm.FloatField(
        validators=[validate_seconds], default=120.0, help_text="Seconds until it begins to answer."
    )
    idle_timeout = orm.FloatField(
        validators=[validate_seconds], default=60.0, help_text="Seconds of silence within an answer."
    )
    total_timeout = orm.FloatField(
        validators=[validate_seconds], default=600.0, help_text="Seconds for the whole answer."
    )
    extra_headers = orm.JSONField(
        default=dict,
        blank=True,
        validators=[validate_extra_headers],
        help_text='Sent with every call, such as {"X-Team": "search"}. Not for secrets.',
    )
    auth_header = orm.CharField(
        max_length=64,
        blank=True,
        validators=[validate_auth_header],
        help_text="The header that carries the key, such as api-key; Authorization carries it as a Bearer token. "
        "Empty: as this type has it.",
    )
    path = orm.CharField(
        max_length=200,
        blank=True,
        validators=[validate_path],
        help_text="Where an endpoint is below the base URL, such as openai/deployments/{model}/{endpoint}. "
        "Empty: the endpoint itself, below /v1 if the base URL has no path.",
    )
    query = orm.JSONField(
        default=dict,
        blank=True,
        validators=[validate_query],
        help_text='Parameters of every URL, such as {"api-version": "2024-10-21"}. Not for secrets: URLs are logged.',
    )
    unsupported = orm.JSONField(
        default=list,
        blank=True,
        validators=[validate_unsupported],
        help_text="Fields that it refuses, such as seed, stream_options or messages[].name. They are left out, and the "
        "answer names them in x-tokenhub-dropped-params.",
    )
    limit_field = orm.CharField(
        max_length=32,
        blank=True,
        choices=LimitField.choices,
        help_text="The field in which it takes the most tokens of an answer to a chat. Empty: the caller's own.",
    )
    cache_control = orm.BooleanField(
        default=False,
        help_text="Whether it takes Anthropic's hints for the cache, cache_control, on the parts of a chat's messages. "
        "Else they are left out of what is translated, and named.",
    )
    reasoning_back = orm.CharField(
        max_length=32,
        blank=True,
        choices=ReasoningBack.choices,
        help_text="How it takes back the reasoning of earlier turns, where a conversation is translated for it. Empty: "
        "it does not.",
    )
    endpoints = orm.JSONField(
        default=list,
        blank=True,
        validators=[validate_endpoints],
        help_text="What it has of chat, completions, embeddings and responses. Empty: as this type has it.",
    )
    note = orm.TextField(blank=True)

    # Trust is not part of the history: to revert to an old address must not bring back the trust it once had.
    history = HistoricalRecords(excluded_fields=["trusted_base_url"])

    class Meta:
        ordering = ["name"]
        constraints = [
            orm.CheckConstraint(
                condition=~Q(name=""), name="provider_has_a_name", violation_error_message="A provider needs a name."
            ),
            orm.CheckConstraint(
                condition=Q(type__in=ProviderType.values),
                name="provider_type_is_known",
                violation_error_message="The type is unknown.",
            ),
            orm.CheckConstraint(
                condition=~Q(type=ProviderType.VLLM) | ~Q(base_url=""),
                name="provider_says_where_it_lives",
                violation_error_message="A provider of this type needs the URL where it lives.",
            ),
            orm.CheckConstraint(
                condition=Q(connect_timeout__gt=0, first_byte_timeout__gt=0, idle_timeout__gt=0, total_timeout__gt=0),
                name="provider_timeouts_are_positive",
                violation_error_message="Every timeout is more than 0 seconds.",
            ),
            orm.CheckConstraint(
                condition=Q(limit_field__in=["", *LimitField.values]),
                name="provider_limit_field_is_known",
                violation_error_message="The field for the limit is unknown.",
            ),
            orm.CheckConstraint(
                condition=Q(reasoning_back__in=["", *ReasoningBack.values]),
                name="provider_reasoning_back_is_known",
                violation_error_message="The way to take reasoning back is unknown.",
            ),
            orm.CheckConstraint(
                condition=~Q(base_url="") | Q(auth_header="", path=""),
                name="provider_that_differs_says_where",
                violation_error_message="What differs belongs to an address: give the URL where it lives.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Say which field is missing, or does not go with the others, before the database does."""
        kind = ProviderType(self.type) if self.type in ProviderType.values else None
        if kind and kind.needs_base_url and not self.base_url:
            raise ValidationError({"base_url": "A provider of this type needs the URL where it lives."})
        if (self.auth_header or self.path or self.query) and not self.base_url:
            told = "What differs belongs to an address: give the URL where it lives."
            raise ValidationError({"base_url": told})
        if kind and self.limit_field and not kind.is_like_openai:
            raise ValidationError({"limit_field": "A provider of this type has one field for the limit only."})
        for name in ("cache_control", "reasoning_back"):
            if kind and getattr(self, name) and not kind.is_like_openai:
                raise ValidationError({name: "This says something of chats only."})
        extra = self.extra_headers if isinstance(self.extra_headers, dict) else {}
        if self.auth_header.lower() in map(str.lower, extra):
            raise ValidationError({"extra_headers": f"The header {self.auth_header} carries the key."})

    @property
    def key_header(self) -> str:
        """The header that carries the key: the row's, or else that of its type."""
        return self.auth_header or ProviderType(self.type).default_auth_header

    @property
    def target(self) -> str:
        """All of the row that says where calls go, as one text; the base URL alone where nothing differs."""
        if not self.path and not self.query:
            return self.base_url
        return f"{self.base_url} {self.path} {self.encoded_query}"

    @property
    def encoded_query(self) -> str:
        """The parameters as a URL has them, in one order: databases keep none."""
        return urlencode(sorted((self.query or {}).items()))

    @property
    def known_endpoints(self) -> frozenset[str]:
        """What it has: as the row says, or else as its type has it."""
        if self.endpoints:
            return frozenset(self.endpoints)
        kind = ProviderType(self.type)
        usual = {"chat", "completions", "embeddings"} if kind.is_like_openai else set()
        # many servers that are like OpenAI otherwise have no Responses: of those elsewhere the row must say so
        at_home = kind is ProviderType.OPENAI and self.base_url.rstrip("/") in {"", kind.default_base_url}
        return frozenset(usual | {"responses"} if at_home else usual)

    @property
    def may_be_private(self) -> bool:
        """Whether its address was set by someone with a shell, who may point it at a private network."""
        return bool(self.base_url) and self.target == self.trusted_base_url
