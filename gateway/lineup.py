"""Who may answer requests of one shape, worked out once for a picture of the registry.

The shape is all that a request asks for beside its words, its size and the numbers that it sets as limits. What those
decide, and what cools, is left to the router.
"""

import difflib
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

from django.conf import settings

from gateway import tokens
from gateway.adapters.kinds import ADAPTERS
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.exchange import COMPLETION, EMBEDDING, Excluded, Policy, Request
from gateway.metrics import Standings
from gateway.scoring import STEADY, STRATEGIES, Candidate, Scored, rank
from registry.models import Capability
from registry.snapshot import ModelFacts, Snapshot

AUTO: Final = "auto"
NOT_NAMED: Final = "not named by the caller"
_MOST_SHAPES: Final = 128  # of one picture; callers make them up
_KNOWN: Final = "lineups"
_MOST_SEATS: Final = 65_536  # models in all shapes of one picture
# What serves a format, any of these; a chat model can be given the prompt of a completion.
_ABLE: Final = {
    COMPLETION: (Capability.COMPLETION, Capability.CHAT),
    EMBEDDING: (Capability.EMBEDDING,),
}
_DETAILS: Final = frozenset({Capability.TOOLS, Capability.VISION, Capability.JSON, Capability.STREAMING})


@dataclass(frozen=True, slots=True)
class Tier:
    """Models that are ranked among themselves, with the weights that an alias gives them."""

    models: Sequence[ModelFacts]
    strategy: str
    weights: Mapping[int, float] = field(default_factory=dict)

    def rank(self, only: Collection[int], session: str, recent: Standings) -> list[Scored]:
        """Return those of the models that are among `only`, the best first."""
        candidates = [self._candidate(model, recent) for model in self.models if model.pk in only]
        return rank(candidates, self.strategy, session=session)

    def _candidate(self, model: ModelFacts, recent: Standings) -> Candidate:
        standing = recent.of(model.pk)
        weight = self.weights.get(model.pk, model.weight)
        return Candidate(model, weight, standing.ttft_ms, standing.failure_rate)


Ranking = Sequence[tuple[Tier, Scored]]


