"""A provider's key: compared without being shown, and kept in the vault.

Its state is a text that a difference may hold: "" for none, `env:NAME`, or `sealed:<id>.<digest>` for a key in the
vault, where the digest is keyed by the vault's key of that id. Equal states mean equal keys.
"""

import hmac
from collections.abc import Collection
from hashlib import sha256
from itertools import chain, count

from registry.config.schema import Entry
from registry.models import Provider
from vault.models import Secret
from vault.ring import get_ring

_SEALED = "sealed:"
_LABEL = "registry.config: digest of a provider's key"


def state_given(entry: Entry, *, like: Collection[str] = ()) -> str | None:
    """The state that an entry asks for, comparable to the states `like`; None when it leaves the key as it is."""
    if "api_key" in entry.given:
        return _digest(entry.given["api_key"].reveal(), like)
    return f"env:{entry.given['api_key_env']}" if "api_key_env" in entry.given else None


def state_of(secret: Secret | None, *, like: Collection[str]) -> str:
    """The state of a provider's secret. It is opened only when one of `like` is a digest that it could equal."""
    if secret is None:
        return ""
    if secret.env_name:
        return f"env:{secret.env_name}"
    return _digest(secret.value, like) if any(state.startswith(_SEALED) for state in like) else _SEALED


def _digest(key: str, like: Collection[str]) -> str:
    ring = get_ring()
    # the other digest may have been made before the vault's key was rotated
    others = [state.removeprefix(_SEALED).partition(".")[0] for state in like if state.startswith(_SEALED)]
    key_id = next((key_id for key_id in others if key_id in ring.ids), ring.primary)
    digest = hmac.new(ring.derive(_LABEL, key_id=key_id), key.encode(), sha256)
    return f"{_SEALED}{key_id}.{digest.hexdigest()}"


def keep(provider: Provider, entry: Entry, reason: str) -> Secret:
    """The secret, saved and named after the provider, that holds what the entry gives; `reason` is for its history.

    A secret that others use, or that nobody uses, is never overwritten: the next free name is taken (`openai-2`).
    """
    wanted = state_given(entry) or ""
    for name in chain([provider.name], (f"{provider.name}-{number}" for number in count(2))):
        secret = Secret.objects.filter(name=name).first()
        if secret is not None and state_of(secret, like=[wanted]) == wanted:
            return secret
        if secret is None or _is_only_of(secret, provider):
            break
    secret = secret or Secret(name=name)
    if "api_key" in entry.given:
        secret.store(entry.given["api_key"].reveal())
    else:
        secret.refer(entry.given["api_key_env"])
    secret._change_reason = reason  # type: ignore[attr-defined]  # noqa: SLF001  # how simple_history is told
    secret.save()
    return secret


def _is_only_of(secret: Secret, provider: Provider) -> bool:
    return list(secret.providers.values_list("pk", flat=True)) == [provider.pk]
