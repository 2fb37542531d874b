"""Providers and models as the gateway sees them, made without a database."""

from itertools import count
from typing import Any

from registry.models import ProviderType
from registry.snapshot import ModelFacts, ProviderFacts

_keys = count(1)


def provider_facts(**changed: Any) -> ProviderFacts:
    """Return an echo provider that can be called, with these facts changed."""
    facts: dict[str, Any] = {
        "pk": 1,
        "name": "echo",
        "type": ProviderType.ECHO,
        "base_url": "",
        "key": None,
        "problem": "",
        "enabled": True,
        "may_be_private": False,
        "connect_timeout": 1.0,
        "first_byte_timeout": 2.0,
        "idle_timeout": 2.0,
        "total_timeout": 5.0,
        "extra_headers": (),
        "auth_header": ProviderType(changed.get("type", ProviderType.ECHO)).default_auth_header,
        "endpoints": frozenset({"chat", "completions", "embeddings"}),
    }
    return ProviderFacts(**facts | changed)


def model_facts(**changed: Any) -> ModelFacts:
    """Return a model for chat at the echo provider, with these facts changed."""
    facts: dict[str, Any] = {
        "pk": next(_keys),
        "id": "m",
        "name": "m",
        "provider": provider_facts(),
        "weight": 50.0,
        "cost_per_1k": 0.0,
        "input_per_1k": None,
        "output_per_1k": None,
        "cache_read_per_1k": None,
        "cache_write_per_1k": None,
        "cache_write_1h_per_1k": None,
        "context_size": 8192,
        "max_output_tokens": None,
        "capabilities": frozenset({"chat", "completion"}),
        "aliases": (),
        "enabled": True,
        "created": 1,
    }
    return ModelFacts(**facts | changed)
