"""From a request and a picture of the registry to a route: who can serve, in which order, and why the others cannot."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from gateway.adapters.kinds import ADAPTERS
from gateway.conversation import Untranslatable
from gateway.cooldown import Cooldowns, Cooling, cooldowns
from gateway.errors import (
    AllCooling,
    AllLimited,
    GatewayError,
    InvalidRequest,
    NoModelCanServe,
    PromptTooLong,
    Unserviceable,
)
from gateway.exchange import COMPLETION, EMBEDDING, RESPONSES, Decision, Excluded, Ranked, Request
from gateway.lineup import AUTO, NOT_NAMED, Lineup, Ranking, Tier, is_callable, lineup, once_each, room
from gateway.metrics import Standings, standings
from gateway.scoring import Scored
from registry.snapshot import ModelFacts, Snapshot

_LEAST_ROOM: Final = 256  # tokens of output, below which an answer is not worth its prompt
DOUBT: Final = 1.3  # by which the estimate of a prompt may be too high
_MOST_RANKED: Final = 20  # that a decision tells of where nobody asked for all
_MOST_TOLD: Final = 10
# Where the prompt stands that is too long, if not in messages.
_PROMPTS: Final = {COMPLETION: "prompt", EMBEDDING: "input", RESPONSES: "input"}


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
    unjudged: Collection[int] = frozenset()
    """The keys of those whose `obstacle` is to be looked at when it is their turn, which is seldom."""


class _Sifted:
    """What became of each model: able to serve, able but cooling, or left out for one reason."""

    def __init__(self, lineup: Lineup) -> None:
        self.lineup = lineup
        self.able: Collection[int] = lineup.keys
        self.cooling: dict[int, Cooling] = {}
        self.rooms: dict[int, int] = {}
        self.excluded: Sequence[Excluded] = lineup.left_out
        self.unjudged: Collection[int] = frozenset()

    @classmethod
    def of(cls, lineup: Lineup, request: Request, cooling: Cooldowns, *, judges_all: bool) -> Self:
        """Sift all models; where neither what a request says, nor its size, nor what cools is in the way, all at once.

        Of what is said the first model judges alone, if not all are asked to: that takes long where it is translated.
        """
        sifted = cls(lineup)
        if cooling.is_quiet and lineup.has_room_for(request):
            judges = lineup.judging if judges_all or not lineup.models else lineup.models[:1]
            if not any(obstacle(model, request) for model in judges):
                sifted.unjudged = lineup.judging_keys.difference(model.pk for model in judges)
                return sifted
        sifted._sift(request, cooling, tight=False)
        if not sifted.able and not sifted.cooling:
            sifted._sift(request, cooling, tight=True)
        return sifted

    @property
    def is_usual(self) -> bool:
        """Whether all can serve that are fit for such requests."""
        return self.able is self.lineup.keys

    def _sift(self, request: Request, cooling: Cooldowns, *, tight: bool) -> None:
        """Look at each model; with `tight` a window counts if it may hold the prompt and some output, if not all."""
        able: set[int] = set()
        excluded = []
        self.rooms = {}
        for model in self.lineup.snapshot.models:
            reason = self.lineup.unfit.get(model.pk) or obstacle(model, request)
            reason = reason or self._too_small(model, request, tight=tight)
            state = None if reason else cooling.state(model)
            if state:
                self.cooling[model.pk] = state
                reason = f"cooling until {datetime.fromtimestamp(state.until, UTC):%H:%M:%S} UTC ({state.reason})"
            if reason:
                excluded.append(Excluded(model.id, reason))
            else:
                able.add(model.pk)
        self.able, self.excluded = able, excluded

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
    request: Request,
    snapshot: Snapshot,
    *,
    cooling: Cooldowns = cooldowns,
    recent: Standings = standings,
    tells_all: bool = False,
) -> Route:
    """Return the route of a request; raises what says best why there is none.

    `ModelNotFound`, `PromptTooLong`, `Unserviceable` and `InvalidRequest` are the caller's to mend; `NoModelCanServe`,
    `AllCooling` and `AllLimited` are not. The decision tells of the best twenty models and takes for granted that those
    behind the first can say what is asked. Of all, and with all asked, it tells where `tells_all` or `explain` says so.
    """
    who = lineup(request, snapshot)
    tells_all = tells_all or request.policy.explain
    sifted = _Sifted.of(who, request, cooling, judges_all=tells_all)
    if not sifted.able and not sifted.cooling:
        raise _decided(_nobody(request, who, sifted.excluded), request, snapshot, sifted)
    ranking, models = _ranking(sifted, request, recent)
    if not ranking:
        refusal = _all_cooling(sifted.cooling.values(), cooling.now())
        refusal.message += told_of(_missing(request, who, sifted.excluded))
        raise _decided(refusal, request, snapshot, sifted)
    most = None if tells_all else _MOST_RANKED
    told = [_ranked(tier, scored, request) for tier, scored in ranking[:most]]
    left_out = sifted.excluded
    if not sifted.is_usual:
        on_it = {model.id for model in models}
        left_out = [each for each in left_out if each.model not in on_it]
    missing = _missing(request, who, left_out)
    decision = Decision(request.estimate, snapshot.version, told, left_out)
    return Route(
        models,
        decision,
        probe=not sifted.able,
        rooms=sifted.rooms,
        missing=missing,
        unjudged=sifted.unjudged,
    )


def _ranking(sifted: _Sifted, request: Request, recent: Standings) -> tuple[Ranking, Sequence[ModelFacts]]:
    """Return who can serve, the best first, and these models; where all cool, the one that may be probed."""
    who = sifted.lineup
    if sifted.is_usual and who.ranking is not None:
        return who.ranking, who.models
    probes = {pk for pk, state in sifted.cooling.items() if state.may_probe}
    ranked = once_each(who.ranked(sifted.able or probes, request.policy.session, recent))
    ranked = ranked if sifted.able else ranked[:1]
    return ranked, [scored.candidate.model for _, scored in ranked]


def told_of(missing: Sequence[Excluded]) -> str:
    """Return a sentence about the models that the caller named in vain, after a blank; empty if there are none."""
    if not missing:
        return ""
    told = [f"{each.model}: {each.reason}" for each in missing[:_MOST_TOLD]]
    return f" What was asked for is left out ({'; '.join(told)})."


def _missing(request: Request, who: Lineup, excluded: Sequence[Excluded]) -> list[Excluded]:
    count = len(request.policy.models) + bool(request.model and request.model != AUTO)
    named = {model.id for tier in who.tiers[:count] for model in tier.models}
    return [each for each in excluded if each.model in named]


def obstacle(model: ModelFacts, request: Request) -> str:
    """Return what in the words of a request keeps a model from answering; empty if nothing does."""
    return ADAPTERS[model.provider.type].obstacle(request, model)


def _ranked(tier: Tier, scored: Scored, request: Request) -> Ranked:
    model = scored.candidate.model
    need = min(model.context_size, request.estimate + _room(request, model))
    return Ranked(model.id, model.provider.name, scored.score, scored.terms, tier.strategy, need)


def _room(request: Request, model: ModelFacts) -> int:
    return room(request.format, request.max_tokens, model)


def _decided(error: GatewayError, request: Request, snapshot: Snapshot, sifted: _Sifted) -> GatewayError:
    """Return the error with the decision that led to it, which can be read like any other."""
    error.decision = Decision(request.estimate, snapshot.version, (), sifted.excluded)
    return error


def _all_cooling(states: Iterable[Cooling], now: float) -> GatewayError:
    first = min(states, key=lambda state: state.until)
    wait = max(0.0, first.until - now)
    kind = AllLimited if first.reason == "rate_limit" else AllCooling
    return kind(f"Every model that could serve is cooling down ({first.reason}).", retry_after=wait)


def _nobody(request: Request, who: Lineup, excluded: Sequence[Excluded]) -> GatewayError:
    """Return why nobody can serve: the prompt if it alone is in the way, the request, or the registry."""
    windows = [model.context_size for model in who.fit if not obstacle(model, request)]
    if windows:
        return PromptTooLong(
            f"This model's maximum context length is {max(windows)} tokens. However, your request needs about"
            f" {request.estimate} tokens and room for an answer.",
            param=_PROMPTS.get(request.format, "messages"),
        )
    told = [each for each in excluded if each.reason != NOT_NAMED]
    fault = _fault(request)
    if isinstance(fault, InvalidRequest) and any(each.reason == str(fault) for each in told):
        return InvalidRequest(fault.message, param=fault.param)
    kind = Unserviceable if any(is_callable(model) for model in who.snapshot.models) else NoModelCanServe
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
