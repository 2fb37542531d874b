"""Rows for tests: valid, with what a test does not care about filled in."""

from typing import Any

from registry.models import Alias, Model, Provider
from vault.models import Secret


def a_provider(name: str = "echo", **fields: Any) -> Provider:
    """A provider that needs nothing."""
    return Provider.objects.create(name=name, **{"type": "echo", **fields})


def a_model(public_id: str = "small", provider: Provider | None = None, **fields: Any) -> Model:
    """A model of this provider, or of one made for it."""
    provider = provider or Provider.objects.first() or a_provider()
    return Model.objects.create(public_id=public_id, provider=provider, **{"name": "m", "context_size": 1000, **fields})


def an_alias(name: str = "fast", *targets: Model | tuple[Model, float | None], **fields: Any) -> Alias:
    """An alias of these models, each alone or with its weight."""
    alias = Alias.objects.create(name=name, **fields)
    for target in targets:
        model, weight = target if isinstance(target, tuple) else (target, None)
        alias.targets.create(model=model, weight=weight)
    return alias


def a_secret(name: str = "team", text: str = "sk-0123456789abcdef") -> Secret:
    """A stored secret."""
    secret = Secret(name=name)
    secret.store(text)
    secret.save()
    return secret


def a_reference(name: str, env_name: str) -> Secret:
    """A secret that an environment variable holds."""
    secret = Secret(name=name)
    secret.refer(env_name)
    secret.save()
    return secret
