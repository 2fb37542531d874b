"""Provider: the row that says where a service lives, which language it speaks and how long to wait for it."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from registry.validators import validate_base_url, validate_characters, validate_extra_headers, validate_seconds
from vault.models import Secret


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


class Provider(models.Model):
    """A service that answers: where it lives, which language it speaks and how long we wait for it."""

    name = models.CharField(max_length=64, unique=True, validators=[validate_characters])
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
