"""The rows as a configuration file that loads back to the same rows, without secrets."""

import json
from dataclasses import dataclass
from typing import Any

from registry.config import targets
from registry.config.faults import Fault
from registry.config.rows import Row, check, facts_of
from registry.config.schema import survey
from registry.models import PRICES, Alias, Model, Provider

# Written even where they are the default: what a reader looks for in every entry.
_ALWAYS = frozenset({"weight", "cost_per_1k", "capabilities"})


@dataclass(frozen=True)
class Exported:
    """A configuration file as text, the providers whose stored key it leaves out, and why it would not load.

    `untrusted` are the providers whose address came from the admin: to load the file is to say that it may be private.
    """

    text: str
    without_key: tuple[str, ...]
    untrusted: tuple[str, ...]
    faults: tuple[Fault, ...]


def export() -> Exported:
    """Write every provider, model and alias; a key appears only as the name of its environment variable."""
    providers = list(Provider.objects.select_related("secret"))
    models = Model.objects.select_related("provider")
    document = {
        "providers": [_written(row) | _key(row) for row in providers],
        "models": [{"id": row.public_id, "provider": row.provider.name} | _written(row) for row in models],
    }
    aliases = Alias.objects.prefetch_related("targets__model")
    if written := [_written(row) | {"models": targets.held_by(row)} for row in aliases]:
        document["aliases"] = written
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    config, faults = survey(text)
    stored = tuple(row.name for row in providers if row.secret is not None and not row.secret.env_name)
    untrusted = tuple(row.name for row in providers if row.base_url and not row.may_be_private)
    return Exported(text, stored, untrusted, (*faults, *check(config, faults)))


def _written(row: Row) -> dict[str, Any]:
    """The fields that say something: those that always do, and those that are not what a new row has anyway."""
    facts = facts_of(row)
    facts.pop("trusted_base_url", None)  # follows from base_url when the file is loaded
    fresh = facts_of(type(row)(name=""))
    written = {name: value for name, value in facts.items() if name in _ALWAYS or value != fresh[name]}
    for name in _unsaid(row) if isinstance(row, Model) else ():
        written.pop(name, None)
    return written


def _unsaid(model: Model) -> list[str]:
    """The fields that say more, or say it twice, where they are written: a price of 0 means that a model is free."""
    if model.cost_per_1k or any(getattr(model, price) for price in PRICES):
        return []
    return ["is_free"] if model.is_free else ["cost_per_1k"]


def _key(provider: Provider) -> dict[str, str]:
    secret = provider.secret
    return {"api_key_env": secret.env_name} if secret is not None and secret.env_name else {}
