"""From a request and a picture of the registry to a route: who can serve, in which order, and why the others cannot."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.adapters.kinds import ADAPTERS
from gateway.errors import GatewayError, ModelNotFound, NoModelCanServe, PromptTooLong
from gateway.exchange import Decision, Excluded, Ranked, Request
from gateway.scoring import rank_key
from registry.snapshot import ModelFacts, Snapshot

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Route:
    """The models to try, the best first and at least one, and the decision that led there."""

    models: Sequence[ModelFacts]
    decision: Decision


def route(request: Request, snapshot: Snapshot) -> Route:
    """Return the route of a request; raises `ModelNotFound`, `PromptTooLong` or `NoModelCanServe`.

    A model that the caller names, by its id or an alias, comes first; the others follow by their score.
    """
    named = _named(request.model, snapshot)
    need = request.estimate + (request.max_tokens or 0)
    fit: list[ModelFacts] = []
    excluded: list[Excluded] = []
    for model in snapshot.models:
        reason = _obstacle(model, request, need)
        if reason:
            excluded.append(Excluded(model.id, reason))
        else:
            fit.append(model)
    if not fit:
        raise _nobody(request, need, snapshot, excluded)
    fit.sort(key=lambda model: (model not in named, *rank_key(model)))
    ranked = [Ranked(m.id, m.provider.name, m.score, m.weight, m.cost_per_1k) for m in fit]
    return Route(fit, Decision(request.estimate, need, snapshot.version, ranked, excluded))


def _named(name: str, snapshot: Snapshot) -> Sequence[ModelFacts]:
    if not name or name == AUTO:
        return ()
    found = snapshot.named(name)
    if not found:
        known = [model.id for model in snapshot.models] + [
            alias for model in snapshot.models for alias in model.aliases
        ]
        near = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else " `GET /v1/models` lists those that there are."
        raise ModelNotFound(f"The model {name!r} does not exist.{hint}", param="model")
    return found


def is_callable(model: ModelFacts) -> bool:
    """Whether a model can be called at all, by whatever request."""
    return not _defect(model)


def _defect(model: ModelFacts) -> str:
    """Return why no request can be served by a model; empty if some can."""
    provider = model.provider
    defects = (
        (not model.enabled, "disabled"),
        (not provider.enabled, f"provider {provider.name} disabled"),
        (provider.type not in ADAPTERS, f"no adapter for providers of type {provider.type}"),
        (bool(provider.problem), f"provider {provider.name}: {provider.problem}"),
    )
    return next((reason for stands, reason in defects if stands), "")


def _obstacle(model: ModelFacts, request: Request, need: int) -> str:
    """Return the one reason why a model cannot serve a request; empty if it can."""
    defect = _defect(model)
    obstacles = (
        (bool(defect), defect),
        (request.capability not in model.capabilities, f"cannot do {request.capability}"),
        (need > model.context_size, f"context too small: needs about {need}, has {model.context_size}"),
        (
            request.max_cost is not None and model.cost_per_1k > request.max_cost,
            f"costs more than {request.max_cost} per 1k",
        ),
    )
    return next((reason for stands, reason in obstacles if stands), "")


def _nobody(request: Request, need: int, snapshot: Snapshot, excluded: Sequence[Excluded]) -> GatewayError:
    """Return why nobody can serve: the prompt if it alone is in the way, the registry otherwise."""
    without_length = [m for m in snapshot.models if not _obstacle(m, request, 0)]
    if without_length:
        largest = max(model.context_size for model in without_length)
        return PromptTooLong(
            f"This model's maximum context length is {largest} tokens. However, your request needs about {need}.",
            param="messages",
        )
    reasons = "; ".join(f"{exclusion.model}: {exclusion.reason}" for exclusion in excluded) or "the registry is empty"
    return NoModelCanServe(f"No model can serve this request ({reasons}).")
