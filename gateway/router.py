"""From a request and a picture of the registry to a route: who can serve, in which order, and why the others cannot."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from django.conf import settings

from gateway import tokens
from gateway.adapters.kinds import ADAPTERS
from gateway.conversation import Untranslatable
from gateway.cooldown import Cooldowns, Cooling, cooldowns
from gateway.errors import (
    AllCooling,
    AllLimited,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NoModelCanServe,
    PromptTooLong,
    Unserviceable,
)
from gateway.exchange import COMPLETION, EMBEDDING, RESPONSES, Decision, Excluded, Ranked, Request
from gateway.metrics import Standings, standings
from gateway.scoring import STRATEGIES, Candidate, Scored, rank
from registry.models import Capability
from registry.snapshot import ModelFacts, Snapshot

AUTO: Final = "auto"
_LEAST_ROOM: Final = 256  # tokens of output, below which an answer is not worth its prompt
DOUBT: Final = 1.3  # by which the estimate of a prompt may be too high
_MOST_TOLD: Final = 10
_NOT_NAMED: Final = "not named by the caller"
# What serves a format, any of these; a chat model can be given the prompt of a completion.
_ABLE: Final = {
    COMPLETION: (Capability.COMPLETION, Capability.CHAT),
    EMBEDDING: (Capability.EMBEDDING,),
}
# Where the prompt stands that is too long, if not in messages.
_PROMPTS: Final = {COMPLETION: "prompt", EMBEDDING: "input", RESPONSES: "input"}
_DETAILS: Final = frozenset({Capability.TOOLS, Capability.VISION, Capability.JSON, Capability.STREAMING})


@dataclass(frozen=True, slots=True)
class Route:
    """The models to try, the best first and at least one, and the decision that led there."""

    models: Sequence[ModelFacts]
    decision: Decision
    probe: bool = False
    """Whether the one model is cooling, and this request is to find out if it has recovered."""
    rooms: Mapping[int, int] = field(default_factory=dict)
    """By the key of a model: the tokens of output that it has room for, where the caller asked for more."""
    missing: Sequence[Excluded] = ()
    """Models that the caller named, and why they are not on the route."""


@dataclass(frozen=True, slots=True)
class _Tier:
    """Models that are ranked among themselves, with the weights that an alias gives them."""

    models: Sequence[ModelFacts]
    strategy: str
    weights: Mapping[int, float] = field(default_factory=dict)

    def rank(self, only: Iterable[int], session: str, recent: Standings) -> list[Scored]:
        """Return those of the models that are among `only`, the best first."""
        candidates = [self._candidate(model, recent) for model in self.models if model.pk in only]
        return rank(candidates, self.strategy, session=session)

    def _candidate(self, model: ModelFacts, recent: Standings) -> Candidate:
        standing = recent.of(model.pk)
        weight = self.weights.get(model.pk, model.weight)
        return Candidate(model, weight, standing.ttft_ms, standing.failure_rate)


class _Sifted:
    """What became of each model: able to serve, able but cooling, or left out for one reason."""

    def __init__(self) -> None:
        self.able: set[int] = set()
        self.cooling: dict[int, Cooling] = {}
        self.rooms: dict[int, int] = {}
        self.excluded: list[Excluded] = []

    @classmethod
    def of(
        cls, snapshot: Snapshot, request: Request, named: Mapping[int, str], cooling: Cooldowns, *, tight: bool
    ) -> Self:
        """Sift all models; with `tight` a window counts if it may hold the prompt and some output, if not all."""
        sifted = cls()
        for model in snapshot.models:
            reason = _obstacle(model, request, named) or sifted._too_small(model, request, tight=tight)
            state = None if reason else cooling.state(model)
            if state:
                sifted.cooling[model.pk] = state
                reason = f"cooling until {datetime.fromtimestamp(state.until, UTC):%H:%M:%S} UTC ({state.reason})"
            if reason:
                sifted.excluded.append(Excluded(model.id, reason))
            else:
                sifted.able.add(model.pk)
        return sifted

    def _too_small(self, model: ModelFacts, request: Request, *, tight: bool) -> str:
        room = _room(request, model)
        left = model.context_size - request.estimate
        if left >= room:
            return ""
        surely_left = model.context_size - int(request.estimate / DOUBT)
        if tight and min(room, _LEAST_ROOM) <= surely_left:
            if request.max_tokens is not None:
                self.rooms[model.pk] = min(room, max(left, min(_LEAST_ROOM, surely_left)))
            return ""
        return f"context too small: needs about {request.estimate + room}, has {model.context_size}"


def route(
    request: Request, snapshot: Snapshot, *, cooling: Cooldowns = cooldowns, recent: Standings = standings
) -> Route:
    """Return the route of a request; raises what says best why there is none.

    `ModelNotFound`, `PromptTooLong`, `Unserviceable` and `InvalidRequest` are the caller's to mend; `NoModelCanServe`,
    `AllCooling` and `AllLimited` are not.
    """
    _check_providers(request.policy.exclude_providers, snapshot)
    tiers = _tiers(request, snapshot)
    named = _judged(tiers, request)
    sifted = _Sifted.of(snapshot, request, named, cooling, tight=False)
    if not sifted.able and not sifted.cooling:
        sifted = _Sifted.of(snapshot, request, named, cooling, tight=True)
    if not sifted.able and not sifted.cooling:
        raise _decided(_nobody(request, snapshot, sifted.excluded, named), request, snapshot, sifted)
    probes = {pk for pk, state in sifted.cooling.items() if state.may_probe}
    session = request.policy.session
    ranked = [(tier, scored) for tier in tiers for scored in tier.rank(sifted.able or probes, session, recent)]
    if not ranked:
        refusal = _all_cooling(sifted.cooling.values(), cooling.now())
        refusal.message += told_of(_missing(request, tiers, sifted.excluded))
        raise _decided(refusal, request, snapshot, sifted)
    if not sifted.able:
        ranked = ranked[:1]
    by_model = {scored.candidate.model.pk: (tier, scored) for tier, scored in reversed(ranked)}
    order = dict.fromkeys(scored.candidate.model.pk for _, scored in ranked)
    told = [_ranked(*by_model[pk], request) for pk in order]
    left_out = [each for each in sifted.excluded if each.model not in {one.model for one in told}]
    decision = Decision(request.estimate, snapshot.version, told, left_out)
    models = [by_model[pk][1].candidate.model for pk in order]
    missing = _missing(request, tiers, left_out)
    return Route(models, decision, probe=not sifted.able, rooms=sifted.rooms, missing=missing)


def told_of(missing: Sequence[Excluded]) -> str:
    """Return a sentence about the models that the caller named in vain, after a blank; empty if there are none."""
    if not missing:
        return ""
    told = [f"{each.model}: {each.reason}" for each in missing[:_MOST_TOLD]]
    return f" What was asked for is left out ({'; '.join(told)})."


def is_callable(model: ModelFacts) -> bool:
    """Whether a model can be called at all, by whatever request."""
    return not _defect(model)


def _tiers(request: Request, snapshot: Snapshot) -> list[_Tier]:
    """Return the models in the order in which groups of them are tried: each that was named, then all others."""
    policy = request.policy
    strategy = policy.strategy or settings.TOKENHUB_STRATEGY
    if strategy not in STRATEGIES:
        raise InvalidRequest(f"`strategy` is one of {', '.join(STRATEGIES)}.", param="strategy")
    one = [request.model] if request.model and request.model != AUTO else []
    tiers = [_named(name, snapshot, policy.strategy, param="model") for name in one]
    tiers += [_named(name, snapshot, policy.strategy, param="models") for name in policy.models]
    if not tiers or (policy.fallback and not policy.models and request.format != EMBEDDING):
        tiers.append(_Tier(snapshot.models, strategy))
    return tiers


def _judged(tiers: Sequence[_Tier], request: Request) -> dict[int, str]:
    """Return the models that may answer, by their keys, each with what speaks against it, if anything.

    Vectors of different models cannot be compared, so of several only those count that are the first one elsewhere:
    their providers call them the same, but for what stands before a slash.
    """
    models = [model for tier in tiers for model in tier.models]
    is_vectors = request.format == EMBEDDING
    return {model.pk: _other_vectors(model, models[0]) if is_vectors else "" for model in models}


def _other_vectors(model: ModelFacts, first: ModelFacts) -> str:
    here, there = (each.name.rpartition("/")[2].lower() for each in (model, first))
    return "" if here == there else f"makes other vectors than {first.id}: it is {model.name}, not {first.name}"


def _missing(request: Request, tiers: Sequence[_Tier], excluded: Sequence[Excluded]) -> list[Excluded]:
    count = len(request.policy.models) + bool(request.model and request.model != AUTO)
    named = {model.id for tier in tiers[:count] for model in tier.models}
    return [each for each in excluded if each.model in named]


def _check_providers(names: Iterable[str], snapshot: Snapshot) -> None:
    """Raise for a provider that does not exist: who misspells one would send there what must not go there."""
    unknown = next((name for name in names if name not in snapshot.providers), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, {model.provider.name for model in snapshot.models}, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InvalidRequest(f"No provider of a model is named {unknown!r}.{hint}", param="exclude_providers")


def _named(name: str, snapshot: Snapshot, asked: str, *, param: str) -> _Tier:
    if group := snapshot.alias(name):
        weights = {model.pk: weight for model, weight in group.targets if weight is not None}
        own = group.strategy or ("weighted" if weights else settings.TOKENHUB_STRATEGY)
        return _Tier([model for model, _ in group.targets], asked or own, weights)
    if found := snapshot.named(name):
        return _Tier(found, settings.TOKENHUB_STRATEGY)
    near = difflib.get_close_matches(name, snapshot.names, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else " `GET /v1/models` lists those that there are."
    raise ModelNotFound(f"The model {name!r} does not exist.{hint}", param=param)


def _defect(model: ModelFacts) -> str:
    """Return why no request can be served by a model; empty if some can."""
    provider = model.provider
    defects = (
        (not model.enabled, "disabled"),
        (not provider.enabled, f"provider {provider.name} disabled"),
        (provider.type not in ADAPTERS, f"no adapter for providers of type {provider.type}"),
        # what is wrong with it is for the admin's page: it may name files and variables
        (bool(provider.problem), f"provider {provider.name} has no key that works"),
    )
    return next((reason for stands, reason in defects if stands), "")


def _obstacle(model: ModelFacts, request: Request, named: Mapping[int, str]) -> str:
    """Return the one reason, other than its size, why a model cannot serve a request; empty if it can."""
    if defect := _defect(model):
        return defect
    policy, provider = request.policy, model.provider
    unwanted = named.get(model.pk, _NOT_NAMED)
    dear = policy.max_cost is not None and model.cost_per_1k > policy.max_cost
    light = policy.min_weight is not None and model.weight < policy.min_weight
    obstacles = (
        (bool(unwanted), unwanted),
        (bool(lack := _lacks(model, request)), f"cannot do {lack}"),
        (provider.name in policy.exclude_providers, f"provider {provider.name} excluded by the caller"),
        (dear, f"costs more than {policy.max_cost} per 1k"),
        (light, f"weighs less than {policy.min_weight}"),
    )
    reason = next((reason for stands, reason in obstacles if stands), "")
    return reason or ADAPTERS[provider.type].obstacle(request, model)


def _lacks(model: ModelFacts, request: Request) -> str:
    """Return what a model cannot do of what is needed; one that names none of the details is not judged by them."""
    asked, *others = _ABLE.get(request.format, (Capability.CHAT,))
    if not model.capabilities & {asked, *others}:
        return asked.value
    if not _DETAILS & model.capabilities:
        return ""
    return ", ".join(sorted(request.needs - model.capabilities - ADAPTERS[model.provider.type].serves(request, model)))


def _ranked(tier: _Tier, scored: Scored, request: Request) -> Ranked:
    model = scored.candidate.model
    need = min(model.context_size, request.estimate + _room(request, model))
    return Ranked(model.id, model.provider.name, scored.score, scored.terms, tier.strategy, need)


def _room(request: Request, model: ModelFacts) -> int:
    if request.format == EMBEDDING:
        return 0
    return tokens.room(request.max_tokens, model.max_output_tokens, model.context_size)


def _decided(error: GatewayError, request: Request, snapshot: Snapshot, sifted: _Sifted) -> GatewayError:
    """Return the error with the decision that led to it, which can be read like any other."""
    error.decision = Decision(request.estimate, snapshot.version, (), sifted.excluded)
    return error


def _all_cooling(states: Iterable[Cooling], now: float) -> GatewayError:
    first = min(states, key=lambda state: state.until)
    wait = max(0.0, first.until - now)
    kind = AllLimited if first.reason == "rate_limit" else AllCooling
    return kind(f"Every model that could serve is cooling down ({first.reason}).", retry_after=wait)


def _nobody(
    request: Request, snapshot: Snapshot, excluded: Sequence[Excluded], named: Mapping[int, str]
) -> GatewayError:
    """Return why nobody can serve: the prompt if it alone is in the way, the request, or the registry."""
    windows = [model.context_size for model in snapshot.models if not _obstacle(model, request, named)]
    if windows:
        return PromptTooLong(
            f"This model's maximum context length is {max(windows)} tokens. However, your request needs about"
            f" {request.estimate} tokens and room for an answer.",
            param=_PROMPTS.get(request.format, "messages"),
        )
    told = [each for each in excluded if each.reason != _NOT_NAMED]
    fault = _fault(request)
    if isinstance(fault, InvalidRequest) and any(each.reason == str(fault) for each in told):
        return InvalidRequest(fault.message, param=fault.param)
    kind = Unserviceable if any(is_callable(model) for model in snapshot.models) else NoModelCanServe
    reasons = [f"{each.model}: {each.reason}" for each in told]
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    said = "; ".join(reasons[:_MOST_TOLD] + more) or "the registry is empty"
    is_alone = bool(told) and all(each.reason == str(fault) for each in told)
    param = fault.field if isinstance(fault, Untranslatable) and is_alone else None
    return kind(f"No model can serve this request ({said}).", param=param)


def _fault(request: Request) -> Untranslatable | InvalidRequest | None:
    """Return what keeps a request from being told in another format."""
    try:
        request.conversation.get()
    except (Untranslatable, InvalidRequest) as fault:
        return fault
    return None