class _Known:
    """What is worked out once for a picture, whatever the shape, and the shapes asked for of late."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.defects = {model.pk: defect for model in snapshot.models if (defect := _defect(model))}
        self.lineups: dict[Hashable, Lineup] = {}
        self._models = snapshot.models
        self._rankings: dict[str, Ranking] = {}

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Return that of a picture."""
        if _KNOWN not in snapshot.derived:
            snapshot.derived[_KNOWN] = cls(snapshot)
        known: Self = snapshot.derived[_KNOWN]
        return known

    def ranking(self, strategy: str) -> Ranking:
        """Return all models in the order of a steady strategy."""
        if strategy not in self._rankings:
            tier = Tier(self._models, strategy)
            keys = frozenset(model.pk for model in self._models)
            self._rankings[strategy] = [(tier, scored) for scored in tier.rank(keys, "", Standings())]
        return self._rankings[strategy]

    def remember(self, shape: Hashable, lineup: "Lineup") -> None:
        """Keep a shape, which forgets those that were not asked for the longest."""
        self.lineups[shape] = lineup
        most = max(1, min(_MOST_SHAPES, _MOST_SEATS // max(1, len(self._models))))
        while len(self.lineups) > most:
            del self.lineups[next(iter(self.lineups))]


class Lineup:
    """The models of a picture as they stand to all requests of a shape."""

    def __init__(self, request: Request, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.tiers = _tiers(request, snapshot)
        """Groups of models in the order in which they are tried."""
        self.unfit = _unfit(request, snapshot, _judged(self.tiers, request))
        """By the key of a model: the one reason, other than words and size, why it cannot serve."""
        self.fit = tuple(model for model in snapshot.models if model.pk not in self.unfit)
        self.keys = frozenset(model.pk for model in self.fit)
        self.judging = tuple(model for model in self.fit if ADAPTERS[model.provider.type].judges(request, model))
        """Those of the fit to which the words of a request may be an obstacle."""
        self.judging_keys = frozenset(model.pk for model in self.judging)
        self._form = request.format

    @cached_property
    def left_out(self) -> Sequence[Excluded]:
        """The others, each with its reason."""
        return [Excluded(each.id, self.unfit[each.pk]) for each in self.snapshot.models if each.pk in self.unfit]

    @cached_property
    def ranking(self) -> Ranking | None:
        """All that are fit in their order, each once; None where it is another for each request."""
        if any(tier.strategy not in STEADY for tier in self.tiers):
            return None
        ranked = [pair for tier in self.tiers for pair in self._steady(tier)]
        return once_each(pair for pair in ranked if pair[1].candidate.model.pk in self.keys)

    def _steady(self, tier: Tier) -> Ranking:
        if tier.models is self.snapshot.models:
            return _Known.of(self.snapshot).ranking(tier.strategy)
        return [(tier, scored) for scored in tier.rank(self.keys, "", Standings())]

    @cached_property
    def models(self) -> Sequence[ModelFacts]:
        """Those of the `ranking`, in its order."""
        return [scored.candidate.model for _, scored in self.ranking or ()]

    def ranked(self, only: Collection[int], session: str, recent: Standings) -> Ranking:
        """Return those of the models that are among `only`, the best first; one that is in two tiers comes twice."""
        return [(tier, scored) for tier in self.tiers for scored in tier.rank(only, session, recent)]

    @cached_property
    def sizes(self) -> Sequence[tuple[ModelFacts, Sequence[int]]]:
        """Of those that are fit, one for each window and output, with the keys of all that have the same."""
        alike: dict[tuple[int, int | None], tuple[ModelFacts, list[int]]] = {}
        for model in self.fit:
            alike.setdefault((model.context_size, model.max_output_tokens), (model, []))[1].append(model.pk)
        return list(alike.values())

    def beyond(self, policy: Policy) -> dict[int, str]:
        """Return those of the fit, by their keys, that a caller's limits of cost and weight leave out, and why."""
        most, least = policy.max_cost, policy.min_weight
        light = (
            {} if least is None else {each.pk: f"weighs less than {least}" for each in self.fit if each.weight < least}
        )
        if most is None:
            return light
        return light | {each.pk: f"costs more than {most} per 1k" for each in self.fit if each.cost_per_1k > most}

    def has_room_for(self, request: Request) -> bool:
        """Whether every window holds the prompt and all the output that is asked for; false if not seen at once."""
        if request.max_tokens is None:
            return request.estimate <= self._least_left
        return request.estimate + request.max_tokens <= self._smallest

    @cached_property
    def _least_left(self) -> int:
        return min((each.context_size - room(self._form, None, each) for each in self.fit), default=0)

    @cached_property
    def _smallest(self) -> int:
        return min((each.context_size for each in self.fit), default=0)


def lineup(request: Request, snapshot: Snapshot) -> Lineup:
    """Return who may answer requests of this shape; raises `ModelNotFound` and `InvalidRequest`."""
    shape = _shape(request)
    known = _Known.of(snapshot)
    found = known.lineups.pop(shape, None)
    if found is None:
        _check_providers(request.policy.exclude_providers, snapshot)
        found = Lineup(request, snapshot)
    known.remember(shape, found)
    return found


def once_each(ranked: Iterable[tuple[Tier, Scored]]) -> Ranking:
    """Return each model at the first of its places."""
    places: dict[int, tuple[Tier, Scored]] = {}
    for tier, scored in ranked:
        places.setdefault(scored.candidate.model.pk, (tier, scored))
    return list(places.values())


def is_callable(model: ModelFacts) -> bool:
    """Whether a model can be called at all, by whatever request."""
    return not _defect(model)


def room(form: str, max_tokens: int | None, model: ModelFacts) -> int:
    """Return how many tokens of a model's window are to be kept for its answer."""
    return 0 if form == EMBEDDING else tokens.room(max_tokens, model.max_output_tokens, model.context_size)


def _shape(request: Request) -> Hashable:
    policy = request.policy
    return (
        *(request.format, request.needs, request.model, settings.TOKENHUB_STRATEGY),
        *(tuple(policy.models), frozenset(policy.exclude_providers), policy.fallback, policy.strategy),
    )


def _tiers(request: Request, snapshot: Snapshot) -> list[Tier]:
    """Return the models in the order in which groups of them are tried: each that was named, then all others."""
    policy = request.policy
    strategy = policy.strategy or settings.TOKENHUB_STRATEGY
    if strategy not in STRATEGIES:
        raise InvalidRequest(f"`strategy` is one of {', '.join(STRATEGIES)}.", param="strategy")
    one = [request.model] if request.model and request.model != AUTO else []
    tiers = [_named(name, snapshot, policy.strategy, param="model") for name in one]
    tiers += [_named(name, snapshot, policy.strategy, param="models") for name in policy.models]
    if not tiers or (policy.fallback and not policy.models and request.format != EMBEDDING):
        tiers.append(Tier(snapshot.models, strategy))
    return tiers


def _judged(tiers: Sequence[Tier], request: Request) -> dict[int, str]:
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


def _check_providers(names: Iterable[str], snapshot: Snapshot) -> None:
    """Raise for a provider that does not exist: who misspells one would send there what must not go there."""
    unknown = next((name for name in names if name not in snapshot.providers), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, {model.provider.name for model in snapshot.models}, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InvalidRequest(f"No provider of a model is named {unknown!r}.{hint}", param="exclude_providers")


def _named(name: str, snapshot: Snapshot, asked: str, *, param: str) -> Tier:
    if group := snapshot.alias(name):
        weights = {model.pk: weight for model, weight in group.targets if weight is not None}
        own = group.strategy or ("weighted" if weights else settings.TOKENHUB_STRATEGY)
        return Tier([model for model, _ in group.targets], asked or own, weights)
    if found := snapshot.named(name):
        return Tier(found, settings.TOKENHUB_STRATEGY)
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


def _unfit(request: Request, snapshot: Snapshot, named: Mapping[int, str]) -> dict[int, str]:
    """Return the models, by their keys, that cannot serve requests of this shape, each with the one reason why."""
    defects = _Known.of(snapshot).defects
    excluded = frozenset(request.policy.exclude_providers)
    lacks: dict[tuple[frozenset[str], int], str] = {}
    found: dict[int, str] = {}
    for model in snapshot.models:
        reason = defects.get(model.pk) or named.get(model.pk, NOT_NAMED)
        if not reason:
            alike = (model.capabilities, id(model.provider))
            if alike not in lacks:
                lacks[alike] = _lacks(model, request)
            reason = f"cannot do {lacks[alike]}" if lacks[alike] else ""
        if not reason and model.provider.name in excluded:
            reason = f"provider {model.provider.name} excluded by the caller"
        if reason:
            found[model.pk] = reason
    return found


def _lacks(model: ModelFacts, request: Request) -> str:
    """Return what a model cannot do of what is needed; one that names none of the details is not judged by them."""
    asked, *others = _ABLE.get(request.format, (Capability.CHAT,))
    if not model.capabilities & {asked, *others}:
        return asked.value
    if not _DETAILS & model.capabilities:
        return ""
    return ", ".join(sorted(request.needs - model.capabilities - ADAPTERS[model.provider.type].serves(request, model)))
